"""The journal: what was intended is on disk before the cloud is called.

One row per VM, `INTENT -> ACCEPTED -> LIVE -> DELETING -> GONE` (or FAILED), found by *uid*:
backend, account, scope and name. A create's idempotency token is derived from install id, uid and
generation, so that it can be worked out again even if the row is lost. Only intents and deletions
are fsynced, one transaction per batch; starts and stops leave no intent, just the operation's URL.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from vmops.operation import Operation
from vmops.outcomes import Outcome
from vmops.vm import Ref

__all__ = ["UNKNOWN", "Intent", "Journal", "NoJournal", "Row", "Stale", "uid_of"]

_PRESENT: Final = frozenset({"INTENT", "ACCEPTED", "LIVE"})


class Stale(Exception):  # noqa: N818  (a signal, not a failure)
    """The row changed since it was read: look again, decide again."""


@dataclass(frozen=True, slots=True)
class Row:
    """What the journal holds of one VM."""

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

    @property
    def present(self) -> bool:
        """Whether the journal holds that such a VM was asked for and not yet deleted."""
        return self.state in _PRESENT


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
    """

    row: Row
    vm: str
    vm_id: str = ""
    digest: str = ""
    expires: int = 0


class Journal(Protocol):
    """What the dispatcher asks of a journal."""

    owner: str
    """The install id, written on every VM; `none` where nothing is remembered."""

    def rows(self, uids: Sequence[str]) -> Mapping[str, Row]:
        """What is known of these VMs; an unknown one gets an empty Row."""
        ...

    def digest(self, request: Mapping[str, Any]) -> str:
        """A digest that tells requests apart without giving them away."""
        ...

    def intend_creates(
        self, intents: Sequence[Intent], now: float, *, together: bool
    ) -> list[Row | Exception]:
        """Make creates durable: rows with their tokens, or `Stale` or Conflict. One fsync.

        With `together` the new ones become one record: one token, members in order.
        """
        ...

    def members(self, row: Row) -> list[Row]:
        """All rows of the batch that this row was created in, in order."""
        ...

    def intend_deletes(self, intents: Sequence[Intent], now: float) -> list[Row | Exception]:
        """Make deletions durable. One fsync."""
        ...

    def accepted(self, pairs: Iterable[tuple[Row, Operation]]) -> None:
        """The cloud accepted these creates and deletions as these operations."""
        ...

    def refused(self, rows: Iterable[Row]) -> None:
        """The cloud refused these creates or deletions for certain."""
        ...

    def gone(self, rows: Iterable[Row]) -> None:
        """The cloud proved that these VMs do not exist (any more)."""
        ...

    def live(self, row: Row, vm_id: str) -> None:
        """The cloud was seen to run this VM."""
        ...

    def record(self, asked: Iterable[tuple[str, Operation]]) -> None:
        """Remember other operations, by uid, as the last thing asked of their VMs."""
        ...

    def names(self, operation: Operation) -> bool:
        """Whether this operation is the last thing that was asked of its VM."""
        ...

    def ended(self, outcomes: Iterable[Outcome]) -> None:
        """These operations were seen to end."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def uid_of(backend: str, account: str, scope: Mapping[str, str], ref: Ref) -> str:
    """The key of a VM in the journal."""
    where = ",".join(f"{key}={scope[key]}" for key in sorted(scope))
    return f"{backend}/{account}/{where}/{ref.name or ref.id}"


class NoJournal:
    """Remembers nothing: tokens are random, and a crash between call and answer may leak."""

    owner = "none"

    def rows(self, uids: Sequence[str]) -> Mapping[str, Row]:
        """Nothing is known of any VM."""
        return dict.fromkeys(uids, UNKNOWN)

    def digest(self, request: Mapping[str, Any]) -> str:
        """The plain digest of a request."""
        return hashlib.sha256(canonical(request)).hexdigest()

    def intend_creates(
        self, intents: Sequence[Intent], now: float, *, together: bool
    ) -> list[Row | Exception]:
        """Rows with random tokens, one for all if they are made together."""
        shared = secrets.token_hex(16)
        return [
            Row(
                uid=intent.row.uid,
                generation=0,
                state="INTENT",
                token=shared if together else secrets.token_hex(16),
                digest=intent.digest,
                vm=intent.vm,
                sent=now,
                expires=intent.expires,
            )
            for intent in intents
        ]

    def members(self, row: Row) -> list[Row]:
        """The row alone: no batch is remembered."""
        return [row]

    def intend_deletes(self, intents: Sequence[Intent], now: float) -> list[Row | Exception]:
        """Rows with random tokens."""
        return [
            Row(i.row.uid, 0, "DELETING", secrets.token_hex(16), vm=i.vm, vm_id=i.vm_id, sent=now)
            for i in intents
        ]

    def accepted(self, pairs: Iterable[tuple[Row, Operation]]) -> None:
        """Forget."""

    def refused(self, rows: Iterable[Row]) -> None:
        """Forget."""

    def gone(self, rows: Iterable[Row]) -> None:
        """Forget."""

    def live(self, row: Row, vm_id: str) -> None:
        """Forget."""

    def record(self, asked: Iterable[tuple[str, Operation]]) -> None:
        """Forget."""

    def names(self, operation: Operation) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def ended(self, outcomes: Iterable[Outcome]) -> None:
        """Forget."""

    def close(self) -> None:
        """Nothing to let go of."""


def canonical(request: Mapping[str, Any]) -> bytes:
    """A request as the same bytes every time."""
    return json.dumps(request, sort_keys=True, default=str, separators=(",", ":")).encode()
