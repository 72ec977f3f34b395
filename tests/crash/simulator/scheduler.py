"""Virtual time and the processes in it: one thread, one event queue, one source of chance."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable
from typing import Final

from greenlet import getcurrent, greenlet

from simulator.faults import Fate

__all__ = [
    "EPOCH",
    "Clock",
    "Killed",
    "Process",
    "Scheduler",
    "current",
]

EPOCH: Final = 1_700_000_000.0
_PAUSE: Final = (30.0, 400.0)
_DOWN: Final = (0.1, 100.0)
_JUMP: Final = (5.0, 7200.0)
_NOTICED: Final = 0.1


class Killed(BaseException):
    """The process is no more: nothing that it does from here on has an effect."""


class Scheduler:
    """The event queue: what happens when, and who runs.

    Args:
        fate: Where every chance in the run comes from.
        trace: Told of everything that happens, in order, where given.
    """

    def __init__(self, fate: Fate, trace: Callable[[str], None] | None = None) -> None:
        self.fate = fate
        self.now = EPOCH
        self.crashes = 0
        self.pauses = 0
        self._trace = trace
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0

    def at(self, time: float, event: Callable[[], object]) -> None:
        self._count += 1  # events of the same moment happen in the order they were planned
        heapq.heappush(self._queue, (time, self._count, event))

    def run(self, until: float) -> None:
        queue = self._queue
        while queue and queue[0][0] <= until:
            self.now, _, event = heapq.heappop(queue)
            event()
        self.now = max(self.now, until)

    def tell(self, what: str) -> None:
        if self._trace is not None:
            who = getattr(getcurrent(), "name", "-")
            self._trace(f"{self.now - EPOCH:9.2f} {who:>6} {what}")

    def close(self, processes: Iterable[Process]) -> None:
        """End those that have not ended, at the effect they are at."""
        for process in list(processes):
            process.over = True
            if process:  # it has begun, and not ended
                process.throw(Killed)

    @property
    def traced(self) -> bool:
        return self._trace is not None


class Process(greenlet):
    """One simulated process. Its body runs until it ends, or is killed at one of its effects."""

    def __init__(
        self,
        scheduler: Scheduler,
        name: str,
        body: Callable[[Process], None],
        ended: Callable[[Process, BaseException | None], None],
    ) -> None:
        super().__init__(self._live)
        self.scheduler = scheduler
        self.name = name
        self.activity = ""
        self.over = False
        self.killed = False
        self.doomed = False
        self.uninterrupted = False
        self.skew = scheduler.fate.skew()
        self._body = body
        self._ended = ended

    def _live(self) -> None:
        try:
            self._body(self)
        except Killed:
            self._ended(self, None)
        except Exception as exc:  # noqa: BLE001  (whatever escapes is a finding)
            self.over = True
            self._ended(self, exc)
        else:
            self.over = True
            self._ended(self, None)

    def sleep(self, seconds: float) -> None:
        """Let others run for so long."""
        self._check()
        self.scheduler.at(self.scheduler.now + max(seconds, 0.0), self.switch)
        self.parent.switch()

    def step(self) -> None:
        """Meet what may happen between any two effects: go on, be killed, be frozen."""
        self._check()
        if self.uninterrupted:
            return
        scheduler = self.scheduler
        fate = "crash" if self.doomed else scheduler.fate.of("crash", "pause")
        if fate == "crash":
            self._die()
        elif fate == "pause":
            scheduler.pauses += 1
            pause = scheduler.fate.rng.uniform(*_PAUSE)
            scheduler.tell(f"is frozen for {pause:.0f} s")
            self.sleep(pause)
            scheduler.tell("goes on")

    def _die(self) -> None:
        self.over = self.killed = True
        self.scheduler.crashes += 1
        self.scheduler.tell("is KILLED")
        raise Killed

    def downtime(self) -> float:
        """Seconds until somebody starts it again."""
        return self.scheduler.fate.delay(*_DOWN)

    def _check(self) -> None:
        if self.over:
            raise Killed


def current() -> Process:
    """The process that runs now."""
    process = getcurrent()
    assert isinstance(process, Process), "only a simulated process has effects"
    return process


class Clock:
    """Each process' own idea of the time, through the port that vmops takes its time from."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def now(self) -> float:
        process, scheduler = current(), self._scheduler
        fate = scheduler.fate
        if not fate.calm and not process.uninterrupted:
            # time passes between looking at the clock and acting: here, now and then
            if fate.rng.random() < _NOTICED:
                process.step()
            if fate.of("jump"):
                process.skew = fate.rng.choice((-1, 1)) * fate.rng.uniform(*_JUMP)
                scheduler.tell(f"finds its clock {process.skew:+.0f} s off")
        return scheduler.now + process.skew

    def sleep(self, seconds: float) -> None:
        process = current()
        process.sleep(seconds)
        process.step()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if not event.is_set():
            self.sleep(seconds)
        return event.is_set()
