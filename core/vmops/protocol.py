"""The Protocol that consumers import, and the Status it answers with.

Both come from MLOS (`mlos_bench/services/types/vm_provisioner_type.py` and
`mlos_bench/environments/status.py`): names, values and argument order are theirs.
Nothing but the standard library is imported here, so depending on this module costs nothing.
"""

from __future__ import annotations

import enum
from typing import Any, Protocol, runtime_checkable

__all__ = ["Status", "SupportsVMOps"]


class Status(enum.Enum):
    """How an operation stands, with the values MLOS gives them."""

    UNKNOWN = 0
    PENDING = 1
    READY = 2
    RUNNING = 3
    SUCCEEDED = 4
    CANCELED = 5
    FAILED = 6
    TIMED_OUT = 7

    @staticmethod
    def parse(value: object) -> Status:
        """The Status that a name (any case), a number or a Status stands for; else UNKNOWN."""
        if isinstance(value, Status):
            return value
        text = str(value).strip().upper()
        if text.isdecimal():
            return next((s for s in Status if s.value == int(text)), Status.UNKNOWN)
        return Status.__members__.get(text, Status.UNKNOWN)

    def is_good(self) -> bool:
        """Whether nothing has gone wrong so far."""
        return self in {Status.PENDING, Status.READY, Status.RUNNING, Status.SUCCEEDED}

    def is_completed(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self in {Status.SUCCEEDED, Status.CANCELED, Status.FAILED, Status.TIMED_OUT}

    def is_pending(self) -> bool:
        """Whether this is PENDING."""
        return self is Status.PENDING

    def is_ready(self) -> bool:
        """Whether this is READY."""
        return self is Status.READY

    def is_running(self) -> bool:
        """Whether this is RUNNING."""
        return self is Status.RUNNING

    def is_succeeded(self) -> bool:
        """Whether this is SUCCEEDED."""
        return self is Status.SUCCEEDED

    def is_failed(self) -> bool:
        """Whether this is FAILED."""
        return self is Status.FAILED

    def is_canceled(self) -> bool:
        """Whether this is CANCELED."""
        return self is Status.CANCELED

    def is_timed_out(self) -> bool:
        """Whether this is TIMED_OUT (MLOS 0.6 compares with FAILED here; that is its bug)."""
        return self is Status.TIMED_OUT


@runtime_checkable
class SupportsVMOps(Protocol):
    """Anything that runs virtual machines: seven methods, each `params -> (Status, dict)`.

    The verbs answer PENDING, SUCCEEDED or FAILED at once. A PENDING result is the caller's
    params plus `asyncResultsUrl`; passing that dict to a wait method is all a wait needs, in this
    process or another. Waits answer SUCCEEDED, FAILED, TIMED_OUT or PENDING.
    """

    def vm_provision(self, params: dict[str, Any]) -> tuple[Status, dict[str, Any]]:
        """Ask for a VM to exist and run."""
        ...

    def wait_vm_deployment(
        self,
        is_setup: bool,  # noqa: FBT001  (the Protocol's own signature)
        params: dict[str, Any],
    ) -> tuple[Status, dict[str, Any]]:
        """Wait until the VM runs (`is_setup`) or is gone (not `is_setup`)."""
        ...

    def vm_start(self, params: dict[str, Any]) -> tuple[Status, dict[str, Any]]:
        """Ask a stopped VM to run."""
        ...

    def vm_stop(self, params: dict[str, Any]) -> tuple[Status, dict[str, Any]]:
        """Ask a running VM to shut down and release its compute."""
        ...

    def vm_restart(self, params: dict[str, Any]) -> tuple[Status, dict[str, Any]]:
        """Ask a running VM to shut down and boot again."""
        ...

    def vm_deprovision(self, params: dict[str, Any]) -> tuple[Status, dict[str, Any]]:
        """Ask for the VM, and all that was created for it, to be deleted."""
        ...

    def wait_vm_operation(self, params: dict[str, Any]) -> tuple[Status, dict[str, Any]]:
        """Wait for the operation that `params["asyncResultsUrl"]` names."""
        ...
