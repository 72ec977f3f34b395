"""When to look at the cloud: learned durations, and short steps around the likely end."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from typing import Final

from vmops.operation import Action

__all__ = ["Pace"]

_JITTER: Final = 0.1
_MARGIN: Final = 0.25
"""Of a tick: what is learned is known to half a step only."""


class Pace:
    """When to look: learned durations per action, short steps around the likely end."""

    _REMEMBERED: Final = 64
    _ENOUGH: Final = 3

    def __init__(self, tick: float, randomness: Callable[[], float] = random.random) -> None:
        """Start knowing nothing; `tick` is the shortest step in seconds."""
        self.tick = tick
        self._random = randomness
        self._seen: dict[Action, deque[float]] = {}

    def learn(self, action: Action, seconds: float) -> None:
        """Remember how long one operation took."""
        self._seen.setdefault(action, deque(maxlen=self._REMEMBERED)).append(seconds)

    def expected(self, action: Action) -> float | None:
        """The median duration in seconds; None while too few were seen."""
        return self._quantile(action, 0.5)

    def first(self, action: Action) -> float:
        """Seconds after the request at which the first look is worth its call.

        Where durations hardly differ that is after nearly all of them, so that one look is enough;
        else a step after the shortest, so that none is seen much later than it ends.
        """
        early, late = self._quantile(action, 0.1), self._quantile(action, 0.9)
        if early is None or late is None:
            return self.tick
        return max(min(late, early + self.tick) + self.tick * _MARGIN, self.tick)

    def step(self, action: Action, elapsed: float) -> float:
        """Seconds from one look to the next, jittered so that processes drift apart."""
        expected = self.expected(action)
        late = 0.0 if expected is None else max(elapsed - 2 * expected, 0.0)
        return max(self.tick, late * _JITTER) * (1 + _JITTER * self._random())

    def _quantile(self, action: Action, share: float) -> float | None:
        seen = self._seen.get(action, ())
        if len(seen) < self._ENOUGH:
            return None
        return sorted(seen)[int(share * (len(seen) - 1))]
