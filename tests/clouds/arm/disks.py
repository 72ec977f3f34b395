"""Disks, snapshots and images, availability sets and placement groups; sizes and catalogues."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from arm.errors import Refused
from arm.kinds import Answer, Kind, page
from arm.operations import Operation, begin, headers, stamp
from arm.paths import Request
from arm.world import Resource, world


class Disk(Kind):
    """A managed disk."""

    type = "Microsoft.Compute/disks"
    seconds = "disk"
    create = (202, "AL", "Updating")
    update = (202, "AL", "Updating")
    patch = (202, "AL", "Updating")
    delete = (202, "AL")
    etags = False

    def shape(self, resource: Resource, request: Request) -> None:
        """What shows when it is made."""
        resource.hidden.setdefault("unique", str(uuid4()))
        resource.hidden["sku"] = resource.body.pop("sku", None) or {"name": "Standard_LRS"}

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """While it is made or changed, little more than what was sent."""
        shown = super().view(resource, request)
        if resource.state == "Updating":
            shown["properties"]["isArmResource"] = True
            for name in ("id", "type"):
                shown.pop(name)
            return shown
        return self._whole(resource, shown)

    def _whole(self, resource: Resource, shown: dict[str, Any]) -> dict[str, Any]:
        size = int(shown["properties"].get("diskSizeGB", 30))
        tier = (resource.hidden.get("sku") or {"name": "Standard_LRS"})["name"]
        shown["sku"] = {"name": tier, "tier": tier.partition("_")[0]}
        shown["properties"] = {
            "diskIOPSReadWrite": 500,
            "diskMBpsReadWrite": 60,
            "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
            "networkAccessPolicy": "AllowAll",
            "timeCreated": stamp(resource.since),
            "diskState": "Unattached",
            "diskSizeBytes": size << 30,
            "uniqueId": resource.hidden.setdefault("unique", str(uuid4())),
            **shown["properties"],
            "diskSizeGB": size,
        }
        return shown

    def may_delete(self, resource: Resource) -> None:
        """Not while a VM has it."""
        if user := resource.body.get("managedBy"):
            raise Refused(
                409, "OperationNotAllowed", f"Disk {resource.name} is attached to VM {user}."
            )

    def act(self, resource: Resource, request: Request) -> Answer:
        """A signed URL for its content, given and taken back."""
        verb = request.verb.lower()
        if verb not in {"begingetaccess", "endgetaccess"}:
            return super().act(resource, request)
        granted = verb == "begingetaccess"
        resource.properties["diskState"] = "ActiveSAS" if granted else "Unattached"
        url = f"https://md-{uuid4().hex[:12]}.blob.core.windows.net/x/abcd?sig=none"
        output = {"accessSAS": url} if granted else None
        operation = Operation(self.seconds, request, resource, lambda _: None, output)
        begin(operation)
        return 202, None, headers(operation, "AL")


class Snapshot(Disk):
    """A snapshot of a disk."""

    type = "Microsoft.Compute/snapshots"

    def _whole(self, resource: Resource, shown: dict[str, Any]) -> dict[str, Any]:
        shown = super()._whole(resource, shown)
        for name in ("diskIOPSReadWrite", "diskMBpsReadWrite"):
            shown["properties"].pop(name)
        shown["properties"].setdefault("incremental", False)
        return shown


class Image(Kind):
    """An image made of a VM or of disks."""

    type = "Microsoft.Compute/images"
    seconds = "disk"
    create = (201, "AN", "Creating")
    update = (200, "AN", "Updating")
    patch = (200, "AN", "Updating")
    etags = False

    def shape(self, resource: Resource, request: Request) -> None:
        """What every image has."""
        resource.properties.setdefault("hyperVGeneration", "V1")


class AvailabilitySet(Kind):
    """VMs that do not fail together."""

    type = "Microsoft.Compute/availabilitySets"
    create = update = patch = (200, "", "")
    delete = (200, "")
    etags = False

    def shape(self, resource: Resource, request: Request) -> None:
        """What every set has."""
        resource.body.setdefault("sku", {"name": "Classic"})
        resource.properties.setdefault("platformUpdateDomainCount", 5)
        resource.properties.setdefault("platformFaultDomainCount", 3)


class PlacementGroup(Kind):
    """VMs that are near to each other."""

    type = "Microsoft.Compute/proximityPlacementGroups"
    create = (201, "", "")
    update = patch = (200, "", "")
    delete = (200, "")
    etags = False


# -- catalogues -----------------------------------------------------------------------------------

_SIZES = {"Standard_B1s": (1, 1), "Standard_D2s_v5": (2, 8), "Standard_D2_v2": (2, 7)}


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
    return page(request, found, found)


def in_location(request: Request) -> Answer:
    """What a location has: sizes, images of publishers, VMs."""
    below = [*request.types[1:], *([request.verb.lower()] if request.verb else [])]
    if below == ["vmsizes"]:
        return 200, {"value": [_size(name) for name in _SIZES]}, {}
    if below == ["virtualmachines"]:
        return 200, {"value": []}, {}
    if below and below[0] == "publishers":
        return 200, _catalogue(request, below), {}
    raise Refused(404, "InvalidResourceType", f"The path '{request.path}' names nothing here.")


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
    location = request.names[0]
    if not request.verb and below[-1] == "versions":
        return {
            "location": location,
            "name": request.names[-1],
            "id": request.path,
            "properties": {
                "hyperVGeneration": "V1",
                "osDiskImage": {
                    "operatingSystem": "Linux",
                    "sizeInGb": 31,
                    "sizeInBytes": 31 << 30,
                },
                "dataDiskImages": [],
                "automaticOSUpgradeProperties": {"automaticOSUpgradeSupported": False},
            },
        }
    names = {
        "publishers": "Canonical",
        "offers": "ubuntu-24_04-lts",
        "skus": "server",
        "versions": "24.04.202601010",
        "types": "CustomScript",
    }
    name = names.get(below[-1], "x")
    return [{"location": location, "name": name, "id": f"{request.path}/{name}"}]
