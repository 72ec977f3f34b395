"""The way to the cloud and back: where requests are lost, late, doubled, refused and reordered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from simulator.scheduler import Process, Scheduler, current

__all__ = ["LATEST", "Network", "SdkError"]

T = TypeVar("T")

PATIENCE: Final = 20.0
"""Seconds after which a client gives up on an answer."""
LATEST: Final = 30.0
"""Seconds after which nothing that was sent is still under way, unless a plan says otherwise."""
_CARRIED_OUT: Final = 0.5
"""Of what is met with a server error, how much is carried out all the same."""


class SdkError(Exception):
    """What a cloud's SDK raises, told apart by its code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Network:
    """Carries requests from processes to the cloud.

    Args:
        scheduler: Virtual time, and chance.
        latest: Seconds after which nothing that was sent is still under way.
    """

    def __init__(self, scheduler: Scheduler, latest: float) -> None:
        self._scheduler = scheduler
        self._latest = latest
        self.calls = 0

    def ask(self, what: str, answer: Callable[[], T]) -> T:
        """The answer to a question; asking changes nothing, so it is lost or it is not."""
        process = self._enter(what)
        process.sleep(self._scheduler.fate.delay(0.01, 2.0))
        fate = self._scheduler.fate.of("lost", "throttled")
        if fate == "lost":
            process.sleep(self._scheduler.fate.rng.uniform(0.1, PATIENCE))
            raise SdkError("ConnectionLost")
        if fate == "throttled":
            raise SdkError("SlowDown")
        found = answer()
        process.step()
        return found

    def send(self, what: str, act: Callable[[], T]) -> T:
        """The answer to a request that changes something, if it arrives and is answered."""
        process = self._enter(what)
        fate = self._scheduler.fate.of("lost", "unanswered", "throttled", "unavailable", "twice")
        if fate:
            self._scheduler.tell(f"{what}: {fate}")
        if fate in {"lost", "unanswered"}:
            if fate == "unanswered":
                self._arrive(what, act, self._scheduler.fate.rng.uniform(0.05, self._latest))
            process.step()
            process.sleep(self._scheduler.fate.rng.uniform(0.1, PATIENCE))
            process.step()
            raise SdkError("ConnectionLost")
        if fate in {"throttled", "unavailable"}:
            if fate == "unavailable" and self._scheduler.fate.rng.random() < _CARRIED_OUT:
                self._arrive(what, act, self._scheduler.fate.rng.uniform(0.05, 2.0))
            process.sleep(0.1)
            process.step()
            raise SdkError("SlowDown" if fate == "throttled" else "InternalError")
        if fate == "twice":
            self._arrive(
                f"{what} (again)", act, self._scheduler.fate.rng.uniform(0.05, self._latest)
            )
        return self._answered(process, what, act)

    def _enter(self, what: str) -> Process:
        process = current()
        process.step()
        self.calls += 1
        self._scheduler.tell(f"asks {what}")
        return process

    def _answered(self, process: Process, what: str, act: Callable[[], T]) -> T:
        outcome = self._arrive(what, act, there := self._scheduler.fate.delay(0.01, 2.0))
        process.step()  # killed while the request is under way
        process.sleep(there + self._scheduler.fate.delay(0.02, 3.0))
        process.step()
        answer = outcome[0]
        if isinstance(answer, SdkError):
            raise answer
        return answer

    def _arrive(self, what: str, act: Callable[[], T], delay: float) -> list[T | SdkError]:
        outcome: list[T | SdkError] = []

        def arrives() -> None:
            try:
                outcome.append(act())
            except SdkError as exc:
                outcome.append(exc)
            if self._scheduler.traced:
                self._scheduler.tell(f"the cloud gets {what}: {outcome[0]!r}")

        self._scheduler.at(self._scheduler.now + delay, arrives)
        return outcome
