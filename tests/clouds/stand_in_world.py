"""What the stand-ins of clouds with operations share: clock, what is due, settings and faults."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Generic, TypeVar

__all__ = ["Clockwork", "Fault"]


@dataclass
class Fault:
    """A request that goes wrong, or with `operation` an operation that ends badly.

    Args:
        method: Of the request, as a whole.
        path: Found in path and query, as a regular expression.
        status: Of the answer, or how the operation ends: see the cloud's own Fault.
        code: The error's code.
        message: What the error says.
        headers: Of the answer.
        after: Whether the request is carried out all the same.
        times: How often.
        delay: Seconds of real time for which the answer is held back.
        drop: Whether the connection ends in place of an answer.
        operation: The operation's kind, as `start`.
    """

    method: str = ".*"
    path: str = ""
    status: Any = None
    code: str = ""
    message: str = "The emulator was asked to say so."
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False
    times: int = 1
    delay: float = 0.0
    drop: bool = False
    operation: str = ""


S = TypeVar("S")
F = TypeVar("F", bound=Fault)


class Clockwork(Generic[S, F]):
    """The base of a stand-in's world.

    Args:
        settings: Those that it is started with: a frozen dataclass with a `speed`.
    """

    settings: Any
    first_settings: Any

    def __init__(self, settings: S) -> None:
        self.lock = threading.RLock()
        self._due = threading.local()  # others ask for the time without the lock
        self.first_settings = settings
        self.reset()

    def reset(self) -> None:
        """Forgets all but the settings it was started with."""
        self.settings = self.first_settings
        self.faults: list[F] = []
        self.calls: list[dict[str, Any]] = []
        self.tokens: dict[str, float] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._began = time.time(), time.monotonic()

    # -- time -------------------------------------------------------------------------------------

    def now(self) -> float:
        """The cloud's clock in epoch seconds; for what comes to an end, when that was due."""
        if (due := getattr(self._due, "at", None)) is not None:
            return float(due)
        wall, ticks = self._began
        return float(wall + (time.monotonic() - ticks) * self.settings.speed)

    def advance(self, seconds: float) -> None:
        """Moves the clock."""
        self._began = self.now() + seconds, time.monotonic()

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Does something when so much time has passed."""
        self._count += 1
        heapq.heappush(self._events, (self.now() + seconds, self._count, act))

    def settle(self) -> None:
        """Does all that is due, each as if at its time."""
        now = self.now()
        try:
            while self._events and self._events[0][0] <= now:
                self._due.at, _, act = heapq.heappop(self._events)
                act()
        finally:
            self._due.at = None

    # -- settings and faults ----------------------------------------------------------------------

    def change(self, changes: dict[str, Any]) -> None:
        """Changes settings; an unknown one is an error."""
        names = {one.name for one in fields(self.settings)}
        if unknown := sorted(set(changes) - names):
            raise ValueError(f"no such setting: {', '.join(unknown)}")
        self.advance(0)  # the time so far has passed at the old speed
        self.settings = replace(self.settings, **changes)

    def fault(self, fits: Callable[[F], bool]) -> F | None:
        """The next fault that fits, which is one less then."""
        for fault in self.faults:
            if fault.times > 0 and fits(fault):
                fault.times -= 1
                return fault
        return None
