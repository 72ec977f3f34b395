"""Calls that wait for others' answers, side by side: in threads that end with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["side_by_side"]

T = TypeVar("T")
R = TypeVar("R")


def side_by_side(function: Callable[[T], R], items: Sequence[T], most: int = 8) -> list[R]:
    """The results for all items, in their order.

    Args:
        function: Called once for each item; what it raises is raised here.
        items: Any number of them; one alone needs no thread.
        most: Calls under way at once.
    """
    if len(items) < 2:  # noqa: PLR2004  (nothing to do side by side)
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(most, len(items))) as pool:
        return list(pool.map(function, items))
