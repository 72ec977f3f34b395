"""What real ARM refuses about a VM before it begins anything."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from arm.addresses import INTERFACE, need_subnet, no_reference
from arm.errors import Refused
from arm.paths import Request
from arm.regions import plain
from arm.world import Resource, world

_MACHINES = "microsoft.compute/virtualmachines"
_CPUS = re.compile(r"[A-Za-z]+_[A-Z]+(\d+)")
_SIZE = re.compile(r"(Standard|Basic)_\w+(-\w+)?")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,62}\w|[A-Za-z0-9]")
_DISK_NAME = "storageProfile.osDisk.name"
# what a VM keeps all its life
_FIXED = (
    "osProfile.computerName",
    "osProfile.adminUsername",
    "storageProfile.imageReference.publisher",
    "storageProfile.imageReference.offer",
    "storageProfile.imageReference.sku",
    "storageProfile.imageReference.id",
    _DISK_NAME,
    "storageProfile.osDisk.createOption",
    "availabilitySet.id",
    "priority",
)


def created(request: Request, old: Resource | None) -> None:
    """Refuses a PUT that no VM can be made of."""
    body = request.body
    properties = body.get("properties", {})
    if not body.get("location"):
        raise Refused(400, "LocationRequired", "The location property is required.")
    if old is None:
        if not _NAME.fullmatch(request.names[0]):
            raise _invalid(
                "vmName", f"The entity name '{request.names[0]}' is invalid according to its rule."
            )
        _check_size(request)
        _check_quota(body["location"], properties.get("hardwareProfile", {}).get("vmSize", ""))
        _check_new(properties)
    elif old.body["location"].lower() != plain(body["location"]):
        raise Refused(
            409,
            "InvalidResourceLocation",
            f"The resource '{old.name}' already exists in location '{old.body['location']}'. A"
            f" resource with the same name cannot be created in location '{body['location']}'.",
        )
    _check_disks(properties.get("storageProfile", {}), request)
    _check_network(properties.get("networkProfile", {}), request)


def changed(request: Request, vm: Resource) -> None:
    """Refuses to change what stays as it is for a VM's whole life."""
    _check_size(request)
    for path in _FIXED:
        new, now = _at(request.body or {}, path), _at(vm.body, path)
        if new is not None and str(new).lower() != str(now).lower():
            if path == _DISK_NAME and _at(request.body, "storageProfile.osDisk.managedDisk.id"):
                continue  # another disk takes the system disk's place, which is allowed
            raise Refused(
                409,
                "PropertyChangeNotAllowed",
                f"Changing property '{path}' is not allowed.",
                target=path,
            )


def _at(body: dict[str, Any], path: str) -> Any:
    found: Any = body.get("properties")
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _invalid(target: str, message: str) -> Refused:
    return Refused(400, "InvalidParameter", message, target=target)


def _check_size(request: Request) -> None:
    size = _at(request.body or {}, "hardwareProfile.vmSize")
    if size is not None and not _SIZE.fullmatch(size):
        raise _invalid("vmSize", f"The value {size} provided for the VM size is not valid.")
    if size in world.settings.sold_out:
        raise Refused(
            409,
            "SkuNotAvailable",
            "The requested VM size for resource 'Following SKUs have failed for Capacity"
            f" Restrictions: {size}' is currently not available in this location.",
        )


@cache
def cpus(size: str) -> int:
    """The vCPUs of a size, by its name."""
    found = _CPUS.match(size)
    return int(found[1]) if found else 1


def cores(location: str) -> int:
    """The vCPUs of a region's VMs; those that are deallocated count, too."""
    place = plain(location)
    return sum(
        cpus(vm.properties.get("hardwareProfile", {}).get("vmSize", ""))
        for vm in world.resources[_MACHINES].values()
        if vm.body["location"] == place
    )


def _check_quota(location: str, size: str) -> None:
    limit = world.settings.cores
    if limit is None:
        return
    used, more = cores(location), cpus(size)
    if used + more > limit:
        raise Refused(
            409,
            "OperationNotAllowed",
            "Operation could not be completed as it results in exceeding approved Total Regional"
            f" Cores quota. Additional details - Deployment Model: Resource Manager, Location:"
            f" {location}, Current Limit: {limit}, Current Usage: {used}, Additional Required:"
            f" {more}, (Minimum) New Limit Required: {used + more}.",
        )


def _check_new(properties: dict[str, Any]) -> None:
    guest = properties.get("osProfile")
    if guest is None:
        return  # a specialised image
    linux = guest.get("linuxConfiguration", {})
    keys = linux.get("ssh", {}).get("publicKeys")
    if not guest.get("adminPassword") and not keys:
        raise _invalid(
            "linuxConfiguration",
            "Authentication using either SSH or by user name and password must be enabled in"
            " Linux profile.",
        )
    if len(guest.get("computerName", "")) > 64:
        raise _invalid("computerName", "The computer name is too long.")


def _check_disks(storage: dict[str, Any], request: Request) -> None:
    for one in (storage.get("osDisk") or {}, *(storage.get("dataDisks") or [])):
        id_ = (one.get("managedDisk") or {}).get("id", "")
        disk = world.find("microsoft.compute/disks", id_)
        owner = disk.body.get("managedBy") if disk is not None else None
        if owner and owner.lower() != request.id.lower():
            raise Refused(
                409,
                "ConflictingUserInput",
                f"Disk '{id_}' cannot be attached as the disk is already owned by VM '{owner}'.",
                target="dataDisk",
            )


def _check_network(network: dict[str, Any], request: Request) -> None:
    for one in network.get("networkInterfaces", []):
        card = world.find(INTERFACE, one.get("id", ""))
        if card is None:
            raise no_reference(one.get("id", ""), request.id)
        if card.hidden.get("vm", request.id).lower() != request.id.lower():
            raise Refused(
                400,
                "NicInUse",
                f"Network Interface {card.id} is used by existing resource {card.hidden['vm']}. In"
                " order to delete the network interface, it must be dissociated from the resource.",
            )
    for one in network.get("networkInterfaceConfigurations", []):
        if network.get("networkApiVersion") not in {"2020-11-01", "2022-11-01"}:
            raise _invalid("networkApiVersion", "networkApiVersion is missing.")
        for place in one["properties"]["ipConfigurations"]:
            need_subnet(place["properties"].get("subnet", {}).get("id", ""), request.id)
