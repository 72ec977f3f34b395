"""What the journal holds, and what it needs of a database: rows, intents and the storage port."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import parse_qsl, urlencode

from vmops.operation import Operation
from vmops.outcomes import Outcome
from vmops.vm import Tags

__all__ = [
    "FINISHED",
    "UNFINISHED",
    "UNKNOWN",
    "Intent",
    "Place",
    "Row",
    "Stale",
    "Store",
    "Tables",
]

PRESENT: Final = frozenset({"INTENT", "ACCEPTED", "LIVE"})
UNFINISHED: Final = frozenset({"INTENT", "ACCEPTED", "DELETING"})
"""States from which a row must move on, by its own caller or by recovery."""
FINISHED: Final = frozenset({"GONE", "FAILED", "ABANDONED"})
"""States in which the cloud is believed to hold no VM of the row."""


class Stale(Exception):  # noqa: N818  (a signal, not a failure)
    """The row changed since it was read: look again, decide again."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where VMs are: a backend, the identity it proved, and the settings that say where.

    Args:
        backend: The plugin's name.
        account: The identity the connection proved.
        scope: The settings that tell places apart, such as `{"region": "eu-west-1"}`.
    """

    backend: str
    account: str
    scope: Mapping[str, str]

    def to_text(self) -> str:
        """The place as the journal keeps it."""
        pairs = [("account", self.account), *sorted(self.scope.items())]
        return f"{self.backend}?{urlencode(pairs)}"

    @classmethod
    def from_text(cls, text: str) -> Place:
        """The place that `to_text` wrote."""
        backend, _, query = text.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        return cls(backend, pairs[0][1], dict(pairs[1:]))

    def uid(self, name: str) -> str:
        """The key of a VM of this place in the journal."""
        where = ",".join(f"{key}={self.scope[key]}" for key in sorted(self.scope))
        return f"{self.backend}/{self.account}/{where}/{name}"


@dataclass(frozen=True, slots=True)
class Row:
    """What the journal holds of one VM.

    Args:
        uid: Place and name.
        generation: How often such a VM was created before; -1 for never.
        state: INTENT, ACCEPTED, LIVE, DELETING, GONE, FAILED or ABANDONED.
        token: Idempotency token of this generation's create.
        digest: Of the create's resolved request.
        vm: The VM's name.
        vm_id: The cloud's id, once known.
        url: The create or deletion that was accepted last.
        sent: When a create or deletion was last sent, epoch seconds.
        fence: Grows whenever the row gets another writer; who holds an older one writes nothing.
        sequence: Number of this generation's intent; only grows within one journal.
        batch: How many VMs were created by one call with this one; 0 for it alone.
        member: Its place in that call.
        expires: Epoch seconds after which the VM may be reaped; 0 for never.
        place: `Place.to_text()`.
        lease_owner: Who works on the row.
        lease_until: Until when nobody else finishes that work, epoch seconds.
        unsure: Whether some request got no answer, so that it may still arrive.
        likeness: Of what was asked for, before any choice was made (`vmops.likeness`).
    """

    uid: str
    generation: int = -1
    state: str = "GONE"
    token: str = ""
    digest: str = ""
    vm: str = ""
    vm_id: str = ""
    url: str = ""
    sent: float = 0.0
    fence: int = 0
    sequence: int = 0
    batch: int = 0
    member: int = 0
    expires: int = 0
    place: str = ""
    lease_owner: str = ""
    lease_until: float = 0.0
    unsure: bool = False
    likeness: str = ""

    @property
    def present(self) -> bool:
        """Whether the journal holds that such a VM was asked for and not yet deleted."""
        return self.state in PRESENT

    @property
    def version(self) -> tuple[int, int, str]:
        """What changes whenever the row does; a written-down answer changes only the state."""
        return self.generation, self.fence, self.state

    def is_older(self, tags: Tags) -> bool:
        """Whether a VM with these tags is left over from before this row's generation."""
        return tags.token != self.token and tags.sequence < self.sequence


UNKNOWN: Final = Row("")
"""The row of a VM of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What is about to be asked: a create (with its digest) or a deletion.

    Args:
        row: The row as it was read before the cloud was looked at.
        vm: The VM's name.
        vm_id: The cloud's id of the VM, for a deletion.
        digest: Digest of the resolved request, for a create.
        expires: Epoch seconds for the VM's tag, 0 for never.
        place: `Place.to_text()` of the connection.
        token: The token in the VM's tags, for a deletion of a VM of ours.
        settled: For a create: whether the row's last send is older than the consistency horizon.
        likeness: Of a create's request, before any choice was made.
    """

    row: Row
    vm: str
    vm_id: str = ""
    digest: str = ""
    expires: int = 0
    place: str = ""
    token: str = ""
    settled: bool = False
    likeness: str = ""


class Tables(Protocol):
    """What one transaction of a journal sees and changes."""

    def rows(self, uids: Sequence[str]) -> dict[str, Row]:
        """The rows of these VMs, those that exist."""
        ...

    def members(self, token: str) -> list[Row]:
        """The rows with this token, by their place in the batch."""
        ...

    def unfinished(self, place: str, before: float) -> list[Row]:
        """The rows of a place in an UNFINISHED state whose lease ended by `before`."""
        ...

    def places(self, *, finished: bool) -> list[str]:
        """The places of all rows, or without `finished` of those in no FINISHED state."""
        ...

    def put(self, rows: Iterable[Row]) -> None:
        """Insert these rows, or replace those of the same uid."""
        ...

    def take_sequence(self, count: int) -> int:
        """The first of `count` numbers that are greater than all before them."""
        ...

    def sequence(self) -> int:
        """The last number taken."""
        ...

    def raise_sequence(self, floor: int) -> None:
        """Let no number up to `floor` be taken any more."""
        ...

    def log(self, asked: Sequence[tuple[str, Operation]]) -> None:
        """Append operations, by uid, as the last thing asked of their VMs."""
        ...

    def last_operation(self, operation_id: str) -> str:
        """The id of what was asked last of the VM of this operation; empty if it is unknown."""
        ...

    def uids(self, operation_ids: Sequence[str]) -> list[tuple[str, str]]:
        """(operation id, uid) of those that are known."""
        ...

    def end(self, outcomes: Sequence[Outcome]) -> None:
        """Write down how these operations ended."""
        ...

    def open_operations(self, backend: str) -> list[Operation]:
        """The operations of a backend that nobody has seen end."""
        ...


class Store(Protocol):
    """A journal's database."""

    install_id: str
    """Random; made with the journal, written on every VM."""
    journal_id: str
    """Random; tells this journal from others of the same install."""

    def reading(self) -> AbstractContextManager[Tables]:
        """A transaction that only reads."""
        ...

    def writing(self, *, durable: bool = False) -> AbstractContextManager[Tables]:
        """A transaction that writes, alone; with `durable` it is on disk when it has ended.

        It is rolled back when an exception leaves it.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
