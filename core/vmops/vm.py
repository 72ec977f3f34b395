"""A VM as its cloud sees it: one of seven states, and whose it is."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vmops.errors import CloudError

__all__ = ["VM", "Ref", "State", "Tags"]


class State(enum.StrEnum):
    """The seven states every cloud's states map to."""

    ABSENT = "absent"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DELETING = "deleting"
    FAILED = "failed"

    __hash__ = str.__hash__


@dataclass(frozen=True, slots=True)
class Tags:
    """What is written on a VM, in the call that creates it, to prove whose it is.

    Args:
        owner: The install id of the vmops that made it, or `none` where there is no journal.
        vm: The VM's name.
        token: The idempotency token of the create.
        expires: Epoch seconds after which it may be reaped; 0 is never.
        sequence: A number that only grows within one journal; shows a restored backup.
        journal: Which journal of that install numbered it.
    """

    owner: str
    vm: str
    token: str
    expires: int = 0
    sequence: int = 0
    journal: str = ""

    def to_dict(self) -> dict[str, str]:
        """The tags as lower-case keys and values that every cloud takes as tags or labels."""
        return {
            "vmops-owner": self.owner,
            "vmops-vm": self.vm,
            "vmops-token": self.token,
            "vmops-expires": str(self.expires),
            "vmops-sequence": str(self.sequence),
            "vmops-journal": self.journal,
        }

    @classmethod
    def from_dict(cls, tags: Mapping[str, str]) -> Tags | None:
        """The ownership among a VM's tags, or None where vmops did not make it."""
        try:
            return cls(
                owner=tags["vmops-owner"],
                vm=tags["vmops-vm"],
                token=tags["vmops-token"],
                expires=int(tags["vmops-expires"]),
                sequence=int(tags["vmops-sequence"]),
                journal=tags.get("vmops-journal", ""),
            )
        except (KeyError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Ref:
    """Which VM is asked about: by the name in our tag, or by the cloud's own id where known.

    Args:
        name: Our name for it.
        id: The cloud's id; where it is given, it alone decides.
        token: The idempotency token it was created with, where the journal knows it: of several
            VMs with one name, that one is meant.
    """

    name: str
    id: str = ""
    token: str = ""


@dataclass(frozen=True, slots=True)
class VM:
    """A VM as its cloud sees it now.

    Args:
        name: Our name for it.
        state: One of the seven states. An explicit ABSENT is proof that it is gone; a VM that a
            description leaves out may just not be visible yet.
        id: The cloud's own id.
        holds_compute: Whether a stopped VM still holds (and bills) its compute.
        started: Epoch seconds of its present boot, where the cloud tells.
        operation: Id of the operation its own record names last, where the cloud keeps one.
        tags: Whose it is; None if vmops did not make it.
        info: `privateIp`, `publicIp` and backend extras for the result of a wait.
        error: Why it is FAILED (or stopped or vanished by itself), where the cloud tells.
    """

    name: str
    state: State
    id: str = ""
    holds_compute: bool = False
    started: float | None = None
    operation: str = ""
    tags: Tags | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    error: CloudError | None = None
