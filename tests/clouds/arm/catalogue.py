"""What a location offers: sizes, publishers' images, and the VMs in it."""

from __future__ import annotations

from typing import Any

from arm import checks
from arm.disks import MACHINES
from arm.errors import Refused
from arm.kinds import Answer, page
from arm.paths import Request
from arm.world import Resource, world

_SIZES = {"Standard_B1s": (1, 1), "Standard_D2s_v5": (2, 8), "Standard_D2_v2": (2, 7)}
_UPGRADES = {"automaticOSUpgradeProperties": {"automaticOSUpgradeSupported": False}}


def skus(request: Request) -> Answer:
    """The sizes that can be had."""
    found = [
        {
            "resourceType": "virtualMachines",
            "name": name,
            "locations": ["westeurope"],
            "capabilities": [
                {"name": "vCPUs", "value": str(cpus)},
                {"name": "MemoryGB", "value": str(memory)},
            ],
            "restrictions": [
                {"type": "Location", "reasonCode": "NotAvailableForSubscription"}
                for _ in range(name in world.settings.sold_out)
            ],
        }
        for name, (cpus, memory) in _SIZES.items()
    ]
    return page(request, found, lambda one: one)


def in_location(request: Request) -> Answer:
    """What a location has: sizes, images of publishers, VMs."""
    below = [*request.types[1:], *([request.verb.lower()] if request.verb else [])]
    if below == ["vmsizes"]:
        return 200, {"value": [_size(name) for name in _SIZES]}, {}
    if below == ["virtualmachines"]:
        place = request.names[0].lower()
        vms = [vm for vm in world.resources[MACHINES].values() if _is_in(vm, place)]
        return page(request, vms, lambda vm: vm.kind.in_list(vm, request))
    if below == ["usages"]:
        return 200, {"value": [_cores(request.names[0])]}, {}
    if below and below[0] == "publishers":
        return 200, _catalogue(request, below), {}
    raise Refused(404, "InvalidResourceType", f"The path '{request.path}' names nothing here.")


def _is_in(vm: Resource, place: str) -> bool:
    return str(vm.body.get("location", "")).replace(" ", "").lower() == place


def _cores(location: str) -> dict[str, Any]:
    """How much of the quota is used."""
    limit = world.settings.cores
    return {
        "unit": "Count",
        "currentValue": checks.cores(location),
        "limit": 2**31 - 1 if limit is None else limit,
        "name": {"value": "cores", "localizedValue": "Total Regional vCPUs"},
    }


def _size(name: str) -> dict[str, Any]:
    cpus, memory = _SIZES[name]
    return {
        "name": name,
        "numberOfCores": cpus,
        "osDiskSizeInMB": 1047552,
        "resourceDiskSizeInMB": 16384,
        "memoryInMB": memory * 1024,
        "maxDataDiskCount": 4,
    }


def _catalogue(request: Request, below: list[str]) -> Any:
    """One version of an image, or a list of what publishers have."""
    if not request.verb and below[-1] == "versions":
        return _version(request)
    names = {
        "publishers": "Canonical",
        "offers": "ubuntu-24_04-lts",
        "skus": "server",
        "versions": "24.04.202601010",
        "types": "CustomScript",
    }
    name = names.get(below[-1], "x")
    item = {"location": request.names[0], "name": name, "id": f"{request.path}/{name}"}
    more = {"properties": dict(_UPGRADES)} if below[-1] == "skus" else {}
    return [{**item, **more}]


def _version(request: Request) -> dict[str, Any]:
    system = {"operatingSystem": "Linux", "sizeInGb": 31, "sizeInBytes": 31 << 30}
    return {
        "location": request.names[0],
        "name": request.names[-1],
        "id": request.path,
        "properties": {
            "hyperVGeneration": "V1",
            **({"architecture": "x64"} if request.since("2021-07-01") else {}),
            "replicaType": "Managed",
            "disallowed": {"vmDiskType": "None"},
            "osDiskImage": system,
            "dataDiskImages": [],
            **_UPGRADES,
        },
    }
