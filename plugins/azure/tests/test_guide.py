"""docs/how-to/run-on-azure.md tells the truth: its Python runs, its tables are what happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from guide import Guide, Listener, kept_limits, processors

from vmops import VMOps
from vmops_azure.backend import AzureBackend
from vmops_azure.images import ALIASES

PAGE = Guide("how-to/run-on-azure.md")


@pytest.mark.parametrize("name", PAGE.programs)
def test_python_on_the_page_runs(name: str, arm: Any, tmp_path: Path) -> None:
    """Each program ends well, with nothing but an environment that leads to the emulator."""
    place = {"VMOPS_AZURE_ENDPOINT_URL": arm.endpoint, "VMOPS_AZURE_TICK": "0.05"}
    PAGE.run(name, arm, place, tmp_path)
    assert [id_ for id_ in arm.resources() if "/virtualMachines/" in id_] == []


def test_table_of_calls(config: dict[str, Any], arm: Any, tmp_path: Path) -> None:
    """Each verb, and its wait, calls what the page says."""
    web = {"vmName": "web-1"}
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        ops.wait_vm_operation(ops.vm_provision({"vmName": "first"})[1])  # the network
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        listener = Listener(ops, lambda: [call["action"] for call in arm.calls()])
        listener.note("`provision`", lambda: ops.vm_provision(web))
        listener.note("`stop`, keep", lambda: ops.vm_stop({**web, "stopMode": "keep"}))
        listener.note("`start`", lambda: ops.vm_start(web))
        listener.note("`restart`", lambda: ops.vm_restart(web))
        listener.note("`stop`", lambda: ops.vm_stop(web))
        listener.note("`deprovision`", lambda: ops.vm_deprovision(web))
    listener.agrees(PAGE.table("What is called"), r"[A-Z]+ [\w/]+", "GET virtualMachines")


def test_table_of_limits() -> None:
    """The budgets on the page are those that vmops keeps to."""
    assert PAGE.table("Limits") == kept_limits(AzureBackend)


def test_table_of_images() -> None:
    """The page lists every alias with its processors, and no other."""
    listed = processors(PAGE.table("Images"))
    assert listed == {alias: set(cpus) for alias, cpus in ALIASES.items()}
