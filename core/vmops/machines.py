"""`with vmops.machine(params) as vm:` - a VM for as long as a block of code needs it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from vmops.facade import DEFAULT_JOURNAL, VMOps
from vmops.protocol import Status
from vmops.result import Result

__all__ = ["Machine", "machine"]


class Machine:
    """A VM inside `vmops.machine`: its name, what is known of it, and verbs that wait."""

    def __init__(self, ops: VMOps, params: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        """Made by `machine`."""
        self._ops = ops
        self._params = dict(params)
        self.name = str(info.get("vmName", ""))
        self.info = dict(info)

    def start(self) -> None:
        """Start it and wait until it runs."""
        self._act("vm_start")

    def stop(self) -> None:
        """Stop it and wait until it has stopped."""
        self._act("vm_stop")

    def restart(self) -> None:
        """Restart it and wait until it runs again."""
        self._act("vm_restart")

    def _act(self, verb: str) -> None:
        self.info.update(_finish(self._ops, *getattr(self._ops, verb)(self._params)))


@contextmanager
def machine(
    params: Mapping[str, Any],
    config: Mapping[str, Any] | None = None,
    *,
    journal: str | os.PathLike[str] | None = DEFAULT_JOURNAL,
) -> Iterator[Machine]:
    """A VM that exists and runs inside the `with` block, and is deleted at its end.

    Args:
        params: As for `vm_provision`.
        config: As for `VMOps`.
        journal: As for `VMOps`.

    Raises:
        CloudError: It could not be made (what may remain is deleted), or could not be deleted.
        TimeoutError: It took longer than `pollTimeout`.
    """
    with VMOps(config, journal=journal) as ops:
        try:
            info = _finish(ops, *ops.vm_provision(params))
            yield Machine(ops, params, info)
        finally:
            _finish(ops, *ops.vm_deprovision(params))


def _finish(ops: VMOps, status: Status, result: Result) -> Result:
    if status.is_pending():
        status, result = ops.wait_vm_operation(result)
    if status.is_succeeded():
        return result
    if result.error is not None:
        raise result.error
    msg = "the wait ran out of time; give a greater pollTimeout (seconds)"
    raise TimeoutError(msg)
