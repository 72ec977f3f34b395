"""The pages about libcloud tell the truth: what they show runs on Nova, their tables are right."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from guide import Guide, Listener
from pydantic.alias_generators import to_camel
from typer.testing import CliRunner

from vmops import Status, VMOps
from vmops_libcloud.capabilities import capabilities
from vmops_libcloud.usual import VARIABLES

PAGE = Guide("how-to/run-on-openstack.md")
DOCTOR = PAGE.section("Credentials").text.partition("```console\n$ ")[2].partition("```")[0]
SMALL = {"vmSize": "m1.tiny", "image": "debian-12"}
VERSION = re.compile(r"\d+\.\d+\.\d+")


@pytest.fixture
def place(nova: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment that leads to Nova."""
    pace = {"VMOPS_LIBCLOUD_TICK": "0.2", "VMOPS_LIBCLOUD_HORIZON": "1"}
    here = {**nova.environment(), **pace, "XDG_STATE_HOME": str(tmp_path)}
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
    name: str, place: dict[str, str], nova: Any, tmp_path: Path
) -> None:
    """Each program ends well, and leaves no server."""
    PAGE.run(name, nova, place, tmp_path)
    assert nova.alive() == []


@pytest.mark.usefixtures("place")
def test_commands_on_the_page_run(nova: Any) -> None:
    """The commands, in their order, end well, and leave no server."""
    for line in PAGE.console():
        vmops(line)
    assert len([call for call in nova.calls() if call["action"] == "POST /servers"]) > 1
    assert nova.alive() == []


@pytest.mark.usefixtures("place")
def test_doctor_says_what_the_page_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page shows what `vmops doctor` prints, but for the versions."""
    command, _, shown = DOCTOR.partition("\n")
    variable, _, command = command.partition(" ")
    monkeypatch.setenv(*variable.split("="))
    ours = [line for line in vmops(command).splitlines() if " libcloud: " in line]
    ours = [line for line in ours if " plugin: " not in line]
    assert [VERSION.sub("N", line) for line in ours] == VERSION.sub("N", shown).splitlines()


def test_table_of_variables() -> None:
    """The page lists what is read, in the order in which it counts."""
    told = {
        re.findall("`(.*?)`", setting)[0]: tuple(re.findall("`(.*?)`", variables))
        for setting, variables in PAGE.table("Credentials")
    }
    read = VARIABLES["openstack"]
    assert told == {
        name if name.startswith("driver_") else to_camel(name): names
        for name, names in read.items()
    }


def test_table_of_arguments() -> None:
    """The page lists all that create_node takes by its own name, and nothing else."""
    told = {row[0].strip("`") for row in PAGE.table("What else Nova takes")}
    takes = capabilities("openstack").arguments
    assert told == {name for name in takes if name.startswith("ex_")}


def test_table_of_calls(config: dict[str, Any], nova: Any, tmp_path: Path) -> None:
    """Each verb, and its wait, calls what the page says."""
    web = {"vmName": "web-1", **SMALL}
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        done(ops, ops.vm_provision({"vmName": "web-0", **SMALL}))  # looks up what web-1 is made of
        listener = Listener(ops, lambda: [call["action"] for call in nova.calls()])
        listener.note("`provision`", lambda: ops.vm_provision(web))
        listener.note("`stop`", lambda: ops.vm_stop(web))
        listener.note("`start`", lambda: ops.vm_start(web))
        listener.note("`restart`", lambda: ops.vm_restart(web))
        listener.note("`renew`", lambda: ops.renew({**web, "ttl": 60}))
        listener.note("`ls`", ops.list_vms)
        listener.note("`deprovision`", lambda: ops.vm_deprovision(web))
    listener.agrees(PAGE.table("What is called"), r"[A-Z]+ /[\w/{}]+", "GET /servers/detail")


def test_table_of_stops(
    config: dict[str, Any], nova: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart is soft and a reset hard; only the stop that shelves gives the compute back."""
    from libcloud.compute.drivers.openstack import OpenStack_2_NodeDriver

    kinds, real = [], OpenStack_2_NodeDriver._reboot_node

    def noted(self: Any, node: Any, reboot_type: str) -> Any:
        kinds.append(reboot_type)
        return real(self, node, reboot_type=reboot_type)

    monkeypatch.setattr(OpenStack_2_NodeDriver, "_reboot_node", noted)
    told = {row[0]: row[2] for row in PAGE.table("Stop, start, restart")}
    web = {"vmName": "web-1"}
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        done(ops, ops.vm_provision({**web, **SMALL}))
        done(ops, ops.vm_restart(web))
        done(ops, ops.vm_restart({**web, "restartMode": "reset"}))
        assert kinds == ["SOFT", "HARD"]
        for row, mode, status in (
            ("`stop`, `stopMode=keep`", "keep", "SHUTOFF"),
            ("`stop`", "release", "SHELVED_OFFLOADED"),
        ):
            done(ops, ops.vm_stop({**web, "stopMode": mode}))
            (vm,) = ops.list_vms()
            assert told[row] == ("held" if vm.holds_compute else "given back")
            assert [server["status"] for server in nova.servers()] == [status]


def done(ops: VMOps, answer: tuple[Any, Any]) -> Any:
    """The result of a verb that ended well."""
    status, result = answer
    if status is Status.PENDING:
        status, result = ops.wait_vm_operation(result)
    assert status is Status.SUCCEEDED, result.error
    return result
