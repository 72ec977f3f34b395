"""docs/how-to/run-on-azure.md tells the truth: its Python runs, its tables are what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vmops import Status, VMOps
from vmops_azure.backend import AzureBackend
from vmops_azure.images import ALIASES

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "run-on-azure.md").read_text()
BLOCK = re.compile(r'^```(\w+) title="(.*?)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
BLOCKS: dict[str, str] = {name: text for _, name, text in BLOCK.findall(PAGE)}
PROGRAMS = [name for name in BLOCKS if name.endswith(".py")]

Calls = list[dict[str, Any]]


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("name", PROGRAMS)
def test_python_on_the_page_runs(name: str, arm: Any, tmp_path: Path) -> None:
    """Each program ends well, with nothing but an environment that leads to the emulator."""
    environment = {
        **os.environ,
        "VMOPS_AZURE_ENDPOINT_URL": arm.endpoint,
        "VMOPS_AZURE_TICK": "0.05",
        "XDG_STATE_HOME": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKS[name]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [id_ for id_ in arm.resources() if "/virtualMachines/" in id_] == []


def _made(arm: Any, since: int = 0) -> Calls:
    """The calls to ARM since so many of them."""
    made: Calls = arm.calls()[since:]
    return made


class Listener:
    """Does one thing after the other, and remembers what each of them called."""

    def __init__(self, ops: VMOps, arm: Any) -> None:
        self.heard: dict[str, list[set[str]]] = {}
        self._ops, self._arm = ops, arm
        self._before = 0

    def note(self, row: str, do: Callable[[], Any]) -> None:
        """What the deed called, and what its wait did."""
        self._new()
        status, result = do()
        called = self._new()
        assert status is Status.PENDING, result.error
        assert self._ops.wait_vm_operation(result)[0] is Status.SUCCEEDED
        self.heard[row] = [called, self._new()]

    def _new(self) -> set[str]:
        made = _made(self._arm, self._before)
        self._before += len(made)
        return {call["action"] for call in made}


def test_table_of_calls(config: dict[str, Any], arm: Any, tmp_path: Path) -> None:
    """Each verb, and its wait, calls what the page says."""
    web = {"vmName": "web-1"}
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        ops.wait_vm_operation(ops.vm_provision({"vmName": "first"})[1])  # the network
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        listener = Listener(ops, arm)
        listener.note("`provision`", lambda: ops.vm_provision(web))
        listener.note("`stop`, keep", lambda: ops.vm_stop({**web, "stopMode": "keep"}))
        listener.note("`start`", lambda: ops.vm_start(web))
        listener.note("`restart`", lambda: ops.vm_restart(web))
        listener.note("`stop`", lambda: ops.vm_stop(web))
        listener.note("`deprovision`", lambda: ops.vm_deprovision(web))
    told = {
        row: [set(re.findall(r"`([A-Z]+ [\w/]+)`", cell)) for cell in cells]
        for row, *cells in table("What is called")
    }
    for row, (calls, _) in listener.heard.items():
        calls.update(told[row][0] & {"GET virtualMachines"})  # what follows a wait need not look
    assert listener.heard == told


def test_table_of_limits() -> None:
    """The budgets on the page are those that vmops keeps to."""
    limits = {**AzureBackend.limits, **AzureBackend.own_limits}
    kept = [
        [f"`{name}`", f"{limit.requests.burst:g}", f"{limit.requests.per_second:g}"]
        for name, limit in limits.items()
        if limit.requests is not None
    ]
    assert table("Limits") == kept


def test_table_of_images() -> None:
    """The page lists every alias with its processors, and no other."""
    listed = {
        alias: set(re.findall(r"a\w+64", row[1]))
        for row in table("Images")
        for alias in re.findall(r"`(.*?)`", row[0])
    }
    assert listed == {alias: set(cpus) for alias, cpus in ALIASES.items()}
