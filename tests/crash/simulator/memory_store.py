"""A journal's database in memory: what a disk is to real processes, this is to simulated ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from simulator.scheduler import Process, Scheduler, current
from vmops.errors import JournalError
from vmops.operation import Operation
from vmops.outcomes import Outcome
from vmops.records import FINISHED, UNFINISHED, Row

__all__ = ["Content", "MemoryStore"]

_DISK: Final = (0.001, 0.02)
_LOST: Final = 0.5
"""Of the writes that fail, how many change nothing."""


@dataclass(slots=True)
class Content:
    """All that the database holds."""

    rows: dict[str, Row] = field(default_factory=dict)
    log: dict[str, tuple[str, Operation]] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)
    ended: dict[str, Outcome] = field(default_factory=dict)
    taken: int = 0

    def copy(self) -> Content:
        """A copy, as a backup is."""
        return Content(
            dict(self.rows), dict(self.log), dict(self.last), dict(self.ended), self.taken
        )


class _MemoryTables:
    """One transaction: it sees its own changes, and nobody else does."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self.changed: dict[str, Row] = {}
        self.logged: list[tuple[str, Operation]] = []
        self.ended: list[Outcome] = []
        self.taken = content.taken

    def _all(self) -> Iterable[Row]:
        return {**self._content.rows, **self.changed}.values()

    def rows(self, uids: Sequence[str]) -> dict[str, Row]:
        found = {uid: self.changed.get(uid) or self._content.rows.get(uid) for uid in uids}
        return {uid: row for uid, row in found.items() if row is not None}

    def members(self, token: str) -> list[Row]:
        return sorted((r for r in self._all() if r.token == token), key=lambda row: row.member)

    def unfinished(self, place: str, before: float) -> list[Row]:
        return [
            row
            for row in self._all()
            if row.state in UNFINISHED and row.place == place and row.lease_until <= before
        ]

    def places(self, *, finished: bool) -> list[str]:
        return sorted({r.place for r in self._all() if finished or r.state not in FINISHED})

    def put(self, rows: Iterable[Row]) -> None:
        self.changed.update((row.uid, row) for row in rows)

    def take_sequence(self, count: int) -> int:
        self.taken += count
        return self.taken - count + 1

    def sequence(self) -> int:
        return self.taken

    def raise_sequence(self, floor: int) -> None:
        self.taken = max(self.taken, floor)

    def log(self, asked: Sequence[tuple[str, Operation]]) -> None:
        self.logged += asked

    def last_operation(self, operation_id: str) -> str:
        uid, _ = self._content.log.get(operation_id, ("", None))
        return self._content.last.get(uid, "")

    def uids(self, operation_ids: Sequence[str]) -> list[tuple[str, str]]:
        log = self._content.log
        return [(id_, log[id_][0]) for id_ in operation_ids if id_ in log]

    def end(self, outcomes: Sequence[Outcome]) -> None:
        self.ended += outcomes

    def open_operations(self, backend: str) -> list[Operation]:
        content = self._content
        return [
            operation
            for id_, (_, operation) in content.log.items()
            if operation.backend == backend and id_ not in content.ended
        ]


class MemoryStore:
    """The storage port of the journal, shared by the simulated processes of one run.

    Args:
        scheduler: Virtual time, and chance.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.install_id = "install"
        self.journal_id = "journal"
        self.content = Content()
        self.sent: dict[str, float] = {}
        """Token -> when the row last said that its create is about to be sent."""
        self.sent_by: dict[tuple[str, str], float] = {}
        """(process, token) -> when that process last wrote it."""
        self.held: dict[tuple[str, str], float] = {}
        """(id, token) -> when a row was last written that calls this VM LIVE."""
        self._scheduler = scheduler

    @contextmanager
    def reading(self) -> Iterator[_MemoryTables]:
        process = self._enter()
        with _uninterrupted(process):
            yield _MemoryTables(self.content)
        process.step()

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[_MemoryTables]:
        process = self._enter()
        process.sleep(self._scheduler.fate.delay(*_DISK))
        with _uninterrupted(process):
            tables = _MemoryTables(self.content)
            yield tables
            self._commit(tables)
        process.step()

    def row(self, vm: str) -> Row | None:
        """The row of a VM, by its name."""
        return next((row for row in self.content.rows.values() if row.vm == vm), None)

    def _enter(self) -> Process:
        process = current()
        process.step()
        return process

    def _commit(self, tables: _MemoryTables) -> None:
        failed = self._scheduler.fate.of("journal")
        if failed and self._scheduler.fate.rng.random() < _LOST:
            raise JournalError("the disk is full")
        content = self.content
        for uid, row in tables.changed.items():
            before = content.rows.get(uid)
            if row.state == "INTENT" and (before is None or before.sent != row.sent):
                self.sent[row.token] = self._scheduler.now
                self.sent_by[current().name, row.token] = self._scheduler.now
            if row.state == "LIVE":
                self.held[row.vm_id, row.token] = self._scheduler.now
            if self._scheduler.traced and before != row:
                self._scheduler.tell(f"writes {_told(row)}")
        content.rows.update(tables.changed)
        content.log.update((operation.id, (uid, operation)) for uid, operation in tables.logged)
        content.last.update((uid, operation.id) for uid, operation in tables.logged)
        content.ended.update((outcome.operation.id, outcome) for outcome in tables.ended)
        content.taken = tables.taken
        if failed:
            raise JournalError("the disk did not answer")

    def close(self) -> None:
        """Nothing to let go of: other processes use it."""


@contextmanager
def _uninterrupted(process: Process) -> Iterator[None]:
    """Transactions are atomic: nothing happens in the middle of one."""
    process.uninterrupted = True
    try:
        yield
    finally:
        process.uninterrupted = False


def _told(row: Row) -> str:
    return (
        f"{row.vm}#{row.generation} {row.state} fence={row.fence} id={row.vm_id}"
        f" token={row.token[:6]} lease={row.lease_owner[:4]} until {row.lease_until % 100_000:.0f}"
        f" sent {row.sent % 100_000:.0f}{' unsure' if row.unsure else ''}"
        f"{f' expires {row.expires % 100_000}' if row.expires else ''}"
    )
