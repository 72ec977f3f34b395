"""What a simulated cloud really holds: every VM ever made, and what became of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from vmops import State, Tags

__all__ = ["Duplicate", "Machine", "Machines"]

_DEAD: Final = frozenset({State.DELETING, State.ABSENT})


@dataclass(slots=True, eq=False)
class Machine:
    """One VM, from its birth to long after its death.

    Args:
        id: The cloud's id of it.
        name: Its name.
        written: From when on which tags are on it, in order.
        visible: When a description begins to show it.
        late: Whether the request for it arrived later than the protocol's horizon allows for, or
            (on a cloud without idempotency) once more.
        changes: From when on it is in which state, in order.
        deleted_by: What kinds of calls asked for its deletion.
        holds_compute: Whether it does so while it is stopped.
        lapsed: Whether its time to live was over once, though it was given more since.
    """

    id: str
    name: str
    written: list[tuple[float, Tags]]
    visible: float
    late: bool = False
    changes: list[tuple[float, State]] = field(default_factory=list)
    deleted_by: list[str] = field(default_factory=list)
    lapsed: bool = False
    holds_compute: bool = False

    @property
    def born(self) -> float:
        """When it was made."""
        return self.written[0][0]

    @property
    def tags(self) -> Tags:
        """What is written on it."""
        return self.written[-1][1]

    def tags_at(self, moment: float) -> Tags:
        """What was written on it then."""
        return next((tags for since, tags in reversed(self.written) if since <= moment), self.tags)

    def state(self, now: float) -> State:
        """What it is doing at that time."""
        for since, state in reversed(self.changes):
            if since <= now:
                return state
        return State.ABSENT

    def alive(self, now: float) -> bool:
        """Whether it exists and nobody has asked for its end."""
        return self.state(now) not in _DEAD

    def expired(self, now: float) -> bool:
        """Whether it may be reaped by what is written on it."""
        return 0 < self.tags.expires <= now

    def gone_since(self, moment: float) -> bool:
        """Whether it was over by then."""
        since, last = self.changes[-1]
        return last is State.ABSENT and since <= moment

    def booted(self, now: float) -> float | None:
        """When its present boot began; None where it does not run."""
        if self.state(now) not in {State.RUNNING, State.STOPPING}:
            return None
        return max(
            since for since, state in self.changes if state is State.RUNNING and since <= now
        )

    def retag(self, tags: Tags, now: float) -> None:
        """Write something else on it."""
        self.lapsed |= self.expired(now)
        self.written.append((now, tags))

    def turn(self, now: float, via: State, goal: State, seconds: float) -> None:
        """Be in one state from now on, and in another after so many seconds."""
        self.changes = [change for change in self.changes if change[0] <= now]
        self.changes += [(now, via), (now + seconds, goal)]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two VMs of one name that were alive at once."""

    time: float
    first: Machine
    second: Machine

    @property
    def unavoidable(self) -> bool:
        """Whether no horizon could have prevented it: a request was held up, or came twice."""
        return self.first.late or self.second.late


class Machines:
    """All VMs of one cloud."""

    def __init__(self) -> None:
        self.all: list[Machine] = []
        self.duplicates: list[Duplicate] = []
        self.peaks: Counter[str] = Counter()
        self._recent: list[Machine] = []

    def add(self, machine: Machine, now: float) -> None:
        others = [m for m in self._recent if m.name == machine.name and m.alive(now)]
        self.duplicates += [Duplicate(now, other, machine) for other in others]
        self.peaks[machine.name] = max(self.peaks[machine.name], len(others) + 1)
        self.all.append(machine)
        self._recent.append(machine)

    def recent(self, now: float, shown_for: float) -> list[Machine]:
        """Those that are there, or were so short a time ago that the cloud still tells."""
        self._recent = [m for m in self._recent if not m.gone_since(now - shown_for)]
        return self._recent

    def named(self, name: str, now: float) -> Machine | None:
        """The one of that name which is not quite gone."""
        return next((m for m in self._recent if m.name == name and not m.gone_since(now)), None)

    def by_id(self, id_: str) -> Machine | None:
        return next((m for m in self._recent if m.id == id_), None)

    def living(self, now: float) -> list[Machine]:
        return [m for m in self._recent if m.alive(now)]
