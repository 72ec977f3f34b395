"""Driver methods that wait until an operation is over: each runs in a thread of its own."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import Any, Final

from vmops import Handle

__all__ = ["Background"]

_PATIENCE: Final = 3.0
"""Seconds within which most refusals come: so long a verb waits for one."""
_REMEMBERED: Final = 1000


class Background:
    """The calls of one connection that take long.

    Args:
        told: Called with what a call has raised after it was waited for.
        patience: Seconds for which each is waited for.
    """

    def __init__(self, told: Callable[[Exception], None], patience: float = _PATIENCE) -> None:
        """Nothing is under way."""
        self._told = told
        self._patience = patience
        self._waited_for: set[str] = set()
        self._failed: dict[str, Exception] = {}
        self._running: set[str] = set()

    def begin(self, call: Callable[[], Handle]) -> Handle:
        """The handle that a call has made, if it was quick; else one by which it is found again.

        What it raises is raised here, or told by `failure`.
        """
        key = secrets.token_hex(8)
        ended: list[Handle | Exception] = []
        self._running.add(key)
        self._waited_for.add(key)
        thread = threading.Thread(target=self._run, args=(key, call, ended), daemon=True)
        thread.start()
        thread.join(self._patience)
        self._waited_for.discard(key)
        if not ended:
            return {"call": key}
        self._failed.pop(key, None)
        if isinstance(ended[0], Exception):
            raise ended[0]
        return ended[0]

    def failure(self, handle: Handle) -> Exception | None:
        """Why the call that made a handle has failed; None if it has not, or another process's."""
        return self._failed.get(handle.get("call", ""))

    def is_running(self, handle: Handle) -> bool:
        """Whether the call that made a handle goes on, in this process."""
        return handle.get("call", "") in self._running

    def _run(self, key: str, call: Callable[[], Handle], ended: list[Any]) -> None:
        try:
            ended.append(call())
        except Exception as exc:  # noqa: BLE001  (told by whoever waits for it)
            while len(self._failed) >= _REMEMBERED:
                self._failed.pop(next(iter(self._failed)), None)
            self._failed[key] = exc
            ended.append(exc)
            if key not in self._waited_for:
                self._told(exc)
        finally:
            self._running.discard(key)
