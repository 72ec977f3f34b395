"""Times in HTTP headers (RFC 9110): dates, and how long to wait."""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime

__all__ = ["http_date", "retry_after"]


def http_date(text: str | None) -> float | None:
    """A Date header in epoch seconds; None if it is missing or none."""
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except ValueError:
        return None


def retry_after(text: str | None, now: float | None) -> float | None:
    """A Retry-After header in seconds, given as a number, whole or not, or as a date.

    Args:
        text: The header; None if it is missing.
        now: Epoch seconds by the clock that the date is of; None if that is not known.
    """
    try:
        number = float(text or "")
    except ValueError:
        then = http_date(text)
        return None if then is None or now is None else max(then - now, 0.0)
    return max(number, 0.0) if math.isfinite(number) else None
