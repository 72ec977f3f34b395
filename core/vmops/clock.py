"""Where time comes from: everything in vmops that waits takes a Clock, so no test has to sleep."""

from __future__ import annotations

import threading
import time
from typing import Protocol

__all__ = ["Clock", "SystemClock", "VirtualClock"]


class Clock(Protocol):
    """Time as vmops sees it."""

    def now(self) -> float:
        """Seconds since the epoch, for what is written down and compared across processes."""
        ...

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Whether `event` was set within `seconds`."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        ...


class SystemClock:
    """The machine's own clock: epoch time that a jump of the wall clock does not disturb."""

    def __init__(self) -> None:
        """Anchor the monotonic clock to the epoch once."""
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Seconds since the epoch, never going backwards within this process."""
        return time.monotonic() + self._offset

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Whether `event` was set within `seconds`."""
        return event.wait(max(seconds, 0))

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass."""
        time.sleep(max(seconds, 0))


class VirtualClock:
    """A clock that stands still until somebody waits, then jumps: for `sim` and for tests."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        """Start at `start` seconds since the epoch."""
        self._now = start
        self._lock = threading.Lock()

    def now(self) -> float:
        """The virtual seconds since the epoch."""
        return self._now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Whether `event` is set; if not, `seconds` have passed now."""
        if not event.is_set():
            self.advance(seconds)
        return event.is_set()

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass at once."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds`."""
        with self._lock:
            self._now += max(seconds, 0)
