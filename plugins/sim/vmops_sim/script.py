"""The small languages of sim's settings: durations, and the script of faults."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["AT_ONCE", "Duration", "FaultScript"]

_NUMBER: Final = r"\d+(?:\.\d+)?"
_DURATION: Final = re.compile(
    rf"(?P<low>{_NUMBER})(?:-(?P<high>{_NUMBER}))?\Z|"
    rf"lognormal:(?P<median>{_NUMBER}),(?P<sigma>{_NUMBER})\Z"
)
_FAULT: Final = re.compile(r"(?P<call>[a-z]+):(?P<number>\d+|\*)=(?P<code>[A-Za-z-]+)\Z")

CALLS: Final = frozenset(
    {"account", "describe", "poll", "provision", "start", "stop", "restart", "deprovision"}
)
OUTCOMES: Final = frozenset({"lost", "lost-applied", "fail-late", "stuck", "forgotten"})
"""Faults that are not error codes: a lost answer (not applied, or applied), an operation that is
accepted and fails at its end, that never ends, or that the cloud forgets."""


@dataclass(frozen=True, slots=True)
class Duration:
    """How long something takes: `30`, `20-40` (uniform), or `lognormal:MEDIAN,SIGMA`; seconds."""

    low: float
    high: float
    sigma: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Duration:
        """The duration a text describes.

        Raises:
            ValueError: It describes none.
        """
        match = _DURATION.match(text.strip())
        if match is None:
            raise ValueError(
                f"{text!r} is no duration; give seconds as 30, 20-40 or lognormal:30,0.3"
            )
        if match["median"]:
            return cls(float(match["median"]), 0.0, float(match["sigma"]))
        low = float(match["low"])
        return cls(low, float(match["high"] or low))

    def sample(self, source: random.Random) -> float:
        """One duration in seconds."""
        if self.sigma:
            return math.exp(source.gauss(math.log(self.low or 1e-9), self.sigma))
        return self.low if self.low == self.high else source.uniform(self.low, self.high)


AT_ONCE: Final = Duration(0.0, 0.0)


class FaultScript:
    """Faults for certain calls: `provision:2=QuotaExceeded,describe:1=Throttling,poll:*=lost`.

    The number counts calls of one kind from 1 on; `*` is every call.
    """

    def __init__(self, faults: Mapping[tuple[str, str], str]) -> None:
        """Made by `parse`."""
        self._faults = faults

    @classmethod
    def parse(cls, text: str, codes: frozenset[str]) -> FaultScript:
        """The script a text describes.

        Raises:
            ValueError: It has a part that is no fault, or a code the cloud does not have.
        """
        faults: dict[tuple[str, str], str] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            match = _FAULT.match(part)
            if match is None or match["call"] not in CALLS:
                calls = "|".join(sorted(CALLS))
                raise ValueError(f"{part!r} is no fault; give CALL:NUMBER=CODE with CALL {calls}")
            if match["code"] not in codes | OUTCOMES:
                known = ", ".join(sorted(codes | OUTCOMES))
                raise ValueError(f"{match['code']!r} is none of: {known}")
            faults[match["call"], match["number"]] = match["code"]
        return cls(faults)

    def get(self, call: str, number: int) -> str:
        """The fault of the `number`-th call of a kind, or an empty text."""
        if not self._faults:
            return ""
        return self._faults.get((call, str(number))) or self._faults.get((call, "*"), "")
