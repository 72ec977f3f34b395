"""Ownership tags rewritten: on a VM and on all that belongs to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from vmops import VM, Tags
from vmops.errors import NotFound
from vmops_azure.addresses import NETWORK
from vmops_azure.client import COMPUTE, Arm
from vmops_azure.errors import NotArmError
from vmops_azure.machines import unique_id

__all__ = ["rewrite"]

_TAGS: Final = "providers/Microsoft.Resources/tags/default?api-version=2021-04-01"


def rewrite(arm: Arm, vm: VM, tags: Tags) -> None:
    """Merge these tags into those of a VM, its disk, its network interface and its address."""
    place = vm.info.get("resourceId", "")
    model = arm.find(f"{place}?api-version={COMPUTE}") if place else None
    if model is None:  # without it, what belongs to it is unknown
        raise NotArmError(f"VM {vm.name!r} is not shown at the moment")
    if unique_id(model) != vm.id:
        raise NotFound(f"azure: VM {vm.name!r} is gone; another one has its name")
    merge = {"operation": "Merge", "properties": {"tags": tags.to_dict()}}
    for resource in (place, *_belongings(arm, model)):
        arm.send("PATCH", f"{resource}/{_TAGS}", merge)


def _belongings(arm: Arm, model: Mapping[str, Any]) -> Iterator[str]:
    """The resource ids of what is deleted with a VM."""
    properties = model.get("properties", {})
    disk = properties.get("storageProfile", {}).get("osDisk", {})
    if disk.get("deleteOption") == "Delete":
        yield str(disk["managedDisk"]["id"])
    for card in properties.get("networkProfile", {}).get("networkInterfaces") or ():
        if (card.get("properties") or {}).get("deleteOption") != "Delete":
            continue
        yield str(card["id"])
        shown = arm.find(f"{card['id']}?api-version={NETWORK}") or {}
        for one in shown.get("properties", {}).get("ipConfigurations") or ():
            public = one.get("properties", {}).get("publicIPAddress") or {}
            if public.get("properties", {}).get("deleteOption", "Delete") == "Delete" and public:
                yield str(public["id"])
