"""`vmops ssh`: what is handed to the ssh client, and what never is."""

from __future__ import annotations

import itertools
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

ON = ("--backend", "filecloud")


@pytest.fixture
def client(program: Any) -> Path:
    """A folder with an `ssh` that prints its arguments, one JSON list, and exits with 7."""
    folder = program.tmp / "bin"
    folder.mkdir()
    script = folder / "ssh"
    script.write_text(
        "#!/usr/bin/env python3\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\nsys.exit(7)\n"
    )
    script.chmod(0o755)
    program.environment["PATH"] = f"{folder}{os.pathsep}{program.environment['PATH']}"
    return folder


def options(argv: list[str]) -> dict[str, str]:
    """The -o options among ssh's arguments."""
    pairs = itertools.pairwise(argv)
    return dict(value.split("=", 1) for flag, value in pairs if flag == "-o")


def provision(program: Any, host: str = "127.0.0.1", key: str = "") -> None:
    """Make a VM that answers at `host`."""
    program.run("provision", "web", *ON, "-p", f"sshHost={host}", "-p", f"sshHostKey={key}")


def test_it_becomes_ssh_at_the_vms_address(program: Any, client: Path) -> None:
    """Host, port, user, key and command reach ssh as given; the exit code is ssh's own."""
    provision(program)
    done = program.run("ssh", "web", *ON, "-l", "me", "-i", "/k", "--", "ls", "-la", "a b", code=7)
    argv = json.loads(done.stdout)
    assert argv[:2] == ["-p", "2222"]
    assert argv[argv.index("-l") + 1] == "me"
    assert argv[argv.index("-i") + 1] == "/k"
    assert argv[argv.index("--") :] == ["--", "127.0.0.1", "ls", "-la", "a b"]


def test_host_keys_are_kept_per_vm(program: Any, client: Path) -> None:
    """The first key is accepted into a private file of that VM; its successor gets another."""
    provision(program)
    first = options(json.loads(program.run("ssh", "web", *ON, code=7).stdout))
    assert first["StrictHostKeyChecking"] == "accept-new"
    file = Path(first["UserKnownHostsFile"].strip('"'))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.parent.parent.stat().st_mode) == 0o700
    assert " " in str(file)  # so the quotes are needed
    again = options(json.loads(program.run("ssh", "web", *ON, code=7).stdout))
    assert again == first
    program.run("deprovision", "web", *ON)
    provision(program)
    other = options(json.loads(program.run("ssh", "web", *ON, code=7).stdout))
    assert other["UserKnownHostsFile"] != first["UserKnownHostsFile"]


def test_a_host_key_that_the_backend_tells_is_known_beforehand(program: Any, client: Path) -> None:
    """Ssh gets the VM's own key before it connects: then there is nothing to trust blindly."""
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA=="
    provision(program, "127.0.0.1", key)
    given = options(json.loads(program.run("ssh", "web", *ON, code=7).stdout))
    known = Path(given["UserKnownHostsFile"].strip('"')).read_text()
    assert known == f"{given['HostKeyAlias']} {key}\n"


def test_json_says_where_and_connects_to_nothing(here: Any, client: Path, monkeypatch: Any) -> None:
    """--json writes host, port, user and the whole command instead of running it."""
    monkeypatch.setenv("PATH", here.program.environment["PATH"])
    provision(here.program)
    said = here.json("ssh", "web", *ON)
    assert set(said) == {"vm", "host", "port", "user", "command"}
    assert (said["host"], said["port"], said["user"]) == ("127.0.0.1", 2222, None)
    assert said["command"][0] == str(client / "ssh")


@pytest.mark.parametrize("host", ["-oProxyCommand=touch x", "a b", "x;y", "$(x)"])
def test_an_address_that_is_no_address_reaches_no_ssh(
    program: Any, client: Path, host: str
) -> None:
    """What a cloud calls a host can be no option and no command."""
    provision(program, host)
    done = program.run("ssh", "web", *ON, code=1)
    assert "no address to log in at" in done.stderr
    assert done.stdout == ""


def test_without_a_client_it_is_exit_code_3(program: Any) -> None:
    """A machine without ssh gets the line that installs it."""
    provision(program)
    empty = program.tmp / "empty"
    empty.mkdir()
    (empty / "apt-get").write_text("")
    (empty / "apt-get").chmod(0o755)
    done = program.run("ssh", "web", *ON, code=3, env={"PATH": str(empty)})
    assert "install it with: sudo apt-get install" in done.stderr
    assert "openssh-client" in done.stderr


def test_a_vm_that_does_not_run_is_exit_code_1(program: Any, client: Path) -> None:
    """Nobody can log in to a stopped or absent VM; the hint says what to do."""
    provision(program)
    program.run("stop", "web", *ON)
    done = program.run("ssh", "web", *ON, code=1)
    assert "vmops start web --backend filecloud" in done.stderr
    done = program.run("ssh", "nobody", *ON, code=1)
    assert "vmops provision nobody" in done.stderr
