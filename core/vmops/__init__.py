"""vmops: virtual machines on any cloud through one Protocol.

`SupportsVMOps` and `Status` are all a consumer needs; `VMOps` is the Protocol over every installed
backend. Names are loaded on first use, so importing vmops imports no SDK and nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vmops.protocol import Status, SupportsVMOps

if TYPE_CHECKING:
    from vmops.backend import (
        Backend,
        Bucket,
        Failed,
        Fault,
        Limit,
        Next,
        Pending,
        Progress,
        StopMode,
        Succeeded,
        Target,
    )
    from vmops.checks import Check
    from vmops.clock import Clock, SystemClock, VirtualClock
    from vmops.facade import VMOps
    from vmops.http_errors import never_connected
    from vmops.http_times import http_date, retry_after
    from vmops.machines import machine
    from vmops.operation import Action, Handle, Operation
    from vmops.parallel import side_by_side
    from vmops.params import (
        Act,
        LocalOnly,
        OnlyFor,
        OtherName,
        Params,
        Prefix,
        Secret,
        Settings,
        Tuning,
        check_endpoint,
        list_from_text,
        pairs_from_text,
    )
    from vmops.plugins import Event, hookimpl
    from vmops.result import Result
    from vmops.user_data import check_ssh_public_key, check_user_data, merged_user_data
    from vmops.vm import VM, Ref, State, Tags

__version__ = "0.1.0"

_HOMES = {
    "backend": (
        "Backend",
        "Bucket",
        "Failed",
        "Fault",
        "Limit",
        "Next",
        "Pending",
        "Progress",
        "StopMode",
        "Succeeded",
        "Target",
    ),
    "checks": ("Check",),
    "clock": ("Clock", "SystemClock", "VirtualClock"),
    "facade": ("VMOps",),
    "http_errors": ("never_connected",),
    "http_times": ("http_date", "retry_after"),
    "machines": ("machine",),
    "operation": ("Action", "Handle", "Operation"),
    "params": (
        "Act",
        "LocalOnly",
        "OnlyFor",
        "OtherName",
        "Params",
        "Prefix",
        "Secret",
        "Settings",
        "Tuning",
        "check_endpoint",
        "list_from_text",
        "pairs_from_text",
    ),
    "parallel": ("side_by_side",),
    "plugins": ("Event", "hookimpl"),
    "result": ("Result",),
    "user_data": ("check_ssh_public_key", "check_user_data", "merged_user_data"),
    "vm": ("VM", "Ref", "State", "Tags"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "VM",
    "Act",
    "Action",
    "Backend",
    "Bucket",
    "Check",
    "Clock",
    "Event",
    "Failed",
    "Fault",
    "Handle",
    "Limit",
    "LocalOnly",
    "Next",
    "OnlyFor",
    "Operation",
    "OtherName",
    "Params",
    "Pending",
    "Prefix",
    "Progress",
    "Ref",
    "Result",
    "Secret",
    "Settings",
    "State",
    "Status",
    "StopMode",
    "Succeeded",
    "SupportsVMOps",
    "SystemClock",
    "Tags",
    "Target",
    "Tuning",
    "VMOps",
    "VirtualClock",
    "check_endpoint",
    "check_ssh_public_key",
    "check_user_data",
    "hookimpl",
    "http_date",
    "list_from_text",
    "machine",
    "merged_user_data",
    "never_connected",
    "pairs_from_text",
    "retry_after",
    "side_by_side",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562: any public name)
    """Load a public name from its module on first use."""
    try:
        module = import_module(f"vmops.{_MODULE_OF[name]}")
    except KeyError:
        msg = f"module 'vmops' has no attribute {name!r}"
        raise AttributeError(msg) from None
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
