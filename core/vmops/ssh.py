"""Whether a VM's own address answers as SSH: what `ready="ssh"` waits for."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["answers_ssh"]

_TIMEOUT: Final = 3.0


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
