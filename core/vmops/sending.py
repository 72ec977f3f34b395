"""Sending a verb: within its rate limit, repeated until there is a definite answer.

Transient failures of a verb are repeated here and nowhere else: the same request, the same token.
Where single VMs spoil a call for many, the others are sent again without them.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, Protocol

from vmops.backend import Backend, StopMode, Target
from vmops.batching import Limiter
from vmops.clock import Clock
from vmops.errors import (
    AuthError,
    Conflict,
    InvalidRequest,
    NoCapacity,
    NotFound,
    NotSupported,
    QuotaExceeded,
    Throttled,
    TransientError,
)
from vmops.operation import Action, Handle
from vmops.parallel import side_by_side

__all__ = ["Patience", "Renew", "Sender"]

Answers = list[Handle | Exception]
Renew = Callable[[Sequence[int], bool], None]

_WORKERS: Final = 16
"""Calls in flight at once where the cloud takes one VM per call."""
_SEND_BUDGET: Final = 60.0
"""Seconds for which a call is repeated while the cloud gives no definite answer."""
_BACKOFF: Final = (0.5, 15.0)
_SPOILED: Final = (
    AuthError,
    Conflict,
    InvalidRequest,
    NoCapacity,
    NotFound,
    NotSupported,
    QuotaExceeded,
)
"""What may be refused because of single VMs only."""
_MOST_CALLS: Final = 32
"""Calls that one is divided into at most: enough to find one VM among thousands."""


class Patience:
    """Pauses between the attempts at one call, which end with its budget.

    Args:
        clock: Where time comes from.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin now."""
        self._clock = clock
        self._give_up = clock.now() + _SEND_BUDGET
        self._pauses = _pauses()

    def pause(self, error: TransientError) -> None:
        """Let time pass before the next attempt; raises `error` if there is to be none."""
        pause = max(next(self._pauses), error.retry_after or 0.0)
        if self._clock.now() + pause > self._give_up:
            raise error
        self._clock.sleep(pause)


class _Call(Protocol):
    """Makes one call for the members at these places."""

    def __call__(self, part: Sequence[int], *, prepaid: bool) -> Answers: ...


class Sender:
    """Sends the verbs of one connection.

    Args:
        backend: Makes the calls.
        limiter: The budget of a class of calls.
        call: Makes one call, its exceptions translated.
    """

    def __init__(
        self,
        backend: Backend[Any, Any],
        limiter: Callable[[str], Limiter],
        call: Callable[[Callable[[], Any]], Any],
    ) -> None:
        """Send nothing yet."""
        self._backend = backend
        self._limiter = limiter
        self._call = call

    def can_send_many(self, action: Action) -> bool:
        """Whether the cloud takes many VMs in one call of this verb."""
        return getattr(self._backend, f"{action.value}_many", None) is not None

    def send(  # noqa: PLR0913  (what a verb takes, and how it is repeated)
        self,
        action: Action,
        targets: Sequence[Target[Any]],
        tokens: Sequence[str],
        mode: StopMode,
        renew: Renew | None = None,
        *,
        prepaid: bool = False,
    ) -> Answers:
        """A handle, or what went wrong, for `action` on each target.

        Args:
            action: The verb.
            targets: The VMs. Where the cloud takes many in one call, they leave as one call.
            tokens: One idempotency token per target; one call carries the first.
            mode: For stop.
            renew: Called with indices of targets before every attempt to send them, and with
                whether it is a repeated one; what it raises ends the attempts.
            prepaid: Whether the first call has waited for its rate limit already.
        """
        extra = (mode,) if action is Action.STOP else ()
        many = self.can_send_many(action)
        verb = getattr(self._backend, f"{action.value}_many" if many else action.value)

        def send(part: Sequence[int], *, prepaid: bool) -> Answers:
            them = [targets[i] for i in part]
            call = partial(verb, them if many else them[0], tokens[part[0]], *extra)
            renew_part = None if renew is None else partial(renew, part)
            try:
                answer = self._repeated(action, call, renew_part, prepaid=prepaid)
            except Exception as exc:  # noqa: BLE001  (every member of the call meets it)
                return [exc] * len(part)
            return list(answer) if many else [answer]

        if many and action is Action.PROVISION:  # all or none: never divided
            return send(range(len(targets)), prepaid=prepaid)
        if many:
            ids = [target.id for target in targets]
            return _isolated(send, ids, range(len(ids)), prepaid=prepaid)
        each = side_by_side(lambda i: send([i], prepaid=False), range(len(targets)), _WORKERS)
        return [answer for (answer,) in each]

    def _repeated(
        self,
        action: Action,
        call: Callable[[], Any],
        renew: Callable[[bool], None] | None,
        *,
        prepaid: bool,
    ) -> Any:  # noqa: ANN401  (a handle, or answers for many)
        """The definite answer to a verb."""
        again = False
        limiter = self._limiter(action.value)
        patience = Patience(self._backend.clock)
        while True:
            if again or not prepaid:
                limiter.wait_for_request()
            if renew is not None:
                renew(again)
            again, sent = True, self._backend.clock.now()
            try:
                answer = self._call(call)
            except TransientError as exc:
                if isinstance(exc, Throttled):
                    limiter.throttled(exc.retry_after)
                elif action is Action.RESTART and not exc.unsent:
                    raise  # a reboot that may have happened is never asked for twice
                elif action is Action.PROVISION and not (self._backend.creates_once or exc.unsent):
                    left = sent + self._backend.horizon - self._backend.clock.now()
                    exc.retry_after = max(exc.retry_after or 0.0, left)
                patience.pause(exc)
            else:
                limiter.accepted()
                return answer


def _isolated(send: _Call, ids: Sequence[str], part: Sequence[int], *, prepaid: bool) -> Answers:
    """The answers to a call for many; where some VMs spoil it, the others are sent again.

    Those that the cloud names are left out; where it names none, each half is tried by itself.
    """
    found: dict[int, Handle | Exception] = {}
    waiting = deque([part])
    calls = 0
    while waiting:
        some = waiting.popleft()
        answers = send(some, prepaid=prepaid and not calls)
        calls += 1
        found |= zip(some, answers, strict=True)
        error = answers[0]
        if not isinstance(error, _SPOILED) or any(answer is not error for answer in answers):
            continue
        if calls < _MOST_CALLS and len(some) > 1:
            others = [i for i in some if ids[i] not in error.vm_ids]
            half = len(some) // 2
            named = len(others) < len(some)
            waiting.extend(filter(None, [others] if named else [some[:half], some[half:]]))
    return [found[i] for i in part]


def _pauses() -> Iterator[float]:
    pause, longest = _BACKOFF
    while True:
        yield pause * (0.5 + random.random())  # noqa: S311  (jitter, not cryptography)
        pause = min(pause * 2, longest)
