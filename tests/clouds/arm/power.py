"""What makes a VM run or not: the verbs that take time, and how they end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from arm.errors import Refused
from arm.views import DISPLAYED
from arm.world import Resource, world


@dataclass(frozen=True)
class Act:
    """A verb that takes time: whose seconds it takes, and the power states while and after it."""

    seconds: str
    during: str = ""
    after: str = ""
    from_: tuple[str, ...] = tuple(DISPLAYED)


ACTS = {
    "start": Act("start", "starting", "running"),
    "poweroff": Act("power_off", "stopping", "stopped"),
    "deallocate": Act("deallocate", "deallocating", "deallocated"),
    "restart": Act("restart", "", "running", ("running", "starting")),
    "redeploy": Act("restart", "", "running"),
    "reapply": Act("restart"),
    "runcommand": Act("restart", "", "", ("running",)),
}


ENDING = frozenset({"deallocate", "poweroff"})
"""Verbs that may come in the middle of another one, which they put an end to."""


PREEMPTED = {
    "code": "OperationPreempted",
    "message": "Operation execution has been preempted by a more recent operation.",
}


OUTPUT = {
    "value": [
        {
            "code": f"ComponentStatus/{stream}/succeeded",
            "level": "Info",
            "displayStatus": "Provisioning succeeded",
            "message": "",
        }
        for stream in ("StdOut", "StdErr")
    ]
}


def ended(vm: Resource, act: Act) -> Callable[[dict[str, Any] | None], None]:
    """What an end of a verb means for its VM."""

    def done(error: dict[str, Any] | None) -> None:
        if vm.state != "Updating" or (error or {}).get("code") == "OperationPreempted":
            return
        vm.state, vm.hidden["error"] = ("Failed" if error else "Succeeded"), error
        if error and act.seconds == "start":
            vm.hidden["power"] = "deallocated"
        elif act.after and not error:
            vm.hidden["power"] = act.after

    return done


def no_room(vm: Resource) -> dict[str, Any] | None:
    """The error of an operation for whose VM there is no room."""
    size = vm.properties.get("hardwareProfile", {}).get("vmSize", "")
    if size not in world.settings.no_capacity:
        return None
    zoned = bool(vm.body.get("zones"))
    return {
        "code": "ZonalAllocationFailed" if zoned else "AllocationFailed",
        "message": "Allocation failed. We do not have sufficient capacity for the requested VM"
        f" size in this {'zone' if zoned else 'region'}.",
    }


def conflict(vm: Resource, why: str) -> Refused:
    """A verb that does not suit how the VM stands."""
    return Refused(
        409, "OperationNotAllowed", f"Operation is not allowed on VM '{vm.name}' since {why}."
    )
