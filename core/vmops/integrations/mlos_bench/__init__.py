"""mlos_bench's VMs on every backend: name `VMOpsService` in a service config (extra `mlos`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmops.integrations.mlos_bench.service import VMOpsService

__all__ = ["VMOpsService"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562)
    """Load the service, and mlos_bench with it, on first use: its options are read without."""
    if name != "VMOpsService":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from vmops.integrations.mlos_bench.service import VMOpsService

    globals()[name] = VMOpsService
    return VMOpsService
