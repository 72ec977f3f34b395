"""How a VM stands, as its instance view says it."""

from __future__ import annotations

from typing import Any

from arm.operations import stamp
from arm.world import Resource, world

EXTENSIONS = "microsoft.compute/virtualmachines/extensions"
DISPLAYED = {
    "starting": "VM starting",
    "running": "VM running",
    "stopping": "VM stopping",
    "stopped": "VM stopped",
    "deallocating": "VM deallocating",
    "deallocated": "VM deallocated",
}


def instance_view(vm: Resource) -> dict[str, Any]:
    """How a VM stands."""
    view: dict[str, Any] = {}
    if vm.hidden["power"] == "running":
        view = {
            "computerName": vm.properties.get("osProfile", {}).get("computerName", vm.name),
            "osName": "ubuntu",
            "osVersion": "24.04",
            "vmAgent": _agent(vm),
        }
    return {
        **view,
        "disks": _disks(vm),
        **_extensions(vm),
        "hyperVGeneration": "V1",
        "statuses": _statuses(vm),
    }


def _statuses(vm: Resource) -> list[dict[str, Any]]:
    """The provisioning state first, then what it was made to be, then the power state."""
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
        shown = {"level": "Info", "displayStatus": DISPLAYED[power]}
        statuses.append({"code": f"PowerState/{power}", **shown})
    return statuses


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
        for one in world.below(EXTENSIONS, vm.id)
    ]
    message = "Guest Agent is running"
    agent = {
        "vmAgentVersion": "2.9.1.1",
        "statuses": [{**ready, "message": message, "time": stamp(world.now())}],
    }
    return {**agent, "extensionHandlers": handlers}


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
        for one in world.below(EXTENSIONS, vm.id)
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
