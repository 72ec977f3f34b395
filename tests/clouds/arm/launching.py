"""What comes with a VM: disks, interfaces, addresses, and what ARM adds to what was asked."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from arm.kinds import KINDS
from arm.paths import Request
from arm.world import Resource, copied, world


def equip(vm: Resource, request: Request) -> None:
    """Its disks, interfaces and addresses, which exist from when its operation begins."""
    before = vm.hidden.pop("before", {})
    _disks(vm, request, before.get("storageProfile", {}))
    network = vm.properties.setdefault("networkProfile", {})
    network.pop("networkApiVersion", None)
    asked = network.pop("networkInterfaceConfigurations", [])
    had = before.get("networkProfile", {}).get("networkInterfaces", [])
    # those that a VM's first request asked for are there when it is sent again
    made = had if asked and had else [_interface(vm, request, one) for one in asked]
    network["networkInterfaces"] = [*network.get("networkInterfaces", []), *made]
    for one in network["networkInterfaces"]:
        card = world.find("microsoft.network/networkinterfaces", one["id"])
        if card is not None:
            card.hidden["vm"] = vm.id


def _disks(vm: Resource, request: Request, before: dict[str, Any]) -> None:
    storage = vm.properties.setdefault("storageProfile", {})
    storage["osDisk"] = {**before.get("osDisk", {}), **(storage.get("osDisk") or {})}
    _disk(vm, request, storage["osDisk"], "OsDisk_1")
    had = {one.get("lun"): one for one in before.get("dataDisks", [])}
    given = storage.get("dataDisks") or []
    storage["dataDisks"] = [{**had.get(one.get("lun"), {}), **one} for one in given]
    for number, disk in enumerate(storage["dataDisks"], 2):
        _disk(vm, request, disk, f"disk{number}")


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
    wanted = copied(asked["properties"])
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
    disk.setdefault("diskSizeGB", 127 if windows else 30)
    for one in storage["dataDisks"]:
        one.setdefault("caching", "None")
        one.setdefault("toBeDetached", False)
    if request.since("2021-03-01"):
        for one in (disk, *storage["dataDisks"]):
            one.setdefault("deleteOption", "Detach")
