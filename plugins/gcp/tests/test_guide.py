"""The pages about Google Cloud tell the truth: what they show runs, their tables are right."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from guide import Guide, Listener, kept_limits, processors
from typer.testing import CliRunner

from vmops import VMOps
from vmops_gcp.backend import GcpBackend
from vmops_gcp.images import ALIASES
from vmops_gcp.machines import _STATES

PAGE = Guide("how-to/run-on-gcp.md")
DOCTOR = PAGE.section("Credentials").text.partition("```console\n$ ")[2].partition("```")[0]

VERSION = re.compile(r"\d+\.\d+\.\d+")


@pytest.fixture
def place(gce: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment that leads to the emulator."""
    here = {
        "VMOPS_GCP_ENDPOINT_URL": gce.endpoint,
        "VMOPS_GCP_TICK": "0.05",
        "XDG_STATE_HOME": str(tmp_path),
    }
    for name, value in here.items():
        monkeypatch.setenv(name, value)
    return here


def vmops(line: str) -> str:
    """What a command line printed, which ended well."""
    from vmops.cli.app import app

    done = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
    assert done.exit_code == 0, (line, done.output)
    return done.output


@pytest.mark.parametrize("name", PAGE.programs)
def test_python_on_the_page_runs(
    name: str, place: dict[str, str], gce: Any, tmp_path: Path
) -> None:
    """Each program ends well, and leaves neither a VM nor a disk."""
    PAGE.run(name, gce, place, tmp_path)
    assert left(gce) == []


@pytest.mark.usefixtures("place")
def test_commands_on_the_page_run(gce: Any) -> None:
    """The commands, in their order, end well, and leave neither a VM nor a disk."""
    for line in PAGE.console():
        vmops(line)
    assert len([call for call in gce.calls() if call["action"] == "instances.insert"]) > 1
    assert left(gce) == []


@pytest.mark.usefixtures("place")
def test_doctor_says_what_the_page_shows(gce: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page shows what `vmops doctor` prints, but for the versions."""
    monkeypatch.setenv("CLOUDSDK_COMPUTE_ZONE", gce.zone)
    command, _, shown = DOCTOR.partition("\n")
    said = vmops(command).replace(gce.project, "my-project")
    ours = [line for line in said.splitlines() if " gcp: " in line and " plugin: " not in line]
    assert [VERSION.sub("N", line) for line in ours] == VERSION.sub("N", shown).splitlines()


def left(gce: Any) -> list[str]:
    """VMs, disks and addresses that there are."""
    kinds = ("/instances/", "/disks/", "/addresses/")
    return [link for link in gce.resources() if any(kind in link for kind in kinds)]


def test_table_of_calls(config: dict[str, Any], gce: Any, tmp_path: Path) -> None:
    """Each verb, and its wait, calls what the page says."""
    web = {"vmName": "web-1"}
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        listener = Listener(ops, lambda: [call["action"] for call in gce.calls()])
        listener.note("`provision`", lambda: ops.vm_provision(web))
        listener.note("`restart`", lambda: ops.vm_restart(web))
        listener.note("`restart`, reset", lambda: ops.vm_restart({**web, "restartMode": "reset"}))
        listener.note("`stop`", lambda: ops.vm_stop(web))
        listener.note("`start`", lambda: ops.vm_start(web))
        listener.note("`deprovision`", lambda: ops.vm_deprovision(web))
    listener.agrees(PAGE.table("What is called"), r"\w+\.\w+", "instances.get")


def test_table_of_limits() -> None:
    """The budgets on the page are those that vmops keeps to."""
    assert PAGE.table("Limits") == kept_limits(GcpBackend)


def test_table_of_images() -> None:
    """The page lists every alias with its processors, and no other."""
    listed = processors(PAGE.table("Images"))
    assert listed == {alias: set(cpus) for alias, cpus in ALIASES.items()}


def test_table_of_states() -> None:
    """What GCE shows of a VM means what the explanation says."""
    told = {
        shown: state.split("`")[1]
        for row, state in Guide("explanation/gcp.md").table("Once, and whose")
        for shown in row.split(", ")
    }
    assert told == {shown: state.value for shown, state in _STATES.items()}
