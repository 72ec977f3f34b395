"""What happens to a spot VM when Google needs its room."""

from __future__ import annotations

from typing import Any

from gce import names, power
from gce.operations import Plan, begin
from gce.resource import Resource
from gce.world import world


def preempt(vm: Resource) -> dict[str, Any]:
    """Takes a spot VM away: it is stopped, or deleted if it is to be."""
    scheduling = vm.body["scheduling"]
    if not scheduling.get("preemptible"):
        raise ValueError(f"{vm.name} is no spot VM")
    if vm.body["status"] != "RUNNING":
        raise ValueError(f"{vm.name} is {vm.body['status']}")
    more = {"statusMessage": "Instance was preempted."}
    kind = "compute.instances.preempted"
    plan = Plan(kind, vm.path, vm.body["id"], user="system", more=more)
    body = begin(plan, vm.place)
    operation: Any = world.find("operations", vm.place, body["name"])
    name = body["name"].replace("operation-", "systemevent-")
    world.remove(operation)
    operation.body |= {"name": name, "selfLink": names.url(f"{vm.place}/operations/{name}")}
    world.add(operation)
    operation.run()
    operation.end(None)
    power.change(vm, "STOPPING")
    gone = scheduling.get("instanceTerminationAction") == "DELETE"
    world.later(world.settings.stop, lambda: _end(vm, gone=gone))
    return dict(operation.body)


def _end(vm: Resource, *, gone: bool) -> None:
    """The VM is stopped or gone, unless it is being deleted or was."""
    ending = vm.busy is not None and vm.busy.body["operationType"] in {"stop", "delete"}
    if world.has(vm) and not ending:
        (power.gone if gone else power.stopped)(vm)
