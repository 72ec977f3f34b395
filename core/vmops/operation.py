"""An operation as one self-contained URL: `asyncResultsUrl`, the journal's record, `vmops wait`.

Grammar (percent-encoding as in RFC 3986, always in the one canonical form):

    vmops+BACKEND://VM/ACTION?account=A&SCOPE&at=T&id=ID[&mode=M][&phase=2]#HANDLE&sum=CRC

A is the identity the connection proved, SCOPE the shareable settings (such as `region`), T the
epoch seconds at which the operation was asked for, HANDLE what the backend's verb returned. `sum`
is a CRC-32 against truncation, not a signature: a URL can only *select* among what local
configuration already allows, so forging one gains nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from vmops.urls import Parts, read_url, required, write_url

__all__ = ["Action", "Handle", "Operation"]

Handle = Mapping[str, str]
"""A few strings that a backend needs to find its operation again; key `vmId` is the VM's id."""

_OWN_KEYS = frozenset({"account", "at", "id", "mode", "phase"})


class Action(enum.StrEnum):
    """The five things one can ask of a VM."""

    PROVISION = "provision"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    DEPROVISION = "deprovision"

    __hash__ = str.__hash__


@dataclass(frozen=True, slots=True)
class Operation:
    """What was asked of which VM, where, and how to find it again.

    Args:
        backend: The plugin's name.
        vm: The VM's name.
        action: What was asked.
        id: Random hex; names this operation in journal, logs and tags.
        at: Epoch seconds at which it was asked.
        account: The identity the connection proved (EC2 account, subscription, project).
        scope: The shareable settings, such as `{"region": "eu-west-1"}`.
        handle: What the backend's verb returned; empty means "judge by the VM's state". It may be
            signed, so it is told to nobody.
        mode: For stop, `release` or `keep`.
        phase: 2 once the second phase of a two-phase operation has begun.
    """

    backend: str
    vm: str
    action: Action
    id: str
    at: float
    account: str = ""
    scope: Mapping[str, str] = field(default_factory=dict, hash=False)
    handle: Handle = field(default_factory=dict, hash=False, repr=False)
    mode: str = ""
    phase: int = 1

    @property
    def vm_id(self) -> str:
        """The cloud's id of the VM where the handle carries it, else empty."""
        return self.handle.get("vmId", "")

    def next_phase(self, handle: Handle) -> Operation:
        """This operation with its second phase begun."""
        return replace(self, phase=2, handle=handle)

    def to_url(self) -> str:
        """The operation as its canonical URL."""
        own = {"account": self.account, "at": f"{self.at:.3f}", "id": self.id}
        if self.mode:
            own["mode"] = self.mode
        if self.phase != 1:
            own["phase"] = str(self.phase)
        return write_url(
            self.backend, self.vm, self.action.value, {**self.scope, **own}, self.handle
        )

    @classmethod
    def from_url(cls, url: object) -> Operation:
        """The operation a URL names.

        Raises:
            InvalidURL: The value is no text, too long, truncated, or was not written by vmops.
        """
        return read_url(url, cls._from_parts)

    @classmethod
    def _from_parts(cls, parts: Parts) -> Operation:
        query = parts.query
        return cls(
            backend=parts.backend,
            vm=parts.vm,
            action=Action(parts.what),
            id=required(query, "id"),
            at=float(required(query, "at")),
            account=query.get("account", ""),
            scope={key: value for key, value in query.items() if key not in _OWN_KEYS},
            handle=parts.fragment,
            mode=query.get("mode", ""),
            phase=int(query.get("phase", "1")),
        )
