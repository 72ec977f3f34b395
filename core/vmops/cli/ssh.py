"""`vmops ssh`: hands over to the machine's own ssh client, at the address the backend gives."""

# Each argument of a command is an option of the program, made one by typer.
# ruff: noqa: FBT002, PLR0913, PLR0917

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vmops.cli import options
from vmops.cli.exits import reporting
from vmops.cli.output import Output
from vmops.cli.session import Place, Session

if TYPE_CHECKING:
    from vmops.vm import VM

__all__ = ["add_to", "install_line", "ssh_command"]

_SSH_PORT: Final = 22
_KEY: Final = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+=*\Z", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:%_-]*\Z", re.ASCII)


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
    out = Output(as_json=as_json)
    with reporting(out):
        with Session(Place(backend, config, journal, params)) as session:
            vm = session.ops.describe({**session.params, "vmName": name})
            where = session.backend
        program = _client()
        host, port = _address(vm, where)
        user = user or vm.info.get("sshUser")
        known = _known_hosts(where, vm)
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


def _address(vm: VM, backend: str) -> tuple[str, int]:
    """Where the VM answers as SSH."""
    from vmops.errors import Conflict, NotFound
    from vmops.vm import State

    if vm.state is State.ABSENT:
        message = f"there is no VM {vm.name!r} on {backend}"
        raise NotFound(message, hint=f"vmops provision {vm.name} --backend {backend}")
    if vm.state is not State.RUNNING:
        message = f"VM {vm.name!r} is {vm.state}, not running"
        raise Conflict(message, hint=f"vmops start {vm.name} --backend {backend}")
    host = next((vm.info[k] for k in ("sshHost", "publicIp", "privateIp") if vm.info.get(k)), None)
    port = int(vm.info.get("sshPort") or _SSH_PORT)
    if host is None or not _HOST.match(str(host)):  # an option to ssh is no host
        message = f"VM {vm.name!r} has no address to log in at (backend {backend} gave {host!r})"
        raise Conflict(message, hint=f"see what it has: vmops show {vm.name} --backend {backend}")
    return str(host), port


def _known_hosts(backend: str, vm: VM) -> Path:
    """This VM's own known-hosts file: a new VM of the same name has another one."""
    import platformdirs

    which = f"{backend}\n{vm.name}\n{vm.id}\n{vm.tags.token if vm.tags else ''}"
    digest = hashlib.sha256(which.encode()).hexdigest()[:16]
    state = platformdirs.user_state_path("vmops")
    folder = state / "known_hosts"
    for private in (state, folder):  # mkdir gives the mode to the last one it makes, not to parents
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / digest
    file.touch(mode=0o600)
    key = str(vm.info.get("sshHostKey", ""))
    if _KEY.match(key):
        file.write_text(f"{_alias(file)} {key}\n")
    return file


def _alias(known: Path) -> str:
    return f"vmops-{known.name}"


def ssh_command(
    program: str,
    host: str,
    port: int,
    user: str | None,
    identity: Path | None,
    known: Path,
) -> list[str]:
    """The ssh client's arguments, up to the command to run there."""
    quoted = str(known).replace("%", "%%")  # ssh expands % and splits at blanks
    settings: Sequence[str] = (
        f'UserKnownHostsFile="{quoted}"',
        # never a question: an unknown key is taken once, a known one must be the same
        "StrictHostKeyChecking=accept-new",
        # forwarded ports change from boot to boot; the key is the VM's, not the port's
        f"HostKeyAlias={_alias(known)}",
    )
    argv = [program, "-p", str(port)]
    for setting in settings:
        argv += ["-o", setting]
    if user:
        argv += ["-l", user]
    if identity:
        argv += ["-i", str(identity)]
    return [*argv, "--", host]
