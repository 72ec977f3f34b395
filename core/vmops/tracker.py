"""Waiting: all waits of one connection share one look at the cloud.

Whoever waits first leads: it sleeps until a look is due, looks once for everybody, hands out the
answers, and passes the lead on when its own wait is over. Followers sleep on an event. There is no
background thread and no thread per wait, and every pause goes through the connection's clock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from vmops.backend import Failed, Next, Pending, Progress, Succeeded
from vmops.clock import Clock
from vmops.errors import CloudError, TransientError
from vmops.operation import Operation
from vmops.outcomes import End, Outcome, Wait
from vmops.pace import Pace
from vmops.parallel import side_by_side

__all__ = ["Tracker"]

Look = Callable[[Sequence[Operation], float], Mapping[str, Progress]]

_FOREVER: Final = float("inf")
_SLOWEST_RETRY: Final = 30.0
_ACCEPTERS: Final = 16


class _Caller:
    """One thread inside `wait_many`."""

    __slots__ = ("asleep", "bell", "ended", "open")

    def __init__(self, count: int) -> None:
        self.bell = threading.Event()
        self.asleep = False
        self.open = count
        self.ended: deque[Wait] = deque()


class Tracker:
    """Shares looks among all waits of one connection.

    Args:
        look: Asks the cloud how operations stand: one call (or few) for all of them.
        advance: Begins the second phase of an operation and returns it in that phase.
        clock: Where time comes from.
        pace: When to look.
        ended: Told once per look about the outcomes it brought.
        watched: Told of every look at every wait, for progress displays.
        idle: Told how many seconds there are until the next look.
    """

    def __init__(  # noqa: PLR0913, PLR0917  (its seven collaborators)
        self,
        look: Look,
        advance: Callable[[Operation], Operation],
        clock: Clock,
        pace: Pace,
        ended: Callable[[Sequence[Outcome]], None] = lambda _: None,
        watched: Callable[[Wait, Progress], None] | None = None,
        idle: Callable[[float], None] | None = None,
    ) -> None:
        """Nothing happens until somebody waits."""
        self.pace = pace
        self._look = look
        self._advance = advance
        self._clock = clock
        self._ended = ended
        self._watched = watched
        self._idle = idle
        self._lock = threading.Lock()
        self._waits: dict[Wait, _Caller] = {}
        self._leader: _Caller | None = None
        self._last_look = -_FOREVER
        self._failures = 0

    def wait(self, wait: Wait) -> Outcome:
        """The outcome of one wait."""
        return next(self.wait_many([wait]))[1]

    def wait_many(self, waits: Sequence[Wait]) -> Iterator[tuple[int, Outcome]]:
        """The outcomes of many waits as each ends, with its index."""
        caller = _Caller(len(waits))
        index = {wait: i for i, wait in enumerate(waits)}
        self._join(waits, caller)
        try:
            while caller.open:
                while caller.ended:
                    wait = caller.ended.popleft()
                    caller.open -= 1
                    yield index[wait], wait.outcome  # type: ignore[misc]  # ended waits have one
                if caller.open:
                    self._lead_or_sleep(caller)
        finally:
            self._leave(waits, caller)

    def _join(self, waits: Sequence[Wait], caller: _Caller) -> None:
        now = self._clock.now()
        with self._lock:
            for wait in waits:
                likely = wait.operation.at + self.pace.first(wait.operation.action)
                if wait.interval is not None:
                    likely = min(likely, now + wait.interval)
                wait.due = min(max(likely, now), wait.deadline)
                self._waits[wait] = caller
            if self._leader is not None:
                self._leader.bell.set()  # something may be due earlier than it sleeps

    def _leave(self, waits: Sequence[Wait], caller: _Caller) -> None:
        with self._lock:
            for wait in waits:
                self._waits.pop(wait, None)
            self._hand_over(caller)

    def _lead_or_sleep(self, caller: _Caller) -> None:
        with self._lock:
            caller.bell.clear()
            if caller.ended:
                return
            caller.asleep = self._leader is not None
            if not caller.asleep:
                self._leader = caller
        if caller.asleep:
            caller.bell.wait()
            return
        try:
            while not caller.ended:
                self._lead(caller)
        finally:
            with self._lock:
                self._hand_over(caller)

    def _hand_over(self, caller: _Caller) -> None:
        if self._leader is not caller and self._leader is not None:
            return
        self._leader = None
        heir = next((c for c in self._waits.values() if c.asleep and c is not caller), None)
        if heir is not None:
            heir.asleep = False
            heir.bell.set()

    def _lead(self, caller: _Caller) -> None:
        with self._lock:
            caller.bell.clear()
            earliest = min(wait.due for wait in self._waits)
        look_at = max(earliest, self._last_look + self.pace.tick)
        pause = look_at - self._clock.now()
        if pause > 0 and self._idle is not None:
            self._idle(pause)
            pause = look_at - self._clock.now()
        if pause > 0 and self._clock.wait(caller.bell, pause):
            return  # somebody joined: what is due first may have changed
        self._look_once()

    def _look_once(self) -> None:
        now = self._clock.now()
        with self._lock:
            due = [wait for wait in self._waits if wait.due <= now + self.pace.tick]
            patience = min(wait.deadline for wait in self._waits) - now
        operations = list({wait.operation.id: wait.operation for wait in due}.values())
        try:
            progress = self._look(operations, max(patience, self.pace.tick))
        except CloudError as exc:
            self._postpone(due, exc)
        except BaseException as exc:
            self._give_up(due, exc)
            raise
        else:
            self._failures = 0
            self._apply(due, progress)
        self._last_look = self._clock.now()

    def _apply(self, due: list[Wait], progress: Mapping[str, Progress]) -> None:
        advanced: dict[str, Operation | Exception] = {}
        steps = {wait: progress[wait.operation.id] for wait in due}
        for wait in _not_accepted(steps):
            steps[wait] = Pending()
        for wait, found in steps.items():
            step = self._advanced(wait, advanced) if isinstance(found, Next) else found
            wait.looks += 1
            if self._watched is not None:
                self._watched(wait, step)
            self._conclude(wait, step)
        self._settle(due)

    def _advanced(self, wait: Wait, advanced: dict[str, Operation | Exception]) -> Progress:
        key = wait.operation.id
        if key not in advanced:
            try:
                advanced[key] = self._advance(wait.operation)
            except CloudError as exc:
                advanced[key] = exc
        result = advanced[key]
        if isinstance(result, Operation):
            wait.operation = result
            return Pending()
        wait.trouble = result
        if isinstance(result, TransientError):
            return Pending(result.retry_after)
        return Failed(result)  # type: ignore[arg-type]

    def _conclude(self, wait: Wait, step: Progress) -> None:
        now = self._clock.now()
        if isinstance(step, Succeeded):
            self._learn(wait, now)
            wait.outcome = Outcome(wait.operation, End.SUCCEEDED, now, step.info)
        elif isinstance(step, Failed):
            wait.outcome = Outcome(wait.operation, End.FAILED, now, error=step.error)
        elif now >= wait.deadline:
            wait.outcome = Outcome(wait.operation, End.TIMED_OUT, now, error=wait.trouble)
        else:
            wait.trouble = None
            self._schedule(wait, now, step.retry_after if isinstance(step, Pending) else None)

    def _schedule(self, wait: Wait, now: float, hint: float | None) -> None:
        pause = self.pace.step(wait.operation.action, now - wait.operation.at)
        if wait.interval is not None:
            pause = min(pause, wait.interval)
        wait.due = min(now + max(pause, hint or 0.0), wait.deadline)
        wait.last_pending = now

    def _learn(self, wait: Wait, now: float) -> None:
        if wait.last_pending:  # it was watched, so its end is known to within one step
            self.pace.learn(
                wait.operation.action, (wait.last_pending + now) / 2 - wait.operation.at
            )

    def _postpone(self, due: list[Wait], error: CloudError) -> None:
        """A look that failed is never an operation that failed: look again, later."""
        now = self._clock.now()
        self._failures += 1
        pause = min(self.pace.tick * 2**self._failures, _SLOWEST_RETRY)
        for wait in due:
            wait.trouble = error
            if now >= wait.deadline:
                wait.outcome = Outcome(wait.operation, End.TIMED_OUT, now, error=error)
            else:
                wait.due = min(now + max(pause, error.retry_after or 0.0), wait.deadline)
        self._settle(due)

    def _give_up(self, due: list[Wait], error: BaseException) -> None:
        """The look met a bug or an interrupt: whoever else was in it looks for itself."""
        if isinstance(error, Exception):
            now = self._clock.now()
            for wait in due:
                wait.outcome = Outcome(wait.operation, End.TIMED_OUT, now, error=error)
            self._settle(due)

    def _settle(self, due: list[Wait]) -> None:
        ended = [wait for wait in due if wait.outcome is not None]
        if not ended:
            return
        self._ended([wait.outcome for wait in ended if wait.outcome is not None])
        with self._lock:
            for wait in ended:
                caller = self._waits.pop(wait, None)
                if caller is not None:
                    caller.ended.append(wait)
                    caller.asleep = False  # it has something to hand on, so it cannot lead
                    caller.bell.set()


def _not_accepted(steps: Mapping[Wait, Progress]) -> list[Wait]:
    """The successes that their waits do not accept yet; asked side by side, as asking is slow."""
    asked = [
        (wait, wait.accept, step.info)
        for wait, step in steps.items()
        if isinstance(step, Succeeded) and wait.accept is not None
    ]
    answers = side_by_side(lambda one: one[1](one[2]), asked, _ACCEPTERS)
    return [wait for (wait, _, _), accepted in zip(asked, answers, strict=True) if not accepted]
