"""The names of VMs that one call made, in one tag: `web-{0..99}`, `vm{1..9}-db`, `kit-{3a,b2}`.

The notation is the shell's brace expansion. All instances of a RunInstances call are born with the
same tags, so the tag `vmops-vm` holds all their names, in the order of their AmiLaunchIndex, until
each is named by itself. Names share a batch if they are alike but for one part: their last number,
else what follows their last dash. So any of them is found by one wildcard, what is before that part
and `{*`.

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
_BATCH = re.compile(r"(?P<stem>[^{}]*)\{(?P<items>[^{}]+)\}(?P<rest>[^{}]*)\Z")
_RANGE = re.compile(r"(?P<head>[a-z0-9]*?)(?P<first>[0-9]+)\.\.(?P=head)(?P<last>[0-9]+)\Z")
_DIGITS = re.compile(r"(?P<head>.*?)(?P<number>[0-9]+)\Z")
_NUMBERED = (
    re.compile(r"(?P<stem>(?:.*-)?)(?P<part>[0-9]+)(?P<rest>(?:-[^-]*)*)\Z"),
    re.compile(r"(?P<stem>(?:.*-)?[a-z]+)(?P<part>[0-9]+)(?P<rest>(?:-[^-]*)*)\Z"),
    re.compile(r"(?P<stem>(?:.*-)?)(?P<part>[^-]*)(?P<rest>)\Z"),
)
"""How a name is divided: by its last number that stands alone between dashes, else by its last
number after letters, else by its last dash."""


def stem(name: str) -> str:
    """What a name has before the part that tells it from the others of its batch."""
    return _divided(name)[0]


def pattern(name: str) -> str:
    """The wildcard that finds any batch which may hold this name."""
    return stem(name) + "{*"


def encoded(names: Sequence[str]) -> str:
    """The names as one tag value.

    Raises:
        ValueError: One tag cannot hold them; `parts` divides names into what it can.
    """
    if len(names) == 1:
        return names[0]
    part = _Part(names[0])
    if not all(part.add(name) for name in names):
        raise ValueError(f"one tag cannot name {names[0]!r} and {len(names) - 1} others")
    return part.text


@lru_cache(maxsize=4096)
def decoded(text: str) -> tuple[str, ...]:
    """The names in a tag value; none where vmops did not write it."""
    match = _BATCH.match(text)
    if match is None:
        return (text,)
    tails = [tail for item in match["items"].split(",") for tail in _expanded(item)]
    names = tuple(match["stem"] + tail + match["rest"] for tail in tails)
    return names if len(names) <= _MOST else ()


def parts(names: Iterable[str], most: int) -> Iterator[list[str]]:
    """The names, divided into what one tag value can hold: `most` that are alike at most."""
    alike: dict[tuple[str, str], list[str]] = {}
    for name in names:
        before, _, rest = _divided(name)
        alike.setdefault((before, rest), []).append(name)
    for group in alike.values():
        part = _Part(group[0])
        for name in group:
            if len(part.names) == most or not part.add(name):
                yield part.names
                part = _Part(name)
                part.add(name)
        yield part.names


def _divided(name: str) -> tuple[str, str, str]:
    """What is before the part that tells a name from others, that part, and what is behind it."""
    match = next(filter(None, (kind.match(name) for kind in _NUMBERED)))
    return match["stem"], match["part"], match["rest"]


class _Part:
    """Names of one batch, as they are put together.

    Args:
        first: Any of them.
    """

    def __init__(self, first: str) -> None:
        self.names: list[str] = []
        self._stem, _, self._rest = _divided(first)
        self._items: list[tuple[str, str]] = []
        self._length = len(self._stem + self._rest) + 1  # the braces, less a comma

    @property
    def text(self) -> str:
        items = (_item(first, last) for first, last in self._items)
        return f"{self._stem}{{{','.join(items)}}}{self._rest}"

    def add(self, name: str) -> bool:
        """Add a name, unless it is not alike, or does not fit; the first one always does."""
        before, tail, rest = _divided(name)
        if (before, rest) != (self._stem, self._rest):
            return False
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
