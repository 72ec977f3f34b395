"""A wait for an operation, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vmops.operation import Operation

__all__ = ["End", "Outcome", "Wait"]


class End(StrEnum):
    """How a wait ended; only the operation itself succeeds or fails."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a wait found.

    Args:
        operation: The operation, in the phase it has reached.
        end: Whether it succeeded, failed, or the wait's own time ran out.
        info: What the backend says of the VM, where it succeeded.
        error: Why it failed; after a time-out, what kept the last look from answering, if anything.
        ended: Epoch seconds at which this was seen.
    """

    operation: Operation
    end: End
    ended: float
    info: Mapping[str, Any] = field(default_factory=dict)
    error: Exception | None = None


@dataclass(slots=True, eq=False)
class Wait:
    """One wait for one operation.

    Args:
        operation: What is waited for.
        deadline: Epoch seconds at which this wait (never the operation) gives up.
        interval: The most seconds between two looks, or None.
        accept: Asked before success is believed, for `ready="ssh"`.
    """

    operation: Operation
    deadline: float
    interval: float | None = None
    accept: Callable[[Mapping[str, Any]], bool] | None = None
    due: float = 0.0
    looks: int = 0
    last_pending: float = 0.0
    trouble: Exception | None = None
    outcome: Outcome | None = None
