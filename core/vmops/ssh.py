"""Where a VM answers as SSH, whether it does, and by which host key it is known."""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from vmops.errors import Conflict, NotFound
from vmops.vm import VM, State

__all__ = ["address", "answers_ssh", "host_key_alias", "known_hosts"]

_TIMEOUT: Final = 3.0
_SSH_PORT: Final = 22
_KEY: Final = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+=*\Z", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:%_-]*\Z", re.ASCII)


def answers_ssh(info: Mapping[str, Any], timeout: float = _TIMEOUT) -> bool:
    """Whether an SSH server greets us at the VM's address (RFC 4253, section 4.2).

    Args:
        info: A VM's info: `sshHost` and `sshPort` where the backend gives them, else port 22 of
            `publicIp`, else of `privateIp`.
        timeout: Seconds for connecting, and for the greeting.
    """
    host = info.get("sshHost") or info.get("publicIp") or info.get("privateIp")
    if not host:
        return False
    try:
        with socket.create_connection((host, int(info.get("sshPort") or 22)), timeout) as peer:
            peer.settimeout(timeout)
            return peer.recv(4) == b"SSH-"
    except OSError:
        return False


def address(vm: VM, backend: str, port: int = _SSH_PORT) -> tuple[str, int]:
    """Where the VM answers as SSH: host and port.

    Args:
        vm: As `describe` gave it.
        backend: Whose it is.
        port: For a VM whose backend tells no `sshPort`.

    Raises:
        NotFound: There is no such VM.
        Conflict: It does not run, or has no address.
    """
    if vm.state is State.ABSENT:
        message = f"there is no VM {vm.name!r} on {backend}"
        raise NotFound(message, hint=f"vmops provision {vm.name} --backend {backend}")
    if vm.state is not State.RUNNING:
        message = f"VM {vm.name!r} is {vm.state}, not running"
        raise Conflict(message, hint=f"vmops start {vm.name} --backend {backend}")
    host = next((vm.info[k] for k in ("sshHost", "publicIp", "privateIp") if vm.info.get(k)), None)
    if host is None or not _HOST.match(str(host)):  # an option to ssh is no host
        message = f"VM {vm.name!r} has no address to log in at (backend {backend} gave {host!r})"
        raise Conflict(message, hint=f"see what it has: vmops show {vm.name} --backend {backend}")
    return str(host), int(vm.info.get("sshPort") or port)


def known_hosts(vm: VM, backend: str) -> Path:
    """This VM's own known-hosts file, for OpenSSH too: a new VM of the same name has another one.

    It holds the key that the backend tells; where it tells none, whatever was remembered.
    """
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
        _write(file, f"{host_key_alias(file)} {key}\n")
    return file


def host_key_alias(known: Path) -> str:
    """The name by which a VM stands in its known-hosts file.

    Forwarded ports change from boot to boot: the key is the VM's, not its address's.
    """
    return f"vmops-{known.name}"


def _write(file: Path, line: str) -> None:
    """Give the file this one line; whoever reads it meanwhile never finds it empty."""
    if file.read_text() != line:
        fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
        fresh.touch(mode=0o600)
        fresh.write_text(line)
        fresh.replace(file)
