"""Disks, snapshots and images, availability sets and placement groups."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from arm.errors import Refused
from arm.kinds import Answer, Kind
from arm.operations import Operation, begin, headers, stamp
from arm.paths import Request
from arm.world import Resource, world

MACHINES = "microsoft.compute/virtualmachines"


class Disk(Kind):
    """A managed disk."""

    type = "Microsoft.Compute/disks"
    seconds = "disk"
    create = (202, "AL", "Updating")
    update = (202, "AL", "Updating")
    patch = (202, "AL", "Updating")
    delete = (202, "AL")
    etags = False
    unknown: tuple[str, ...] = ("id", "type")

    def shape(self, resource: Resource, request: Request) -> None:
        """What shows when it is made."""
        resource.hidden.setdefault("unique", str(uuid4()))
        resource.hidden["sku"] = resource.body.pop("sku", None) or {"name": "Standard_LRS"}
        creation = resource.properties.get("creationData", {})
        id_ = creation.get("sourceResourceId") or creation.get("sourceUri", "")
        source = world.find("microsoft.compute/disks", id_)
        if source is not None:
            creation["sourceUniqueId"] = source.hidden.setdefault("unique", str(uuid4()))
            resource.hidden["size"] = source.properties.get("diskSizeGB", 30)

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """While it is made or changed, little more than what was sent."""
        shown = super().view(resource, request)
        if resource.state == "Updating":
            shown["properties"]["isArmResource"] = True
            for name in self.unknown:
                shown.pop(name)
            return {**shown, **resource.hidden.get("shown", {})}
        return self._whole(resource, shown, request)

    def made(self, resource: Resource, error: dict[str, Any] | None) -> None:
        """Its tier shows from now on."""
        super().made(resource, error)
        resource.hidden["shown"] = {"sku": _tier(resource)}
        resource.properties.setdefault("diskSizeGB", resource.hidden.get("size", 30))

    def output(self, resource: Resource, request: Request) -> Any:
        """The disk as it is then."""
        return lambda: self.view(resource, request)

    def _whole(self, resource: Resource, shown: dict[str, Any], request: Request) -> dict[str, Any]:
        size = int(shown["properties"].get("diskSizeGB", 30))
        shown["sku"] = _tier(resource)
        encryption = {"encryption": {"type": "EncryptionAtRestWithPlatformKey"}}
        shown["properties"] = {
            "diskIOPSReadWrite": 500,
            "diskMBpsReadWrite": 60,
            **(encryption if request.since("2019-07-01") else {}),
            **({"networkAccessPolicy": "AllowAll"} if request.since("2020-05-01") else {}),
            **({"publicNetworkAccess": "Enabled"} if request.since("2021-04-01") else {}),
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
    unknown = ("id", "name", "type")

    def shape(self, resource: Resource, request: Request) -> None:
        """Its first answer shows more than later ones."""
        super().shape(resource, request)
        if request.since("2021-04-01"):
            resource.hidden["first"] = {"publicNetworkAccess": "Enabled"}

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """A change shows other members than the beginning."""
        shown = super().view(resource, request)
        if resource.state == "Updating":
            later = {"faultDomain": 0} if "shown" in resource.hidden else None
            shown["properties"] |= resource.hidden.get("first", {}) if later is None else later
        return shown

    def made(self, resource: Resource, error: dict[str, Any] | None) -> None:
        """Its source has its proper name."""
        super().made(resource, error)
        creation = resource.properties.get("creationData", {})
        if source := creation.pop("sourceUri", None):
            creation["sourceResourceId"] = source

    def _whole(self, resource: Resource, shown: dict[str, Any], request: Request) -> dict[str, Any]:
        shown = super()._whole(resource, shown, request)
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
        storage = resource.properties.setdefault("storageProfile", {})
        for disk in (storage.setdefault("osDisk", {}), *storage.setdefault("dataDisks", [])):
            disk.setdefault("caching", "None")
            disk.setdefault("storageAccountType", "Standard_LRS")
            for source in (disk.get("snapshot"), disk.get("managedDisk")):
                if source:
                    source["id"] = "/" + source["id"].lstrip("/")

    def made(self, resource: Resource, error: dict[str, Any] | None) -> None:
        """Its size is that of what it is made of."""
        super().made(resource, error)
        disk = resource.properties["storageProfile"]["osDisk"]
        source = (disk.get("snapshot") or disk.get("managedDisk") or {}).get("id", "")
        for key in ("microsoft.compute/snapshots", "microsoft.compute/disks"):
            if found := world.find(key, source):
                disk["diskSizeGB"] = found.properties.get("diskSizeGB", 30)


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

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """Who is asked for it alone is told of its VMs."""
        shown = super().view(resource, request)
        if request.method == "GET" and not request.verb:
            shown["properties"]["virtualMachines"] = _members(resource, "availabilitySet")
        return shown


class PlacementGroup(Kind):
    """VMs that are near to each other."""

    type = "Microsoft.Compute/proximityPlacementGroups"
    create = (201, "", "")
    update = patch = (200, "", "")
    delete = (200, "")
    etags = False

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """Who asks for it is told what is in it."""
        shown = super().view(resource, request)
        if request.method == "GET":
            shown["properties"] |= {
                "virtualMachines": _members(resource, "proximityPlacementGroup"),
                "virtualMachineScaleSets": [],
                "availabilitySets": [],
            }
        return shown


def _tier(disk: Resource) -> dict[str, str]:
    name = (disk.hidden.get("sku") or {"name": "Standard_LRS"})["name"]
    return {"name": name, "tier": name.partition("_")[0]}


def _members(of: Resource, name: str) -> list[dict[str, str]]:
    """The VMs that say they are in it."""
    return [
        {"id": vm.id}
        for vm in world.resources[MACHINES].values()
        if (vm.properties.get(name) or {}).get("id", "").lower() == of.id.lower()
    ]
