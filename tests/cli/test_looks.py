"""What is only looked at: ls, show, ops, backends, params, help."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ON = ("--backend", "filecloud")
VM_KEYS = {"vm", "id", "state", "holdsCompute", "started", "owner", "expires", "info"}
OPERATION_KEYS = {
    "id",
    "backend",
    "vm",
    "action",
    "status",
    "asked",
    "ended",
    "durationSeconds",
    "error",
    "url",
}
COMMANDS = [
    *("provision", "start", "stop", "restart", "deallocate", "deprovision", "wait"),
    *("ls", "show", "ops", "ssh", "backends", "params", "doctor", "demo"),
]


def test_help_names_every_command_and_the_exit_codes(here: Any) -> None:
    """The first page says what there is and what the exit codes mean."""
    text = here("--help").stdout
    assert all(f"\n  {command} " in text for command in COMMANDS)
    assert "3 something is missing" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_its_json(here: Any, command: str) -> None:
    """Each command's help documents --json; scripts need not guess."""
    assert "--json " in here(command, "--help").stdout


def test_help_imports_nothing_heavy() -> None:
    """`vmops --help` needs neither SQLAlchemy nor pydantic, no rich and no backend."""
    script = (
        "import sys\nfrom vmops.cli import main\nsys.argv[1:] = ['--help']\n"
        "try:\n    main()\nexcept SystemExit: pass\n"
        "print([m for m in ('sqlalchemy', 'pydantic', 'rich', 'asyncio', 'vmops.facade',"
        " 'vmops_local', 'vmops_sim') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_version(here: Any) -> None:
    """--version says which vmops this is."""
    from vmops import __version__

    assert here("--version").stdout == f"vmops {__version__}\n"


def test_ls_lists_what_there_is(here: Any) -> None:
    """Ls shows every VM of ours with its state, sorted, and nothing once they are gone."""
    assert here.json("ls", *ON) == []
    here("provision", "b", "a", *ON)
    here("stop", "b", *ON)
    found = here.json("ls", *ON)
    assert [(vm["vm"], vm["state"], vm["owner"]) for vm in found] == [
        ("a", "running", "ours"),
        ("b", "stopped", "ours"),
    ]
    assert all(set(vm) == VM_KEYS for vm in found)
    lines = here("ls", *ON).stdout.splitlines()
    assert lines[0].split() == [
        "VM",
        "STATE",
        "SINCE",
        "PRIVATE",
        "IP",
        "PUBLIC",
        "IP",
        "OWNER",
        "ID",
    ]
    assert len(lines) == 3


def test_another_installs_vm_is_not_called_ours(here: Any) -> None:
    """Ls tells whose a VM is: one made under another journal carries that install's id."""
    here("provision", "web", *ON, "--journal", str(here.program.tmp / "theirs" / "j.db"))
    (vm,) = here.json("ls", *ON)
    assert len(vm["owner"]) == 16


def test_show_tells_the_state_and_the_last_operation(here: Any) -> None:
    """Show joins what the cloud says with what was asked last."""
    here("provision", "web", *ON)
    here("stop", "web", *ON, "--no-wait")
    vm = here.json("show", "web", *ON)
    assert set(vm) == VM_KEYS | {"lastOperation"}
    assert (vm["lastOperation"]["action"], vm["lastOperation"]["status"]) == ("stop", "open")
    assert "privateIp" in here("show", "web", *ON).stdout


def test_showing_an_absent_vm_is_exit_code_1(here: Any) -> None:
    """There is nothing to show, and the hint says how to make it."""
    done = here("show", "nobody", *ON, code=1)
    assert "vmops provision nobody --backend filecloud" in done.stderr


def test_ops_lists_newest_first_and_filters(here: Any) -> None:
    """Ops shows what was asked for, by VM, by backend, or only what nobody has seen end."""
    here("provision", "a", "b", *ON)
    here("stop", "b", *ON, "--no-wait")
    said = here.json("ops")
    assert all(set(operation) == OPERATION_KEYS for operation in said)
    assert [(o["action"], o["vm"]) for o in said] == [
        ("stop", "b"),
        ("provision", "b"),
        ("provision", "a"),
    ]
    assert [o["vm"] for o in here.json("ops", "a")] == ["a"]
    assert here.json("ops", "--backend", "local") == []
    assert len(here.json("ops", "--limit", "1")) == 1
    (operation,) = here.json("ops", "--open")
    assert (operation["status"], operation["ended"]) == ("open", None)
    here("wait", operation["url"])
    assert here.json("ops", "--open") == []
    assert "succeeded" in here("ops").stdout


def test_ops_makes_no_journal(here: Any) -> None:
    """Looking into a journal that is not there says so, and makes none."""
    assert "no such operations" in here("ops").stderr
    assert not here.program.journal.exists()


def test_ops_without_a_journal_is_exit_code_2(here: Any) -> None:
    """--journal none leaves nothing to read."""
    assert "--journal is none" in here("ops", "--journal", "none", code=2).stderr


def test_backends_says_what_is_usable_and_why_not(
    here: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken plugin is named with its reason; the others are listed all the same."""
    folder = tmp_path / "broken"
    info = folder / "vmops_broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vmops-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vmops]\nbroken = vmops_not_there\n")
    monkeypatch.syspath_prepend(str(folder))
    found = {one["backend"]: one for one in here.json("backends")}
    assert set(found["filecloud"]) == {"backend", "distributions", "usable", "problem", "summary"}
    assert found["filecloud"]["usable"]
    assert found["filecloud"]["summary"] == "A cloud made of files."
    assert found["broken"]["distributions"] == ["vmops-broken"]
    assert "vmops_not_there" in found["broken"]["problem"]
    assert "A cloud made of files." in here("backends").stdout
    here("provision", "web", "--backend", "broken", code=3)
    assert "BAD   broken: plugin: " in here("doctor", code=3).stdout


def test_params_shows_every_field_once(here: Any) -> None:
    """The table has settings, params and the core's own, with type, default and what is local."""
    rows = here("params", "filecloud").stdout.splitlines()
    by_name = {row.split()[0]: row for row in rows}
    assert by_name["root"].split()[1:5] == ["settings", "path", "yes", "yes"]
    assert by_name["vmSize"].split()[1:4] == ["params", "string", "small"]
    assert "secret text" in by_name["userData"]
    assert "release | keep" in by_name["stopMode"]
    assert "list of string" in by_name["labels"]
    assert "Seconds a wait lasts at most" in by_name["pollTimeout"]


def test_params_json_is_a_json_schema(here: Any) -> None:
    """The schema has all properties, and says which are local-only and which are secret."""
    schema = here.json("params", "filecloud")
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["required"] == ["root"]
    properties = schema["properties"]
    assert properties["root"]["x-vmops-local-only"] is True
    assert properties["userData"]["x-vmops-secret"] is True
    assert properties["seconds"]["minimum"] == 0
    assert properties["ready"]["enum"] == ["running", "ssh"]
    assert {p["x-vmops-role"] for p in properties.values()} == {"settings", "params", "core"}


def test_params_of_an_unknown_backend_is_exit_code_2(here: Any) -> None:
    """The message says what there is and what to install."""
    assert "filecloud" in here("params", "nimbus", code=2).stderr


def test_a_reader_that_goes_away_is_no_error(program: Any) -> None:
    """`vmops ... | head -1` ends without a traceback."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "vmops", "params", "filecloud"],
        check=False,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        env=program.environment,
    )
    os.close(write)
    assert "Traceback" not in done.stderr


def test_names_from_a_cloud_move_no_cursor(here: Any) -> None:
    """Control characters in what a cloud says do not reach the terminal."""
    here("provision", "web", *ON, "-p", "sshHost=\x1b[31mred")
    done = here("show", "web", *ON)
    assert "\x1b" not in done.stdout
    assert "[31mred" in done.stdout
    assert here.json("show", "web", *ON)["info"]["sshHost"] == "\x1b[31mred"
    assert json.loads(here("show", "web", *ON, "--json").stdout)["vm"] == "web"
