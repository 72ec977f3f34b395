"""What Google makes up: numbers, fingerprints, operations' names, time stamps and URLs."""

from __future__ import annotations

import base64
import random
import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

from gce.errors import invalid

ROOT = "https://www.googleapis.com/compute/v1/"
BASE = "/compute/v1/"
NAME = "[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?"
_URL = re.compile(r"https?://[^/]+/compute/(?:v1|beta|alpha)/")
_WINTER, _SUMMER = timezone(timedelta(hours=-8)), timezone(timedelta(hours=-7))


def number() -> str:
    """A resource's number, which no other has: 64 bits, as text."""
    return str(random.randrange(10**18, 9 * 10**18))


def stamp(at: float) -> str:
    """A time as Google writes it, by the clocks of California."""
    utc = datetime.fromtimestamp(at, UTC)
    begin, end = _summer(utc.year)
    zone = _SUMMER if begin <= utc < end else _WINTER
    return utc.astimezone(zone).isoformat(timespec="milliseconds")


@lru_cache
def _summer(year: int) -> tuple[datetime, datetime]:
    """From the second Sunday of March to the first of November, at two o'clock."""
    march, november = datetime(year, 3, 8, 10, tzinfo=UTC), datetime(year, 11, 1, 9, tzinfo=UTC)
    return tuple(day + timedelta((6 - day.weekday()) % 7) for day in (march, november))  # type: ignore[return-value]


def fingerprint(value: Any) -> str:
    """Eight bytes that change with a value, in the alphabet of URLs, as gcloud gives them back."""
    mixed = hash(repr(value)) & (2**64 - 1)
    return base64.urlsafe_b64encode(mixed.to_bytes(8, "big")).decode()


def operation(at: float) -> str:
    """An operation's name."""
    bits = random.getrandbits
    return f"operation-{int(at * 1000)}-{bits(52):013x}-{bits(32):08x}-{bits(32):08x}"


def url(path: str) -> str:
    """A resource's URL, from its path."""
    return ROOT + path


def path_of(text: str, project: str, field: str, pattern: str, place: str = "") -> str:
    """The path that a URL means, whole or in part.

    Args:
        text: As it was given.
        project: Whose it is if the text does not say so.
        field: Of the request, for a refusal.
        pattern: What comes after the project, as a regular expression.
        place: Put before a text that is in no place, as `zones/europe-west1-b/`.
    """
    path = shortened(text)
    found = re.fullmatch(rf"(?:projects/([^/]+)/)?({pattern})", path)
    if found is None:
        raise invalid(field, text, "The URL is malformed.")
    return f"projects/{found[1] or project}/{place}{found[2]}"


def shortened(text: str) -> str:
    """A URL without its host and version."""
    return _URL.sub("", text, count=1).removeprefix("/")


def last(path: str) -> str:
    """A resource's name, from its path or URL."""
    return path.rpartition("/")[2]
