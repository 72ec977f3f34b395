"""Virtual machines: made, run, changed and deleted, each by an operation with a record."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from arm import launching
from arm.errors import Refused
from arm.kinds import Answer, Kind
from arm.operations import Operation, begin, headers, stamp
from arm.paths import Request
from arm.world import Resource, world

_DISPLAYED = {
    "starting": "VM starting",
    "running": "VM running",
    "stopping": "VM stopping",
    "stopped": "VM stopped",
    "deallocating": "VM deallocating",
    "deallocated": "VM deallocated",
}


@dataclass(frozen=True)
class Act:
    """A verb that takes time: whose seconds it takes, and the power states while and after it."""

    seconds: str
    during: str = ""
    after: str = ""
    from_: tuple[str, ...] = tuple(_DISPLAYED)


ACTS = {
    "start": Act("start", "starting", "running"),
    "poweroff": Act("power_off", "stopping", "stopped"),
    "deallocate": Act("deallocate", "deallocating", "deallocated"),
    "restart": Act("restart", "", "running", ("running", "starting")),
    "redeploy": Act("restart", "", "running"),
    "reapply": Act("restart"),
    "runcommand": Act("restart", "", "", ("running",)),
}
_ENDING = frozenset({"deallocate", "poweroff"})
"""Verbs that may come in the middle of another one, which they put an end to."""


class Machine(Kind):
    """A virtual machine."""

    type = "Microsoft.Compute/virtualMachines"
    seconds = "create"
    create = (201, "AN", "Creating")
    update = (200, "AN", "Updating")
    patch = (200, "AN", "Updating")
    delete = (202, "ALN")
    etags = False

    def check(self, request: Request, old: Resource | None) -> None:
        """See `launching`."""
        if old is not None and old.state == "Deleting":
            raise _conflict(old, "it is being deleted")
        launching.checked(request, old)

    def shape(self, resource: Resource, request: Request) -> None:
        """Secrets are not shown again; the id, the disks and all else that ARM adds are."""
        properties = resource.properties
        guest = properties.get("osProfile")
        if guest is not None:
            guest.pop("adminPassword", None)
            guest.pop("customData", None)
            guest.setdefault("secrets", [])
            guest["allowExtensionOperations"] = True
            guest["requireGuestProvisionSignal"] = True
            if "windowsConfiguration" in guest:
                guest["windowsConfiguration"].setdefault("provisionVMAgent", True)
                guest["windowsConfiguration"]["patchSettings"] = {"patchMode": "AutomaticByOS"}
        image = properties.get("storageProfile", {}).get("imageReference")
        if image is not None and "publisher" in image:
            image.setdefault("exactVersion", "1.0.0")
        properties["vmId"] = resource.hidden.setdefault("vmId", str(uuid4()))
        resource.hidden.setdefault("power", "")
        launching.equip(resource, request)
        _dress(properties.get("storageProfile", {}), request)

    def failure(self, resource: Resource) -> dict[str, Any] | None:
        """There may be no room for its size."""
        if resource.state == "Creating":
            return _no_room(resource)
        return None

    def made(self, resource: Resource, error: dict[str, Any] | None) -> None:
        """It runs, if it could be made."""
        if resource.state not in {"Creating", "Updating"}:
            return
        first = resource.state == "Creating"
        resource.state = "Failed" if error else "Succeeded"
        resource.hidden["error"] = error
        if first:
            resource.hidden["power"] = "" if error else "running"

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """With its extensions, and its instance view where that is asked for."""
        shown = super().view(resource, request)
        properties = shown["properties"]
        if resource.state == "Creating":  # its disks are not named yet
            storage = properties["storageProfile"]
            for disk in [storage["osDisk"], *storage["dataDisks"]]:
                disk["managedDisk"].pop("id", None)
            for disk in storage["dataDisks"]:
                disk.pop("name", None)
        if "instanceview" in request.query.get("$expand", "").lower():
            properties["instanceView"] = instance_view(resource)
        if extensions := list(world.below(EXTENSIONS.key, resource.id)):
            shown["resources"] = [EXTENSIONS.view(one, request) for one in extensions]
        return shown

    def in_list(self, resource: Resource, request: Request) -> dict[str, Any]:
        """With `statusOnly`, little more than how it stands."""
        if request.query.get("statusonly", "").lower() != "true":
            return self.view(resource, request)
        return {
            "name": resource.name,
            "id": resource.id,
            "type": self.type,
            "location": resource.body["location"],
            "properties": {
                "vmId": resource.properties["vmId"],
                "provisioningState": resource.state,
                "instanceView": instance_view(resource),
            },
        }

    def visible(self, resource: Resource) -> bool:
        """Not at once, if the settings say so."""
        return world.now() - resource.since >= world.settings.invisible

    def act(self, resource: Resource, request: Request) -> Answer:
        """A verb, or what there is below a VM."""
        verb = request.verb.lower()
        if request.method == "GET":
            return self._below(resource, request, verb)
        if verb in ACTS:
            return self._acted(resource, request, verb)
        if verb == "generalize":
            resource.hidden["generalized"] = True
            return 200, None, {}
        if verb == "simulateeviction":
            self.evict(resource)
            return 204, None, {}
        if verb in _REFUSED:
            code, message = _REFUSED[verb]
            raise Refused(409, code, message)
        return super().act(resource, request)

    def _below(self, resource: Resource, request: Request, verb: str) -> Answer:
        if verb == "instanceview":
            return 200, instance_view(resource), {}
        if verb == "extensions":
            found = list(world.below(EXTENSIONS.key, resource.id))
            return 200, {"value": [EXTENSIONS.view(one, request) for one in found]}, {}
        if verb == "vmsizes":
            return 200, {"value": [copy.deepcopy(_SIZE)]}, {}
        return super().act(resource, request)

    def _acted(self, vm: Resource, request: Request, verb: str) -> Answer:
        act = ACTS[verb]
        if vm.state == "Deleting":
            raise _conflict(vm, "it is being deleted")
        busy = vm.hidden.get("operation")
        under_way = busy is not None and busy.status == "InProgress"
        if under_way and verb not in _ENDING:
            raise _conflict(vm, f"it is busy with {busy.request.verb or busy.kind}")
        if vm.hidden["power"] not in act.from_ and not under_way:
            raise _conflict(vm, f"it is {vm.hidden['power'] or 'not running'}")
        lacks_room = verb == "start" and vm.hidden["power"] == "deallocated"
        if under_way:
            busy.end("Canceled", _PREEMPTED)
        vm.state = "Updating"
        if act.during:
            vm.hidden["power"] = act.during
        output = _OUTPUT if verb == "runcommand" else None
        done = _ended(vm, act)
        operation = Operation(act.seconds, request, vm, done, output)
        vm.hidden["operation"] = operation
        begin(operation, fails=_no_room(vm) if lacks_room else None)
        return 202, None, headers(operation, "AL")

    def deleting(
        self,
        request: Request,
        resource: Resource,
        done: Callable[[dict[str, Any] | None], None],
    ) -> Operation:
        """Whatever else is under way ends with it."""
        busy = resource.hidden.get("operation")
        if busy is not None:
            busy.end("Canceled", _PREEMPTED)
        return begin(Operation("delete", request, resource, done))

    def gone(self, resource: Resource) -> None:
        """See `launching.strip`."""
        launching.strip(resource)
        for one in list(world.below(EXTENSIONS.key, resource.id)):
            world.remove(one)

    def evict(self, vm: Resource) -> None:
        """A spot VM is taken away, as its policy says."""
        if vm.properties.get("priority") != "Spot":
            raise Refused(409, "OperationNotAllowed", f"VM '{vm.name}' is no spot VM.")
        if vm.properties.get("evictionPolicy") == "Delete":
            world.remove(vm)
            self.gone(vm)
        else:
            vm.hidden["power"] = "deallocated"

    def _written(self, resource: Resource, request: Request, how: tuple[int, str, str]) -> Answer:
        answer = super()._written(resource, request, how)
        resource.hidden["operation"] = next(reversed(world.operations.values()))
        return answer


class Extension(Kind):
    """Something that runs in a VM."""

    type = "Microsoft.Compute/virtualMachines/extensions"
    seconds = "restart"
    create = (201, "AN", "Creating")
    update = (200, "AN", "Updating")
    patch = (200, "AN", "Updating")
    etags = False


EXTENSIONS = Extension()
_PREEMPTED = {
    "code": "OperationPreempted",
    "message": "Operation execution has been preempted by a more recent operation.",
}
_REFUSED = {
    "converttomanageddisks": (
        "OperationNotAllowed",
        "VM already is using managed disks.",
    ),
    "performmaintenance": (
        "OperationNotAllowed",
        "Maintenance is not scheduled for this virtual machine.",
    ),
    "reimage": (
        "OperationNotAllowed",
        "The Reimage operation is only supported for VMs with ephemeral OS disks.",
    ),
}
_OUTPUT = {
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
_SIZE = {
    "name": "Standard_D2s_v5",
    "numberOfCores": 2,
    "osDiskSizeInMB": 1047552,
    "resourceDiskSizeInMB": 16384,
    "memoryInMB": 8192,
    "maxDataDiskCount": 4,
}


def _ended(vm: Resource, act: Act) -> Callable[[dict[str, Any] | None], None]:
    def done(error: dict[str, Any] | None) -> None:
        if vm.state != "Updating" or (error or {}).get("code") == "OperationPreempted":
            return
        vm.state, vm.hidden["error"] = ("Failed" if error else "Succeeded"), error
        if error and act.seconds == "start":
            vm.hidden["power"] = "deallocated"
        elif act.after and not error:
            vm.hidden["power"] = act.after

    return done


def _no_room(vm: Resource) -> dict[str, Any] | None:
    size = vm.properties.get("hardwareProfile", {}).get("vmSize", "")
    if size not in world.settings.no_capacity:
        return None
    zoned = bool(vm.body.get("zones"))
    return {
        "code": "ZonalAllocationFailed" if zoned else "AllocationFailed",
        "message": "Allocation failed. We do not have sufficient capacity for the requested VM"
        f" size in this {'zone' if zoned else 'region'}.",
    }


def _conflict(vm: Resource, why: str) -> Refused:
    return Refused(
        409, "OperationNotAllowed", f"Operation is not allowed on VM '{vm.name}' since {why}."
    )


def _dress(storage: dict[str, Any], request: Request) -> None:
    """What ARM says of disks that the request did not say."""
    windows = "windowsConfiguration" in (request.body or {}).get("properties", {}).get(
        "osProfile", {}
    )
    disk = storage["osDisk"]
    disk.setdefault("osType", "Windows" if windows else "Linux")
    disk.setdefault("caching", "ReadWrite")
    disk.setdefault("diskSizeGB", 127 if windows else 30)
    for one in storage["dataDisks"]:
        one.setdefault("caching", "None")
        one.setdefault("toBeDetached", False)
    if request.query.get("api-version", "") >= "2021-03-01":
        for one in (disk, *storage["dataDisks"]):
            one.setdefault("deleteOption", "Detach")


def instance_view(vm: Resource) -> dict[str, Any]:
    """How a VM stands."""
    guest = vm.properties.get("osProfile", {})
    power, error = vm.hidden["power"], vm.hidden.get("error")
    code = vm.state.lower()
    if vm.state == "Failed" and error:
        code = f"failed/{error['code']}"
    status = {
        "code": f"ProvisioningState/{code}",
        "level": "Error" if vm.state == "Failed" else "Info",
        "displayStatus": f"Provisioning {code.partition('/')[0]}",
        "time": stamp(world.now()),
    }
    if error:
        status["message"] = error["message"]
    statuses = [status]
    if vm.hidden.get("generalized"):
        shown = {"level": "Info", "displayStatus": "VM generalized"}
        statuses.append({"code": "OSState/generalized", **shown})
    if power:
        shown = {"level": "Info", "displayStatus": _DISPLAYED[power]}
        statuses.append({"code": f"PowerState/{power}", **shown})
    view: dict[str, Any] = {}
    if power == "running":
        view = {
            "computerName": guest.get("computerName", vm.name),
            "osName": "ubuntu",
            "osVersion": "24.04",
            "vmAgent": _agent(vm),
        }
    return {
        **view,
        "disks": _disks(vm),
        **_extensions(vm),
        "hyperVGeneration": "V1",
        "statuses": statuses,
    }


def _agent(vm: Resource) -> dict[str, Any]:
    ready = {
        "code": "ProvisioningState/succeeded",
        "level": "Info",
        "displayStatus": "Ready",
    }
    handlers = [
        {
            "type": f"{one.properties.get('publisher')}.{one.properties.get('type')}",
            "typeHandlerVersion": "1.4.0.0",
            "status": {**ready, "message": "Plugin enabled."},
        }
        for one in world.below(EXTENSIONS.key, vm.id)
    ]
    message = "Guest Agent is running"
    agent = {
        "vmAgentVersion": "2.9.1.1",
        "statuses": [{**ready, "message": message, "time": stamp(world.now())}],
    }
    return {**agent, "extensionHandlers": handlers} if handlers else agent


def _extensions(vm: Resource) -> dict[str, Any]:
    found = [
        {
            "name": one.name,
            "type": f"{one.properties.get('publisher')}.{one.properties.get('type')}",
            "typeHandlerVersion": "1.4.0.0",
            "statuses": [
                {
                    "code": "ProvisioningState/succeeded",
                    "level": "Info",
                    "displayStatus": "Provisioning succeeded",
                    "message": "Plugin enabled.",
                }
            ],
        }
        for one in world.below(EXTENSIONS.key, vm.id)
    ]
    return {"extensions": found} if found else {}


def _disks(vm: Resource) -> list[dict[str, Any]]:
    storage = vm.properties.get("storageProfile", {})
    status = {
        "code": "ProvisioningState/succeeded",
        "level": "Info",
        "displayStatus": "Provisioning succeeded",
        "time": stamp(vm.since),
    }
    disks = [storage.get("osDisk", {}), *storage.get("dataDisks", [])]
    return [{"name": one.get("name", ""), "statuses": [dict(status)]} for one in disks]
