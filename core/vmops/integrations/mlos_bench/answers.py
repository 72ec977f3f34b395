"""What every method answers mlos_bench: a pair, never an exception."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from mlos_bench.environments.status import Status

from vmops.errors import VMOpsError
from vmops.result import Result

__all__ = ["Answer", "answered", "failed"]

P = ParamSpec("P")
S = TypeVar("S")

Answer = tuple[Status, dict[str, Any]]

_log = logging.getLogger("vmops")


def answered(
    method: Callable[Concatenate[S, P], Answer],
) -> Callable[Concatenate[S, P], Answer]:
    """The method, with what it raises made FAILED.

    An exception would end mlos_bench without a teardown, and leave the VM: one trial's wrong value
    is that trial's failure. What is wrong with the config itself is raised when a service is made.
    """

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> Answer:
        try:
            return method(self, *args, **kwargs)
        except VMOpsError as exc:
            return failed(method.__name__, exc)

    return call


def failed(what: str, error: VMOpsError) -> Answer:
    """FAILED with its cause, which is logged."""
    _log.warning("%s failed: %s: %s", what, type(error).__name__, error)
    return Status.FAILED, Result.failure(error)
