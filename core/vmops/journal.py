"""The journal as the core uses it: what was intended is on disk before the cloud is called.

One row per VM, `INTENT -> ACCEPTED -> LIVE -> DELETING -> GONE` (or FAILED, or ABANDONED), found by
*uid*: backend, account, scope and name. A create's idempotency token is derived from install id,
uid and generation, so that it can be worked out again even if the row is lost. Only intents and
deletions are fsynced, one transaction per batch; starts and stops leave no intent, just the
operation's URL.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from vmops.operation import Operation
from vmops.outcomes import Outcome
from vmops.records import UNKNOWN, Intent, Place, Row
from vmops.vm import VM

__all__ = ["Journal", "NoJournal", "canonical"]


class Journal(Protocol):
    """What the dispatcher asks of a journal. Times are epoch seconds of the connection's clock."""

    owner: str
    """The install id, written on every VM; `none` where nothing is remembered."""
    id: str
    """Tells this journal from others of the same install; empty where nothing is remembered."""

    def rows(self, uids: Sequence[str]) -> Mapping[str, Row]:
        """What is known of these VMs; an unknown one gets an empty Row."""
        ...

    def digest(self, request: Mapping[str, Any]) -> str:
        """A digest that tells requests apart without giving them away."""
        ...

    def intend_creates(
        self, intents: Sequence[Intent], now: float, *, together: bool
    ) -> list[list[Row] | Exception]:
        """Make creates durable: for each its row, or `Stale` or Conflict. One fsync.

        With `together` the new ones become one record: one token, members in order. An intent that
        is repeated comes with all members of its batch, in order: it is sent again whole.
        """
        ...

    def intend_deletes(self, intents: Sequence[Intent], now: float) -> list[Row | Exception]:
        """Make deletions durable: rows, or `Stale`. One fsync."""
        ...

    def renew(self, rows: Sequence[Row], now: float) -> list[Row]:
        """The rows with a new lease, before they are sent again; raises `Stale`."""
        ...

    def claim(self, place: str, now: float) -> list[Row]:
        """The unfinished rows of a place whose lease has ended, now in our hands."""
        ...

    def leased(self, place: str, now: float) -> list[Row]:
        """The unfinished rows of a place that somebody is at work on, by their lease."""
        ...

    def accepted(self, pairs: Iterable[tuple[Row, Operation]]) -> None:
        """The cloud accepted these creates and deletions as these operations."""
        ...

    def refused(self, rows: Iterable[Row]) -> None:
        """The cloud refused these creates or deletions for certain."""
        ...

    def gone(self, rows: Iterable[Row], state: str = "GONE", *, settled: bool) -> None:
        """The cloud proved that these VMs do not exist (any more), or never will.

        With `settled`, their last requests are so long ago that none of them can arrive any more.
        """
        ...

    def live(self, row: Row, vm_id: str) -> None:
        """The cloud was seen to hold the VM that this create asked for."""
        ...

    def adopt(self, row: Row, vm: VM, place: str) -> None:
        """Hold a VM of ours that was believed gone, or never known; raises `Stale`."""
        ...

    def renewed(self, row: Row, expires: int) -> None:
        """The VM's tag says now that it may be reaped at `expires`; raises `Stale`."""
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

    def open_operations(self, backend: str) -> list[Operation]:
        """The operations of a backend that nobody has seen end."""
        ...

    def places(self, *, finished: bool) -> list[Place]:
        """Where this journal holds VMs, or with `finished` where it ever did."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


class NoJournal:
    """Remembers nothing: tokens are random, and a crash between call and answer may leak."""

    owner = "none"
    id = ""

    def rows(self, uids: Sequence[str]) -> Mapping[str, Row]:
        """Nothing is known of any VM."""
        return dict.fromkeys(uids, UNKNOWN)

    def digest(self, request: Mapping[str, Any]) -> str:
        """The plain digest of a request."""
        return hashlib.sha256(canonical(request)).hexdigest()

    def intend_creates(
        self, intents: Sequence[Intent], now: float, *, together: bool
    ) -> list[list[Row] | Exception]:
        """Rows with random tokens, one for all if they are made together."""
        shared = secrets.token_hex(16)
        return [
            [
                Row(
                    uid=intent.row.uid,
                    generation=0,
                    state="INTENT",
                    token=shared if together else secrets.token_hex(16),
                    digest=intent.digest,
                    vm=intent.vm,
                    sent=now,
                    expires=intent.expires,
                    lease_until=float("inf"),
                )
            ]
            for intent in intents
        ]

    def intend_deletes(self, intents: Sequence[Intent], now: float) -> list[Row | Exception]:
        """Rows with random tokens."""
        return [
            Row(
                uid=i.row.uid,
                state="DELETING",
                token=secrets.token_hex(16),
                vm=i.vm,
                vm_id=i.vm_id,
                sent=now,
                lease_until=float("inf"),
            )
            for i in intents
        ]

    def renew(self, rows: Sequence[Row], now: float) -> list[Row]:  # noqa: ARG002
        """The rows: there is nobody to take them over."""
        return list(rows)

    def claim(self, place: str, now: float) -> list[Row]:  # noqa: ARG002
        """Nothing is unfinished."""
        return []

    def leased(self, place: str, now: float) -> list[Row]:  # noqa: ARG002
        """Nothing is unfinished."""
        return []

    def accepted(self, pairs: Iterable[tuple[Row, Operation]]) -> None:
        """Forget."""

    def refused(self, rows: Iterable[Row]) -> None:
        """Forget."""

    def gone(self, rows: Iterable[Row], state: str = "GONE", *, settled: bool) -> None:
        """Forget."""

    def live(self, row: Row, vm_id: str) -> None:
        """Forget."""

    def adopt(self, row: Row, vm: VM, place: str) -> None:
        """Forget."""

    def renewed(self, row: Row, expires: int) -> None:
        """Forget."""

    def record(self, asked: Iterable[tuple[str, Operation]]) -> None:
        """Forget."""

    def names(self, operation: Operation) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def ended(self, outcomes: Iterable[Outcome]) -> None:
        """Forget."""

    def open_operations(self, backend: str) -> list[Operation]:  # noqa: ARG002
        """None is known."""
        return []

    def places(self, *, finished: bool) -> list[Place]:  # noqa: ARG002
        """None is known."""
        return []

    def close(self) -> None:
        """Nothing to let go of."""


def canonical(request: Mapping[str, Any]) -> bytes:
    """A request as the same bytes every time."""
    return json.dumps(request, sort_keys=True, default=str, separators=(",", ":")).encode()
