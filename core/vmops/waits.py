"""Waiting on several connections at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from queue import SimpleQueue
from threading import Thread

from vmops.outcomes import Outcome, Wait
from vmops.tracker import Tracker

__all__ = ["merged"]


def merged(groups: Sequence[tuple[Tracker, Mapping[int, Wait]]]) -> Iterator[tuple[int, Outcome]]:
    """The outcomes of several connections' waits as each ends: one thread per connection."""
    if len(groups) == 1:
        yield from _indexed(*groups[0])
        return
    queue: SimpleQueue[tuple[int, Outcome] | BaseException] = SimpleQueue()

    def run(tracker: Tracker, waits: Mapping[int, Wait]) -> None:
        try:
            for item in _indexed(tracker, waits):
                queue.put(item)
        except BaseException as exc:  # noqa: BLE001  (raised again in the caller's thread)
            queue.put(exc)

    for group in groups:
        Thread(target=run, args=group, daemon=True).start()
    for _ in range(sum(len(waits) for _, waits in groups)):
        item = queue.get()
        if isinstance(item, BaseException):
            raise item
        yield item


def _indexed(tracker: Tracker, waits: Mapping[int, Wait]) -> Iterator[tuple[int, Outcome]]:
    indices = list(waits)
    for place, outcome in tracker.wait_many(list(waits.values())):
        yield indices[place], outcome
