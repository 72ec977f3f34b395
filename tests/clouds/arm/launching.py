"""What comes with a VM: disks, interfaces, addresses, and what ARM adds to what was asked."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from arm.addresses import ADDRESS, INTERFACE
from arm.kinds import KINDS
from arm.paths import Request
from arm.world import Resource, copied, world

DISK = "microsoft.compute/disks"


def equip(vm: Resource, request: Request) -> None:
    """Its disks, interfaces and addresses, which exist from when its operation begins."""
    before = vm.hidden["before"]
    _disks(vm, before.get("storageProfile", {}))
    network = vm.properties.setdefault("networkProfile", {})
    network.pop("networkApiVersion", None)
    asked = network.pop("networkInterfaceConfigurations", [])
    had = before.get("networkProfile", {}).get("networkInterfaces", [])
    # those that a VM's first request asked for are there when it is sent again
    made = had if asked and had else [_interface(vm, request, one) for one in asked]
    network["networkInterfaces"] = [*network.get("networkInterfaces", []), *made]
    for one in network["networkInterfaces"]:
        card = world.find(INTERFACE, one["id"])
        if card is not None:
            card.hidden["vm"] = vm.id


def strip(vm: Resource) -> None:
    """What goes with a VM goes, what is only attached to it stays."""
    for disk in _disks_of(vm.properties.get("storageProfile", {})):
        _release(disk)
    for one in vm.properties.get("networkProfile", {}).get("networkInterfaces", []):
        card = world.find(INTERFACE, one["id"])
        if card is None:
            continue
        card.hidden.pop("vm", None)
        if (one.get("properties") or {}).get("deleteOption") == "Delete":
            _remove_interface(card)


# -- disks ----------------------------------------------------------------------------------------


def _disks_of(storage: dict[str, Any]) -> list[dict[str, Any]]:
    return [storage.get("osDisk") or {}, *(storage.get("dataDisks") or [])]


def _disk_id(disk: dict[str, Any]) -> str:
    return str((disk.get("managedDisk") or {}).get("id", "")).lower()


def _disks(vm: Resource, before: dict[str, Any]) -> None:
    """Those of a VM's body, completed by what the same ones were before; others are let go."""
    storage = vm.properties.setdefault("storageProfile", {})
    storage["osDisk"] = {**before.get("osDisk", {}), **(storage.get("osDisk") or {})}
    _disk(vm, storage["osDisk"], "OsDisk_1", 127 if is_windows(vm.properties) else 30)
    had = {one.get("lun"): one for one in before.get("dataDisks", [])}
    given = storage.get("dataDisks") or []
    storage["dataDisks"] = [{**had.get(one.get("lun"), {}), **one} for one in given]
    for number, disk in enumerate(storage["dataDisks"], 2):
        _disk(vm, disk, f"disk{number}", 30)
    kept = {_disk_id(disk) for disk in _disks_of(storage)}
    for disk in _disks_of(before):
        if _disk_id(disk) not in kept:
            _release({**disk, "deleteOption": "Detach"})


def _disk(vm: Resource, disk: dict[str, Any], label: str, size: int) -> None:
    """A managed disk for one that the VM is to have, or one that there is."""
    managed = disk.setdefault("managedDisk", {})
    managed.setdefault("storageAccountType", "Standard_LRS")
    if managed.get("id"):
        found = world.find(DISK, managed["id"])
    else:
        name = disk.setdefault("name", f"{vm.name}_{label}_{uuid4().hex}")
        found = _made(vm, DISK, name, vm.body, {"diskSizeGB": disk.get("diskSizeGB", size)})
        managed["id"] = found.id
    if found is not None:
        disk.setdefault("diskSizeGB", found.properties.get("diskSizeGB", size))
        found.properties["diskState"] = "Attached"
        found.body["managedBy"] = vm.id


def _release(disk: dict[str, Any]) -> None:
    found = world.find(DISK, _disk_id(disk))
    if found is None:
        return
    if disk.get("deleteOption") == "Delete":
        world.remove(found)
    else:
        found.properties["diskState"] = "Unattached"
        found.body.pop("managedBy", None)


# -- interfaces and addresses ---------------------------------------------------------------------


def _made(
    vm: Resource, key: str, name: str, asked: dict[str, Any], properties: dict[str, Any]
) -> Resource:
    """A resource that a VM's request asks for besides the VM."""
    kind, group = KINDS[key], vm.id.partition("/providers/")[0]
    body = {
        "location": vm.body["location"],
        "tags": dict(asked.get("tags") or {}),
        "properties": {"provisioningState": "Succeeded", **properties},
    }
    hidden = {"location": vm.body["location"]}
    id_ = f"{group}/providers/{kind.type}/{name}"
    made = Resource(kind, id_, body, world.now(), hidden)
    world.add(made)
    return made


def _own_name(asked: dict[str, Any]) -> str:
    """Not what was asked for alone: many VMs may ask for the same."""
    return f"{asked['name']}-{uuid4().hex[:8]}"


def _interface(vm: Resource, request: Request, asked: dict[str, Any]) -> dict[str, Any]:
    """An interface that stands in the VM's own request, as the VM then refers to it."""
    wanted = copied(asked["properties"])
    for place in wanted["ipConfigurations"]:
        given = place["properties"]
        if public := given.pop("publicIPAddressConfiguration", None):
            given["publicIPAddress"] = {"id": _address(vm, request, public)}
    places = {"ipConfigurations": wanted["ipConfigurations"]}
    card = _made(vm, INTERFACE, _own_name(asked), asked, places)
    card.kind.shape(card, request)
    kept = {key: wanted[key] for key in ("primary", "deleteOption") if key in wanted}
    return {"id": card.id, "properties": kept}


def _address(vm: Resource, request: Request, asked: dict[str, Any]) -> str:
    wanted = {k: v for k, v in asked["properties"].items() if k != "deleteOption"}
    address = _made(vm, ADDRESS, _own_name(asked), asked, wanted)
    address.body["sku"] = dict(asked.get("sku") or {"name": "Basic"})
    address.hidden["delete"] = asked["properties"].get("deleteOption") == "Delete"
    address.kind.shape(address, request)
    return address.id


def _remove_interface(card: Resource) -> None:
    publics = [
        (one["properties"].get("publicIPAddress") or {}).get("id", "")
        for one in card.properties.get("ipConfigurations", [])
    ]
    world.remove(card)
    card.kind.gone(card)
    for id_ in publics:
        found = world.find(ADDRESS, id_)
        if found is not None and found.hidden.get("delete"):
            world.remove(found)


# -- what ARM adds --------------------------------------------------------------------------------


def is_windows(properties: dict[str, Any]) -> bool:
    """Whether its system is Windows."""
    image = properties.get("storageProfile", {}).get("imageReference") or {}
    publisher = str(image.get("publisher", "")).lower()
    return "windowsConfiguration" in (properties.get("osProfile") or {}) or "windows" in publisher


def dress_guest(guest: dict[str, Any], request: Request, *, windows: bool) -> None:
    """What ARM says of the system that the request did not say."""
    own = guest.setdefault("windowsConfiguration" if windows else "linuxConfiguration", {})
    own.setdefault("provisionVMAgent", True)
    if windows:
        own.setdefault("enableAutomaticUpdates", True)
    else:
        own.setdefault("disablePasswordAuthentication", False)
    patches = {"patchMode": "AutomaticByOS" if windows else "ImageDefault"}
    if request.since("2021-03-01"):
        patches["assessmentMode"] = "ImageDefault"
    if request.since("2020-06-01" if windows else "2020-12-01"):
        own.setdefault("patchSettings", patches)


def dress(properties: dict[str, Any], request: Request) -> None:
    """What ARM says of disks that the request did not say."""
    windows, storage = is_windows(properties), properties["storageProfile"]
    disk = storage["osDisk"]
    disk.setdefault("createOption", "FromImage")
    disk.setdefault("osType", "Windows" if windows else "Linux")
    disk.setdefault("caching", "ReadWrite")
    for one in storage["dataDisks"]:
        one.setdefault("caching", "None")
        one.setdefault("toBeDetached", False)
    if request.since("2021-03-01"):
        for one in (disk, *storage["dataDisks"]):
            one.setdefault("deleteOption", "Detach")
