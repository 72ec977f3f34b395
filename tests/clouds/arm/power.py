"""What makes a VM run or not: the verbs that take time, and how they end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from arm.errors import Refused
from arm.kinds import Answer
from arm.operations import Operation, begin, headers
from arm.paths import Request
from arm.views import DISPLAYED
from arm.world import Resource, world


@dataclass(frozen=True)
class Act:
    """A verb that takes time.

    Args:
        seconds: Whose seconds it takes, in the settings.
        during: The power state meanwhile, if it becomes another one.
        after: Likewise when it has succeeded.
        keeps: A power state that it leaves alone.
        needs: The power states in which it may come.
        ends: Whether it may come in the middle of another one, and put an end to that.
    """

    seconds: str
    during: str = ""
    after: str = ""
    keeps: str = ""
    needs: tuple[str, ...] = tuple(DISPLAYED)
    ends: bool = False


ACTS = {
    "start": Act("start", "starting", "running", keeps="running"),
    "poweroff": Act("power_off", "stopping", "stopped", keeps="deallocated", ends=True),
    "deallocate": Act("deallocate", "deallocating", "deallocated", keeps="deallocated", ends=True),
    "restart": Act("restart", "", "running", needs=("running", "starting")),
    "redeploy": Act("restart"),
    "reapply": Act("restart"),
    "runcommand": Act("restart", needs=("running",)),
}
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


def begun(vm: Resource, request: Request, verb: str) -> Answer:
    """The answer to a verb, which takes its time."""
    act, busy, state = ACTS[verb], vm.hidden.get("operation"), vm.hidden["power"]
    if vm.state == "Deleting":
        raise conflict(vm, "it is being deleted")
    if busy is not None and busy.status == "InProgress":
        if not act.ends:
            raise conflict(vm, f"it is busy with {busy.request.verb or busy.kind}")
    elif state not in act.needs:
        raise conflict(vm, f"it is {state or 'not running'}")
    preempt(vm)
    vm.state = "Updating"
    if state != act.keeps:
        vm.hidden["power"] = act.during or state
    output = OUTPUT if verb == "runcommand" else None
    operation = Operation(act.seconds, request, vm, _ended(vm, act, state), output)
    vm.hidden["operation"] = operation
    lacks_room = verb == "start" and state == "deallocated"
    begin(operation, fails=no_room(vm) if lacks_room else None)
    return 202, None, headers(operation, "AL")


def preempt(vm: Resource) -> None:
    """Ends what is under way, for something that comes after it."""
    busy = vm.hidden.get("operation")
    if busy is not None:
        busy.end("Canceled", PREEMPTED)


def _ended(vm: Resource, act: Act, before: str) -> Callable[[dict[str, Any] | None], None]:
    """What an end of a verb means for its VM."""

    def done(error: dict[str, Any] | None) -> None:
        if vm.state != "Updating" or error is PREEMPTED:
            return
        vm.state, vm.hidden["error"] = ("Failed" if error else "Succeeded"), error
        if before != act.keeps:
            vm.hidden["power"] = before if error else act.after or before

    return done


def no_room(vm: Resource) -> dict[str, Any] | None:
    """The error of an operation for whose VM there is no room."""
    size = vm.properties.get("hardwareProfile", {}).get("vmSize", "")
    if size not in world.settings.no_capacity:
        return None
    zoned = "Zonal" if vm.body.get("zones") else ""
    bound = vm.properties.get("availabilitySet") or vm.properties.get("proximityPlacementGroup")
    return {
        "code": f"Overconstrained{zoned}AllocationRequest" if bound else f"{zoned}AllocationFailed",
        "message": "Allocation failed. We do not have sufficient capacity for the requested VM"
        f" size in this {'zone' if zoned else 'region'}.",
    }


def conflict(vm: Resource, why: str) -> Refused:
    """A verb that does not suit how the VM stands."""
    return Refused(
        409, "OperationNotAllowed", f"Operation is not allowed on VM '{vm.name}' since {why}."
    )
