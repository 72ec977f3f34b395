"""What a connection remembers: the newest of it, shared by its threads."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

__all__ = ["Memory"]

T = TypeVar("T")


class Memory(Generic[T]):
    """Values by name, of which the oldest are forgotten.

    Args:
        most: How many are kept.
    """

    def __init__(self, most: int) -> None:
        """Remember nothing yet."""
        self._most = most
        self._lock = threading.Lock()
        self._kept: dict[str, T] = {}

    def keep(self, name: str, value: T) -> None:
        """Remember a value as the newest."""
        with self._lock:
            self._kept.pop(name, None)
            self._kept[name] = value
            if len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]

    def get(self, name: str) -> T | None:
        """The value of this name, if it is remembered."""
        return self._kept.get(name)

    def take(self, name: str) -> T | None:
        """The same, which is forgotten then."""
        with self._lock:
            return self._kept.pop(name, None)
