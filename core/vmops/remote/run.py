"""A script's run on a VM as one self-contained URL, and how it ended.

Grammar (that of operations, with their checksum, limits and canonical form):

    vmops+BACKEND://VM/run?account=A&SCOPE&at=T&id=ID#vmId=V&sum=CRC

T is when the run was asked for, epoch seconds; ID names it on the VM; V is the cloud's id of the
VM. Host, port, user and key are never in it: they come from the backend and from local
configuration. So a URL can only *select* a run on a VM that local settings already allow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from vmops.urls import RUN, Parts, read_url, required, write_url

__all__ = ["Finished", "Run"]

_ID: Final = re.compile(r"[0-9a-f]{16,64}\Z", re.ASCII)  # a folder's name, and part of a command
_OWN_KEYS: Final = frozenset({"account", "at", "id"})


@dataclass(frozen=True, slots=True)
class Run:
    """Which script's run, on which VM.

    Args:
        backend: The plugin's name.
        vm: The VM's name, or its id where it has no name.
        id: Random hex; names the run's folder on the VM.
        at: Epoch seconds at which it was asked for.
        account: The identity the connection proved.
        scope: The shareable settings, such as `{"region": "eu-west-1"}`.
        vm_id: The cloud's id of the VM, else empty.
    """

    backend: str
    vm: str
    id: str
    at: float
    account: str = ""
    scope: Mapping[str, str] = field(default_factory=dict, hash=False)
    vm_id: str = ""

    def to_url(self) -> str:
        """The run as its canonical URL."""
        own = {"account": self.account, "at": f"{self.at:.3f}", "id": self.id}
        vm = {"vmId": self.vm_id} if self.vm_id else {}
        return write_url(self.backend, self.vm, RUN, {**self.scope, **own}, vm)

    @classmethod
    def from_url(cls, url: object) -> Run:
        """The run a URL names.

        Raises:
            InvalidURL: The value is no text, too long, truncated, of an operation, or was not
                written by vmops.
        """
        return read_url(url, cls._from_parts, run=True)

    @classmethod
    def _from_parts(cls, parts: Parts) -> Run:
        query = parts.query
        run_id = required(query, "id")
        if not _ID.match(run_id):
            msg = "id= is no run's"
            raise ValueError(msg)
        return cls(
            backend=parts.backend,
            vm=parts.vm,
            id=run_id,
            at=float(required(query, "at")),
            account=query.get("account", ""),
            scope={key: value for key, value in query.items() if key not in _OWN_KEYS},
            vm_id=parts.fragment.get("vmId", ""),
        )


@dataclass(frozen=True, slots=True)
class Finished:
    """How a script ended.

    Args:
        exit_code: Its own; 128 and the signal's number if a signal ended it, as in every shell.
        stdout: What it wrote, decoded as UTF-8; what is none became U+FFFD.
        stderr: The same.
        started: Epoch seconds by the VM's own clock; whole ones where busybox tells them.
        ended: The same, and the time that the script took, to 10 ms.
    """

    exit_code: int
    stdout: str
    stderr: str
    started: float
    ended: float
