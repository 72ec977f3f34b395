"""One list of all VMs for all who ask at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

__all__ = ["Shared"]

T = TypeVar("T")


class Shared(Generic[T]):
    """A question whose answer serves everybody who has asked before it was put.

    Args:
        ask: Puts the question.
    """

    def __init__(self, ask: Callable[[], T]) -> None:
        """Ask nothing yet."""
        self._ask = ask
        self._turn = threading.Condition()
        self._begun = self._ended = 0
        self._answer: T | Exception | None = None

    def fresh(self) -> T:
        """An answer to a question that was put after this call began."""
        with self._turn:
            wanted = self._begun + 1
            while self._ended < wanted:
                if self._begun == self._ended:  # nobody is asking
                    self._begun += 1
                    break
                self._turn.wait()
            else:
                return self._told()
        answer: T | Exception
        try:
            answer = self._ask()
        except Exception as exc:  # noqa: BLE001  (raised again, for each who waits)
            answer = exc
        except BaseException:  # interrupted: whoever waits asks again
            with self._turn:
                self._begun -= 1
                self._turn.notify_all()
            raise
        with self._turn:
            self._answer = answer
            self._ended = self._begun
            self._turn.notify_all()
            return self._told()

    def _told(self) -> T:
        if isinstance(self._answer, Exception):
            raise self._answer
        return cast("T", self._answer)  # something has been asked
