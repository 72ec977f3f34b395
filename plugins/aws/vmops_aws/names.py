"""The names of VMs that one call made, in one tag: `web-{0..199}`, `kit-{3fa9,b2c1}`.

The notation is the shell's brace expansion. All instances of a RunInstances call are born with the
same tags, so the tag `vmops-vm` holds all their names, in the order of their AmiLaunchIndex, until
each is named by itself. Names that share a batch share a *stem*, so that any of them can be found
by one wildcard, `STEM{*`.

EC2's limit of a tag's value is 256 characters ("Tag restrictions" in the EC2 user guide).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

__all__ = ["decoded", "encoded", "parts", "pattern", "stem"]

_LONGEST: Final = 256
_MOST: Final = 1000
_BATCH = re.compile(r"(?P<stem>[^{}]*)\{(?P<items>[^{}]+)\}\Z")
_RANGE = re.compile(r"(?P<head>[a-z0-9]*?)(?P<first>[0-9]+)\.\.(?P=head)(?P<last>[0-9]+)\Z")
_DIGITS = re.compile(r"(?P<head>.*?)(?P<number>[0-9]+)\Z")


def stem(name: str) -> str:
    """What a name shares with the others of its batch: all up to its last dash, or its number."""
    head, dash, _ = name.rpartition("-")
    if dash:
        return head + dash
    return name.rstrip("0123456789") if name[-1:].isdigit() else ""


def pattern(name: str) -> str:
    """The wildcard that finds any batch which may hold this name."""
    return stem(name) + "{*"


def encoded(names: Sequence[str]) -> str:
    """The names as one tag value; they fit, and share their stem, as `parts` has seen to."""
    if len(names) == 1:
        return names[0]
    part = _Part(stem(names[0]))
    for name in names:
        part.add(name)
    return part.text


@lru_cache(maxsize=4096)
def decoded(text: str) -> tuple[str, ...]:
    """The names in a tag value; none where vmops did not write it."""
    match = _BATCH.match(text)
    if match is None:
        return (text,)
    tails = [tail for item in match["items"].split(",") for tail in _expanded(item)]
    return tuple(match["stem"] + tail for tail in tails) if len(tails) <= _MOST else ()


def parts(names: Iterable[str], most: int) -> Iterator[list[str]]:
    """The names, divided into what one tag value can hold: `most` of one stem at most."""
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(stem(name), []).append(name)
    for shared, alike in by_stem.items():
        part = _Part(shared)
        for name in alike:
            if len(part.names) == most or not part.add(name):
                yield part.names
                part = _Part(shared)
                part.add(name)
        yield part.names


class _Part:
    """Names of one batch, as they are put together."""

    def __init__(self, shared: str) -> None:
        self.names: list[str] = []
        self._stem = shared
        self._items: list[tuple[str, str]] = []
        self._length = len(shared) + 1  # the braces, and a comma less than there are items

    @property
    def text(self) -> str:
        items = (_item(first, last) for first, last in self._items)
        return f"{self._stem}{{{','.join(items)}}}"

    def add(self, name: str) -> bool:
        """Add a name, unless it does not fit any more; the first one always does."""
        tail = name.removeprefix(self._stem)
        first, last = self._items[-1] if self._items else ("", "")
        if self._items and _follows(first, last, tail):
            kept, item = self._items[:-1], (first, tail)
            length = self._length - len(_item(first, last)) + len(_item(*item))
        else:
            kept, item = self._items, (tail, tail)
            length = self._length + len(tail) + 1
        if self.names and length > _LONGEST:
            return False
        self._items, self._length = [*kept, item], length
        self.names.append(name)
        return True


def _item(first: str, last: str) -> str:
    return first if first == last else f"{first}..{last}"


def _follows(first: str, last: str, tail: str) -> bool:
    """Whether a tail continues the range from `first` to `last`: the next number, as wide."""
    start, end, new = _DIGITS.match(first), _DIGITS.match(last), _DIGITS.match(tail)
    if start is None or end is None or new is None:
        return False
    expected = start["head"] + str(int(end["number"]) + 1).zfill(len(start["number"]))
    return tail == expected


def _expanded(item: str) -> Iterator[str]:
    match = _RANGE.match(item)
    if match is None:
        yield item
        return
    width, first, last = len(match["first"]), int(match["first"]), int(match["last"])
    for number in range(first, min(last, first + _MOST) + 1):
        yield f"{match['head']}{number:0{width}d}"
