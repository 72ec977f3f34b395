"""What is wrong once everything has settled: the cloud and the journal, held against each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from simulator.machines import Machine
from simulator.memory_store import MemoryStore
from simulator.scheduler import EPOCH, Process, Scheduler
from simulator.world import World
from vmops import State
from vmops.records import UNFINISHED, Row

__all__ = ["Auditor", "Report"]

_OVERDUE: Final = 7200.0
"""Seconds by which a VM may outlive its time: reaping comes by every hour."""


@dataclass(slots=True)
class Report:
    """What one run came to.

    Args:
        cloud: The cloud's name.
        seed: What it came from, in a single run.
        crashes: Processes killed.
        pauses: Processes frozen.
        calls: Requests sent to the cloud.
        vms: VMs made.
        held_up: Duplicates because a request was held up for longer than any horizon waits, or
            (on a cloud that goes by name alone) because it meant a VM that was there before, or
            (on a cloud without idempotency) because it came twice.
        findings: What is wrong, by kind.
    """

    cloud: str
    seed: int = 0
    crashes: int = 0
    pauses: int = 0
    calls: int = 0
    vms: int = 0
    held_up: int = 0
    findings: dict[str, list[str]] = field(default_factory=dict)

    def find(self, kind: str, what: str) -> None:
        self.findings.setdefault(kind, []).append(f"seed {self.seed}: {what}")

    def count(self, kind: str) -> int:
        return len(self.findings.get(kind, ()))

    def line(self) -> str:
        """All figures, the important ones always."""
        always = (
            "leaked",
            "lost",
            "stuck",
            "duplicated",
            "overdue",
            "reaped alive",
            "restarted twice",
        )
        kinds = [*always, *sorted(self.findings.keys() - set(always))]
        found = ", ".join(f"{kind} {self.count(kind)}" for kind in kinds)
        return (
            f"{self.cloud}: {self.crashes:,} crashes, {self.pauses:,} pauses, {self.calls:,} calls,"
            f" {self.vms:,} VMs: {found} (held up: {self.held_up})"
        )

    def add(self, other: Report) -> None:
        """Count another run in."""
        for name in ("crashes", "pauses", "calls", "vms", "held_up"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for kind, found in other.findings.items():
            self.findings.setdefault(kind, []).extend(found)


class Auditor:
    """Watches a run, and says at its end what is wrong.

    Args:
        report: Where findings go.
        scheduler: Virtual time.
        store: The journal's database.
        by_name: Whether the cloud can tell a VM from its predecessor only by time.
    """

    def __init__(
        self, report: Report, scheduler: Scheduler, store: MemoryStore, *, by_name: bool
    ) -> None:
        self.report = report
        self._scheduler = scheduler
        self._store = store
        self._by_name = by_name
        self._asked: dict[str, float] = {}  # when somebody last wanted a VM deleted
        self._asking: defaultdict[str, int] = defaultdict(int)
        self._promised: dict[str, float] = {}  # until when a renewal lets a VM live
        self._born: dict[str, float] = {}
        self._unwanted: dict[str, float] = {}  # when a VM was last deleted that nobody wanted gone
        self._calls = 0

    def _find(self, kind: str, what: str) -> None:
        self._scheduler.tell(f"{kind.upper()}: {what}")
        self.report.find(kind, what)

    @contextmanager
    def calling(self, process: Process, kind: str, names: tuple[str, ...]) -> Iterator[None]:
        """Know what a program asks for, while it asks."""
        self._calls += 1
        process.activity = f"{kind}#{self._calls}"
        process.scheduler.tell(f"calls {kind} {' '.join(names)}")
        ending = names if kind == "deprovision" else ()
        for name in ending:
            self._asking[name] += 1
        try:
            yield
        finally:
            for name in ending:
                self._asking[name] -= 1
                self._asked[name] = process.scheduler.now
            process.activity = ""

    def deleted(self, machine: Machine, activity: str, sent: float, now: float) -> None:
        """Whether a deletion that just arrived should have.

        Args:
            machine: The VM that it ends.
            activity: What its sender was at.
            sent: When it was sent.
            now: When it arrived.
        """
        if not machine.alive(now):
            return
        kind = activity.partition("#")[0] or "wait"
        machine.deleted_by.append(kind)
        if self._by_name and sent < machine.born:
            self.report.held_up += 1
            return
        wanted = self._asking[machine.name] or self._asked.get(machine.name, 0.0) >= machine.born
        held = self._store.held.get((machine.id, machine.tags.token), 0.0) >= machine.born
        expired = machine.lapsed or machine.expired(now)
        if held and not wanted:
            self._unwanted[machine.name] = now
            if not expired or self._promised.get(machine.name, 0.0) > now:
                when = f"at {now - EPOCH:.0f}: {kind} deletes"
                self._find("reaped alive", f"{when} {_told(machine, now)}")

    def renewed(self, name: str, expires: float, began: float) -> None:
        """A renewal succeeded: whoever asked for it was promised this much time."""
        if self._born.get(name, 0.0) > began:
            return  # the answer lay about in a frozen process: it is about the VM before this one
        self._promised[name] = expires
        if self._unwanted.get(name, 0.0) >= began:
            self._find("reaped alive", f"{name} was reaped while it was renewed")

    def made(self, machine: Machine) -> None:
        """A new VM: what was promised to its predecessor, or befell it, is no more."""
        self._born[machine.name] = machine.born
        self._promised.pop(machine.name, None)
        self._unwanted.pop(machine.name, None)

    def finish(self, world: World) -> None:
        """Find what is leaked, lost, stuck or duplicated."""
        self._duplicates(world)
        for call, sends in world.reboots.items():
            if len(sends) > 1:
                self._find("restarted twice", f"{call}: {len(sends)} requests carried out")
        alive = {(m.id, m.tags.token): m for m in world.machines.living(world.now)}
        rows = list(self._store.content.rows.values())
        held = {(row.vm_id, row.token) for row in rows if row.state == "LIVE"}
        for key, machine in alive.items():
            if key not in held:
                row = self._store.row(machine.name)
                self._find("leaked", f"{_told(machine, world.now)}; {_row(row)}")
            if machine.expired(world.now - _OVERDUE):
                self._find("overdue", _told(machine, world.now))
        for row in rows:
            self._row(row, world, alive)

    def _duplicates(self, world: World) -> None:
        for duplicate in world.machines.duplicates:
            if duplicate.unavoidable:
                self.report.held_up += 1
                continue
            first, second = duplicate.first, duplicate.second
            told = f"{_told(first, duplicate.time)} and {_told(second, duplicate.time)}"
            self._find("duplicated", f"at {duplicate.time - EPOCH:.0f}: {told}")

    def _row(self, row: Row, world: World, alive: dict[tuple[str, str], Machine]) -> None:
        if row.state in UNFINISHED:
            self._find("stuck", _row(row))
        elif row.state == "LIVE" and (row.vm_id, row.token) not in alive:
            there = [m for m in world.machines.all if m.tags.token == row.token]
            deleted = [by for m in there if m.name == row.vm for by in m.deleted_by]
            kind = "believed" if deleted else "lost"
            self._find(kind, f"{_row(row)}; deleted by {deleted or 'nobody'}")


def _told(machine: Machine, now: float) -> str:
    state: State = machine.state(now)
    return f"{machine.name} ({machine.id}, token {machine.tags.token[:6]}, {state.value})"


def _row(row: Row | None) -> str:
    if row is None:
        return "no row"
    return f"row {row.vm}#{row.generation} {row.state} {row.vm_id} token {row.token[:6]}"
