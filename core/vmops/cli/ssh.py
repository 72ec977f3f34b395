"""`vmops ssh`: hands over to the machine's own ssh client, at the address the backend gives."""

# Each argument of a command is an option of the program, made one by typer.
# ruff: noqa: FBT002, PLR0913, PLR0917

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from vmops.cli import options
from vmops.cli.exits import reporting
from vmops.cli.output import Output
from vmops.cli.session import Place, Session

__all__ = ["add_to", "install_line", "ssh_command"]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ssh")(_ssh)


def _ssh(
    name: options.Name,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- CMD...]", help="What to run there; a shell without it."),
    ] = None,
    user: Annotated[
        str | None, typer.Option("--user", "-l", help="Who to log in as.", metavar="USER")
    ] = None,
    identity: Annotated[
        Path | None, typer.Option("--identity", "-i", help="Private key.", metavar="FILE")
    ] = None,
    backend: options.Backend = None,
    params: options.Params = None,
    config: options.ConfigFile = None,
    journal: options.Journal = None,
    as_json: options.Json = False,
) -> None:
    """Log in to a VM, or run a command there.

    The exit code is ssh's own.
    A VM's host key is the one its backend tells; where it tells none, the first one seen. It is
    remembered for that VM alone, and must stay.
    --json connects to nothing: it writes an object with the keys vm, host, port, user, command.
    """
    from vmops.ssh import address, known_hosts

    out = Output(as_json=as_json)
    with reporting(out):
        with Session(Place(backend, config, journal, params)) as session:
            vm = session.ops.describe({**session.params, "vmName": name})
            where = session.backend
        program = _client()
        host, port = address(vm, where)
        user = user or vm.info.get("sshUser")
        known = known_hosts(vm, where)
        argv = ssh_command(program, host, port, user, identity, known)
        argv += command or []
        if as_json:
            said = {"vm": vm.name, "host": host, "port": port, "user": user, "command": argv}
            out.document(said)
            return
        sys.stdout.flush()
        os.execv(program, argv)  # noqa: S606  (no shell: that is the point)


def _client() -> str:
    from vmops.errors import MissingDependency

    found = shutil.which("ssh")
    if found is None:
        raise MissingDependency("there is no ssh client on PATH", install=install_line())
    return found


def install_line() -> str:
    """The one line that installs an ssh client on this machine."""
    managers = {
        "apt-get": "sudo apt-get install -y --no-install-recommends openssh-client",
        "dnf": "sudo dnf install -y openssh-clients",
        "pacman": "sudo pacman -S openssh",
        "apk": "sudo apk add openssh-client",
        "zypper": "sudo zypper install -y openssh-clients",
    }
    lines = (line for program, line in managers.items() if shutil.which(program))
    return next(lines, "your system's package of the OpenSSH client")


def ssh_command(
    program: str,
    host: str,
    port: int,
    user: str | None,
    identity: Path | None,
    known: Path,
) -> list[str]:
    """The ssh client's arguments, up to the command to run there."""
    from vmops.ssh import host_key_alias

    quoted = str(known).replace("%", "%%")  # ssh expands % and splits at blanks
    settings: Sequence[str] = (
        f'UserKnownHostsFile="{quoted}"',
        # never a question: an unknown key is taken once, a known one must be the same
        "StrictHostKeyChecking=accept-new",
        f"HostKeyAlias={host_key_alias(known)}",
    )
    argv = [program, "-p", str(port)]
    for setting in settings:
        argv += ["-o", setting]
    if user:
        argv += ["-l", user]
    if identity:
        argv += ["-i", str(identity)]
    return [*argv, "--", host]
