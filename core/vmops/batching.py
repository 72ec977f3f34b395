"""Calls that coalesce, and the rate limits they wait for.

Group commit, as databases do it: the first caller leads, and while it waits for a token of the rate
limit (or for the call in flight) whatever else arrives piles up and leaves with it as one call. An
idle connection adds no delay; a throttled one makes bigger batches, never more calls. There is no
background thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from vmops.backend import Bucket, Limit
from vmops.clock import Clock
from vmops.errors import PluginError, Unavailable

__all__ = ["Batcher", "Limiter"]

T = TypeVar("T")
R = TypeVar("R")


class _TokenBucket:
    """Tokens that refill with time; may go into debt, which is the time to wait."""

    def __init__(self, bucket: Bucket, clock: Clock) -> None:
        self._bucket = bucket
        self._clock = clock
        self._tokens = bucket.burst
        self._at = clock.now()

    def delay(self, wanted: float, factor: float) -> float:
        """Take `wanted` tokens; the seconds until they are really there."""
        now = self._clock.now()
        rate = self._bucket.per_second * factor
        refilled = self._tokens + max(now - self._at, 0) * rate
        self._tokens = min(refilled, self._bucket.burst) - wanted
        self._at = now
        return max(-self._tokens, 0) / rate if rate else 0.0

    def empty(self) -> None:
        """Forget what was saved up: the provider counts differently."""
        self._tokens = min(self._tokens, 0)


class Limiter:
    """The budget of one class of calls on one connection: halved on throttling, slowly restored."""

    _SLOWEST = 1 / 16
    _RECOVERY = 1.1

    def __init__(self, limit: Limit, clock: Clock) -> None:
        """Start with full buckets."""
        self.batch = limit.batch
        self._clock = clock
        self._lock = threading.Lock()
        self._requests = _TokenBucket(limit.requests, clock) if limit.requests else None
        self._items = _TokenBucket(limit.items, clock) if limit.items else None
        self._factor = 1.0
        self._not_before = 0.0
        self.unlimited = limit == Limit()
        """Whether no published limit applies, so that there is never anything to wait for."""

    def wait_for_request(self) -> None:
        """Return when one more call may be made; meanwhile others pile up."""
        if self.unlimited and not self._not_before:
            return
        with self._lock:
            delay = self._requests.delay(1, self._factor) if self._requests else 0.0
            delay = max(delay, self._not_before - self._clock.now())
        if delay > 0:
            self._clock.sleep(delay)

    def wait_for_items(self, count: int) -> None:
        """Return when a call that carries `count` VMs may leave."""
        if self._items is None:
            return
        with self._lock:
            delay = self._items.delay(count, self._factor)
        if delay > 0:
            self._clock.sleep(delay)

    def throttled(self, retry_after: float | None) -> None:
        """The provider refused: halve the pace, and be silent for as long as it asks."""
        with self._lock:
            self._factor = max(self._factor / 2, self._SLOWEST)
            self._not_before = self._clock.now() + (retry_after or 0.0)
            for bucket in (self._requests, self._items):
                if bucket is not None:
                    bucket.empty()

    def accepted(self) -> None:
        """The provider accepted: let the pace recover."""
        if self._factor < 1:
            with self._lock:
                self._factor = min(self._factor * self._RECOVERY, 1.0)


class _Ticket(Generic[R]):
    """One caller's place: the answers it waits for, and the bell that wakes it."""

    __slots__ = ("answers", "bell", "left")

    def __init__(self, count: int) -> None:
        self.answers: list[R | Exception | None] = [None] * count
        self.left = count
        self.bell: threading.Event | None = None

    def ring(self) -> None:
        if self.bell is not None:
            self.bell.set()


class Batcher(Generic[T, R]):
    """Turns calls from many threads into few calls that carry many items.

    Args:
        send: Makes one call for some items and returns one answer or exception per item.
        limiter: The budget of this class of calls.
        overlap: Whether a batch may leave while another is in flight.
    """

    def __init__(
        self,
        send: Callable[[Sequence[T]], Sequence[R | Exception]],
        limiter: Limiter,
        *,
        overlap: bool = False,
    ) -> None:
        """Nothing is sent until somebody submits."""
        self._send = send
        self._limiter = limiter
        self._overlap = overlap
        self._lock = threading.Lock()
        self._queue: deque[tuple[T, _Ticket[R], int]] = deque()
        self._led = False

    def submit(self, items: Sequence[T]) -> list[R | Exception]:
        """The answers to `items`, in order: each a result, or the exception it met."""
        if self._overlap and self._limiter.unlimited:
            return list(self._call(items))  # nothing to wait for: nothing can pile up
        if self._idle(len(items)):
            try:
                return list(self._call(items))
            finally:
                self._release()
        ticket: _Ticket[R] = _Ticket(len(items))
        with self._lock:
            self._queue.extend((item, ticket, i) for i, item in enumerate(items))
        try:
            while ticket.left:
                if self._may_lead(ticket):
                    self._lead()
                else:
                    ticket.bell.wait()  # type: ignore[union-attr]  # made by _may_lead
        finally:
            if ticket.left:
                self._withdraw(ticket)
        return ticket.answers  # type: ignore[return-value]

    def _idle(self, count: int) -> bool:
        """Whether this caller may just send, as the leader it now is."""
        with self._lock:
            if self._led or self._queue or not self._limiter.unlimited:
                return False
            self._led = count <= self._limiter.batch
            return self._led

    def _may_lead(self, ticket: _Ticket[R]) -> bool:
        with self._lock:
            if self._queue and not self._led:
                self._led = True
                return True
            if ticket.bell is None:
                ticket.bell = threading.Event()
            ticket.bell.clear()
            if not ticket.left:
                ticket.bell.set()  # answered between the caller's check and the lock
            return False

    def _lead(self) -> None:
        batch: list[tuple[T, _Ticket[R], int]] = []
        leading = True
        try:
            self._limiter.wait_for_request()
            with self._lock:
                while self._queue and len(batch) < self._limiter.batch:
                    batch.append(self._queue.popleft())
            self._limiter.wait_for_items(len(batch))
            if self._overlap:
                leading = False
                self._release()
            answers = self._call([item for item, _, _ in batch])
        except BaseException as exc:
            ended = Unavailable(f"the caller that sent this call was ended by {exc!r}")
            self._deliver(batch, [ended] * len(batch))
            raise
        else:
            self._deliver(batch, answers)
        finally:
            if leading:
                self._release()

    def _call(self, batch: Sequence[T]) -> Sequence[R | Exception]:
        try:
            answers = self._send(batch)
        except Exception as exc:  # noqa: BLE001  (every caller in the batch gets it, and decides)
            return [exc] * len(batch)
        if len(answers) != len(batch):
            error = PluginError(f"a batch of {len(batch)} got {len(answers)} answers")
            return [error] * len(batch)
        return answers

    def _deliver(
        self, batch: list[tuple[T, _Ticket[R], int]], answers: Sequence[R | Exception]
    ) -> None:
        with self._lock:
            for (_, ticket, index), answer in zip(batch, answers, strict=True):
                ticket.answers[index] = answer
                ticket.left -= 1
                if not ticket.left:
                    ticket.ring()

    def _release(self) -> None:
        with self._lock:
            self._led = False
            if self._queue:
                self._queue[0][1].ring()

    def _withdraw(self, ticket: _Ticket[R]) -> None:
        with self._lock:
            self._queue = deque(entry for entry in self._queue if entry[1] is not ticket)
            if self._queue and not self._led:
                self._queue[0][1].ring()
