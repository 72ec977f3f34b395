"""What may go wrong, and what does: by chance from a seed, or by a script."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

__all__ = ["KINDS", "ROUGH", "Fate", "Faults", "Script"]

Script = frozenset[tuple[str, int]]
"""Faults by kind and occasion, counted from 0: `("lost", 2)` loses the third request."""


@dataclass(frozen=True, slots=True)
class Faults:
    """How often what goes wrong: chances per step of a process, or per request to the cloud.

    Args:
        crash: A process is killed: nothing of it goes on, not even a `finally`.
        pause: A process is frozen for 30 to 400 s, then goes on and knows nothing of it.
        lost: A request never arrives.
        unanswered: A request arrives, perhaps after its sender gave up; its answer does not.
        twice: A request arrives twice, its answer once or never.
        throttled: A request is refused.
        unavailable: A request is met with a server error, and carried out in half the cases.
        journal: A write to the journal fails, and is carried out in half the cases.
        skew: Seconds by which each process' clock may be off.
        jump: A process finds its clock set by up to two hours, forth or back.
    """

    crash: float = 0.0
    pause: float = 0.0
    lost: float = 0.0
    unanswered: float = 0.0
    twice: float = 0.0
    throttled: float = 0.0
    unavailable: float = 0.0
    journal: float = 0.0
    skew: float = 0.0
    jump: float = 0.0


ROUGH: Final = Faults(
    crash=0.02,
    pause=0.003,
    lost=0.04,
    unanswered=0.05,
    twice=0.03,
    throttled=0.03,
    unavailable=0.02,
    journal=0.002,
    skew=5.0,
)

KINDS: Final = tuple(field.name for field in fields(Faults) if field.name not in {"skew", "jump"})
"""The faults that a script may hold."""


class Fate:
    """Decides what goes wrong, and how long things take.

    Args:
        rng: Where every chance in the run comes from.
        faults: What goes wrong how often.
        script: What goes wrong when, instead of by chance.
    """

    def __init__(self, rng: random.Random, faults: Faults, script: Script | None = None) -> None:
        self.rng = rng
        self.calm = False
        self._faults = faults
        self._script = script
        self._occasions: Counter[str] = Counter()

    def be_calm(self) -> None:
        """No more faults."""
        self.calm = True

    def of(self, *kinds: str) -> str:
        """Which of these faults happens now; empty for none."""
        if self.calm:
            return ""
        if self._script is not None:
            return self._scripted(kinds, self._script)
        chance = self.rng.random()
        for kind in kinds:
            chance -= getattr(self._faults, kind)
            if chance < 0:
                return kind
        return ""

    def _scripted(self, kinds: Sequence[str], script: Script) -> str:
        happens = [kind for kind in kinds if (kind, self._occasions[kind]) in script]
        self._occasions.update(kinds)
        return happens[0] if happens else ""

    def delay(self, shortest: float, longest: float) -> float:
        """Seconds that something takes; the shortest time once all is calm."""
        return shortest if self.calm else self.rng.uniform(shortest, longest)

    def skew(self) -> float:
        """Seconds by which a new process' clock is off."""
        return 0.0 if self.calm else self.rng.uniform(-self._faults.skew, self._faults.skew)
