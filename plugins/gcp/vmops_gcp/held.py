"""Requests that GCE answers when an operation is done: held open while somebody waits.

Each is in a thread of its own, which ends with its answer; there are few of them, and an answer
that nobody waits for any more is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from vmops_gcp.operations import Record

__all__ = ["MOST", "HeldWaits"]

Answer = Record | Exception

MOST: Final = 8
"""Requests held open at once; of more operations, lists cost fewer calls and no threads."""
_LONGEST: Final = 130.0
"""Seconds: GCE answers after two minutes at most ("zoneOperations.wait", Compute Engine API)."""
_KEPT: Final = 100
"""Answers that nobody may come for any more."""


class HeldWaits:
    """The waits of one connection that GCE holds.

    Args:
        ask: Returns an operation when it is done, within so many seconds.
    """

    def __init__(self, ask: Callable[[str, float], Record]) -> None:
        """Start no thread yet."""
        self._ask = ask
        self._answered = threading.Condition()
        self._held: set[str] = set()
        self._answers: dict[str, Answer] = {}

    def room(self, names: Sequence[str]) -> bool:
        """Whether there is room for waits for all of these operations."""
        with self._answered:
            return len(self._held.union(names)) <= MOST

    def answers(self, names: Sequence[str], left: float, pause: float) -> dict[str, Answer]:
        """The answers about these operations: those that are there, or the first to come.

        Args:
            names: The operations.
            left: Seconds after which nobody wants an answer any more.
            pause: Seconds until this returns, be there answers or not.
        """
        with self._answered:
            for name in names:
                if name not in self._held and name not in self._answers:
                    # daemons: a process that ends does not wait for an answer it no longer wants
                    threading.Thread(
                        target=self._hold, args=(name, min(left, _LONGEST)), daemon=True
                    ).start()
                    self._held.add(name)
            self._answered.wait_for(lambda: any(name in self._answers for name in names), pause)
            return {name: self._answers.pop(name) for name in names if name in self._answers}

    def _hold(self, name: str, timeout: float) -> None:
        answer: Answer
        try:
            answer = self._ask(name, timeout)
        except Exception as exc:  # noqa: BLE001  (whoever waits must meet it)
            answer = exc
        with self._answered:
            self._held.discard(name)
            self._answers[name] = answer
            while len(self._answers) > _KEPT:
                self._answers.pop(next(iter(self._answers)))
            self._answered.notify_all()
