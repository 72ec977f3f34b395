"""The dict that every method returns beside its Status."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["Result", "timed"]


class Result(dict[str, Any]):
    """What a method returns beside its Status: `{}` on failure, and then `error` says why."""

    error: Exception | None = None

    @classmethod
    def failure(cls, error: Exception | None) -> Result:
        """An empty result that carries its cause."""
        result = cls()
        result.error = error
        return result


def timed(began: float, ended: float, info: Mapping[str, Any]) -> dict[str, Any]:
    """What a success tells: when it began and ended (ISO 8601, UTC), and the VM's info."""
    return {
        "startTime": datetime.fromtimestamp(began, UTC).isoformat(),
        "endTime": datetime.fromtimestamp(ended, UTC).isoformat(),
        "durationSeconds": round(max(ended - began, 0.0), 3),
        **info,
    }
