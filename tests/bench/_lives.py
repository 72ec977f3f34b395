"""One VM's life through the Protocol, as the benchmarks of all clouds live it."""

from __future__ import annotations

import time
from collections.abc import Callable

from vmops import VMOps

__all__ = ["cpu_of", "our_lags", "our_life"]

_VERBS = ("vm_provision", "vm_stop", "vm_start", "vm_restart", "vm_deprovision")


def our_life(ops: VMOps, name: str) -> None:
    """One VM's life through the Protocol."""
    for verb in _VERBS:
        status, result = getattr(ops, verb)({"vmName": name})
        if status.is_pending():
            status, result = ops.wait_vm_operation(result)
        assert status.is_succeeded(), (verb, result.error)


def cpu_of(call: Callable[[], None]) -> float:
    """Seconds of CPU of this process."""
    began = time.process_time()
    call()
    return time.process_time() - began


def our_lags(ops: VMOps, real: float, name: str) -> list[float]:
    """How late the ends of a provision and a stop are seen."""
    found = []
    for verb in ("vm_provision", "vm_stop", "vm_deprovision"):
        began = time.time()
        status, result = getattr(ops, verb)({"vmName": name})
        asked = time.time()
        status, result = ops.wait_vm_operation(result)
        assert status.is_succeeded(), result.error
        found.append(time.time() - (began + asked) / 2 - real)
    return found
