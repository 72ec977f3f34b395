"""Making a VM: what its PUT must say, and the disks, interfaces and addresses that come with it."""

from __future__ import annotations

import copy
import re
from typing import Any
from uuid import uuid4

from arm.addresses import need_subnet, no_reference
from arm.errors import Refused
from arm.kinds import KINDS
from arm.paths import Request
from arm.world import Resource, world

_CPUS = re.compile(r"[A-Za-z]+_[A-Z]+(\d+)")
_MACHINES = "microsoft.compute/virtualmachines"


def checked(request: Request, old: Resource | None) -> None:
    """Refuses what real ARM refuses before it begins."""
    body = request.body or {}
    properties = body.get("properties", {})
    if not body.get("location"):
        raise Refused(400, "LocationRequired", "The location property is required.")
    size = properties.get("hardwareProfile", {}).get("vmSize", "")
    if size in world.settings.sold_out:
        raise Refused(
            409,
            "SkuNotAvailable",
            f"The requested VM size for resource 'Following SKUs have failed for Capacity"
            f" Restrictions: {size}' is currently not available in location"
            f" '{body['location']}'.",
        )
    if old is None:
        _check_quota(body["location"], size)
        _check_new(properties)
    elif old.body["location"].lower() != body["location"].lower():
        raise Refused(
            409,
            "InvalidResourceLocation",
            f"The resource '{old.name}' already exists in location '{old.body['location']}'. A"
            f" resource with the same name cannot be created in location '{body['location']}'.",
        )
    _check_network(properties.get("networkProfile", {}), request)


def cpus(size: str) -> int:
    """The vCPUs of a size, by its name."""
    found = _CPUS.match(size)
    return int(found[1]) if found else 1


def _check_quota(location: str, size: str) -> None:
    used = sum(
        cpus(vm.properties.get("hardwareProfile", {}).get("vmSize", ""))
        for vm in world.resources[_MACHINES].values()
    )
    limit = world.settings.cores
    if used + cpus(size) > limit:
        raise Refused(
            409,
            "OperationNotAllowed",
            "Operation could not be completed as it results in exceeding approved Total Regional"
            f" Cores quota. Additional details - Location: {location}, Current Limit: {limit},"
            f" Current Usage: {used}, Additional Required: {cpus(size)}.",
        )


def _check_new(properties: dict[str, Any]) -> None:
    guest = properties.get("osProfile")
    if guest is None:
        return  # a specialised image
    linux = guest.get("linuxConfiguration", {})
    keys = linux.get("ssh", {}).get("publicKeys")
    if not guest.get("adminPassword") and not keys:
        raise Refused(
            400,
            "InvalidParameter",
            "Authentication using either SSH or by user name and password must be enabled in"
            " Linux profile.",
            target="linuxConfiguration",
        )
    if len(guest.get("computerName", "")) > 64:
        raise Refused(
            400, "InvalidParameter", "The computer name is too long.", target="computerName"
        )


def _check_network(network: dict[str, Any], request: Request) -> None:
    for one in network.get("networkInterfaces", []):
        if world.find("microsoft.network/networkinterfaces", one.get("id", "")) is None:
            raise no_reference(one.get("id", ""), request.id)
    for one in network.get("networkInterfaceConfigurations", []):
        if network.get("networkApiVersion") not in {"2020-11-01", "2022-11-01"}:
            raise Refused(
                400, "InvalidParameter", "networkApiVersion is missing.", target="networkApiVersion"
            )
        for place in one["properties"]["ipConfigurations"]:
            need_subnet(place["properties"].get("subnet", {}).get("id", ""), request.id)


def equip(vm: Resource, request: Request) -> None:
    """Its disks, interfaces and addresses, which exist from when its operation begins."""
    storage = vm.properties.setdefault("storageProfile", {})
    _disk(vm, request, storage.setdefault("osDisk", {}), "OsDisk_1")
    for number, disk in enumerate(storage.setdefault("dataDisks", []), 2):
        _disk(vm, request, disk, f"disk{number}")
    network = vm.properties.setdefault("networkProfile", {})
    made = [
        _interface(vm, request, one) for one in network.pop("networkInterfaceConfigurations", [])
    ]
    network.pop("networkApiVersion", None)
    network["networkInterfaces"] = [*network.get("networkInterfaces", []), *made]
    for one in network["networkInterfaces"]:
        card = world.find("microsoft.network/networkinterfaces", one["id"])
        if card is not None:
            card.hidden["vm"] = vm.id


def _disk(vm: Resource, request: Request, disk: dict[str, Any], label: str) -> None:
    """A managed disk for one that the VM is to have; its name and id show when it is made."""
    managed = disk.setdefault("managedDisk", {})
    if managed.get("id"):
        found = world.find("microsoft.compute/disks", managed["id"])
        managed.setdefault("storageAccountType", "Standard_LRS")
        if found is not None:
            disk.setdefault("diskSizeGB", found.properties.get("diskSizeGB", 30))
        return
    name = disk.get("name") or f"{vm.name}_{label}_{uuid4().hex}"
    id_ = f"{request.scope}/providers/Microsoft.Compute/disks/{name}"
    managed.setdefault("storageAccountType", "Standard_LRS")
    properties = {"diskSizeGB": disk.get("diskSizeGB", 30), "diskState": "Attached"}
    body = {
        "location": vm.body["location"],
        "tags": dict(vm.body.get("tags") or {}),
        "managedBy": vm.id,
        "properties": {**properties, "provisioningState": "Succeeded"},
    }
    made = Resource(KINDS["microsoft.compute/disks"], id_, body, world.now())
    world.add(made)
    disk["name"] = name
    managed["id"] = id_


def _interface(vm: Resource, request: Request, asked: dict[str, Any]) -> dict[str, Any]:
    """An interface that stands in the VM's own request; ARM gives it a name of its own."""
    kind = KINDS["microsoft.network/networkinterfaces"]
    wanted = copy.deepcopy(asked["properties"])
    places = []
    for place in wanted["ipConfigurations"]:
        given = place["properties"]
        if public := given.pop("publicIPAddressConfiguration", None):
            given["publicIPAddress"] = {"id": _address(vm, request, public)}
        places.append({"name": place["name"], "properties": given})
    name = f"{asked['name']}-{uuid4().hex[:8]}"
    id_ = f"{request.scope}/providers/Microsoft.Network/networkInterfaces/{name}"
    body = {
        "location": vm.body["location"],
        "tags": asked.get("tags") or {},
        "properties": {"provisioningState": "Succeeded", "ipConfigurations": places},
    }
    card = Resource(kind, id_, body, world.now(), {"location": vm.body["location"]})
    kind.shape(card, request)
    world.add(card)
    kept = {key: wanted[key] for key in ("primary", "deleteOption") if key in wanted}
    return {"id": id_, "properties": kept}


def _address(vm: Resource, request: Request, asked: dict[str, Any]) -> str:
    kind = KINDS["microsoft.network/publicipaddresses"]
    id_ = f"{request.scope}/providers/Microsoft.Network/publicIPAddresses/{asked['name']}"
    wanted = {k: v for k, v in asked["properties"].items() if k != "deleteOption"}
    body = {
        "location": vm.body["location"],
        "tags": asked.get("tags") or {},
        "sku": asked.get("sku", {"name": "Basic"}),
        "properties": {"provisioningState": "Succeeded", **wanted},
    }
    address = Resource(kind, id_, body, world.now(), {"location": vm.body["location"]})
    address.hidden["delete"] = asked["properties"].get("deleteOption") == "Delete"
    kind.shape(address, request)
    world.add(address)
    return id_


def strip(vm: Resource) -> None:
    """What goes with a VM goes, what is only attached to it stays."""
    storage = vm.properties.get("storageProfile", {})
    for disk in [storage.get("osDisk", {}), *storage.get("dataDisks", [])]:
        found = world.find("microsoft.compute/disks", disk.get("managedDisk", {}).get("id", ""))
        if found is None:
            continue
        if disk.get("deleteOption") == "Delete":
            world.remove(found)
        else:
            found.properties["diskState"] = "Unattached"
            found.body.pop("managedBy", None)
    for one in vm.properties.get("networkProfile", {}).get("networkInterfaces", []):
        card = world.find("microsoft.network/networkinterfaces", one["id"])
        if card is None:
            continue
        card.hidden.pop("vm", None)
        if (one.get("properties") or {}).get("deleteOption") == "Delete":
            _remove_interface(card)


def _remove_interface(card: Resource) -> None:
    publics = [
        (one["properties"].get("publicIPAddress") or {}).get("id", "")
        for one in card.properties.get("ipConfigurations", [])
    ]
    world.remove(card)
    card.kind.gone(card)
    for id_ in publics:
        found = world.find("microsoft.network/publicipaddresses", id_)
        if found is not None and found.hidden.get("delete"):
            world.remove(found)
