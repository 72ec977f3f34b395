"""What ARM shows of virtual machines: each read by name, or all of them from lists.

A VM's model holds its tags and provisioning state, its instance view the power state, and its
network interface the addresses. A name is a VM's own only as long as its `vmId` is the same: that
unique id is the VM's id here, and a resource id of a VM that was made elsewhere is taken, too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from vmops import VM, Ref, State, Tags, side_by_side
from vmops.errors import CloudError
from vmops_azure.addresses import Addresses
from vmops_azure.client import COMPUTE, Arm
from vmops_azure.errors import NotArmError, caused

__all__ = ["FEW", "Machines", "provisioning_state", "unique_id"]

FEW: Final = 20
"""VMs that are read one by one; of more, lists cost fewer calls."""

_REMEMBERED: Final = 20_000
_MOMENT: Final = 2.0
"""Seconds."""
_PROVIDER: Final = "providers/Microsoft.Compute/virtualMachines"
_RESOURCE: Final = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/Microsoft\.Compute/virtualMachines/(?P<name>[-\w.]+)",
    re.ASCII | re.IGNORECASE,
)
_UNIQUE: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_POWER: Final[Mapping[str, State]] = {
    "starting": State.STARTING,
    "running": State.RUNNING,
    "stopping": State.STOPPING,
    "stopped": State.STOPPED,
    "deallocating": State.STOPPING,
    "deallocated": State.STOPPED,
}
_HOLDING: Final = frozenset({"starting", "running", "stopping", "stopped", "deallocating"})


class Machines:
    """Describes the VMs of one connection.

    Args:
        arm: The connection.
    """

    def __init__(self, arm: Arm) -> None:
        """Ask nothing yet."""
        self._arm = arm
        self._addresses = Addresses(arm)
        self._names: dict[str, str] = {}  # id -> name in its resource group
        self._seen: dict[str, VM] = {}
        self._sighted: dict[str, float] = {}

    def known(self, id_: str) -> VM | None:
        """A VM as it was seen last, if this connection has seen it."""
        return self._seen.get(id_)

    def name_of(self, vm: VM) -> str:
        """The name in the resource group of a VM that was described."""
        return self._names.get(vm.id) or vm.name

    def sighted(self, id_: str) -> None:
        """A VM has its name at this moment."""
        self._sighted[id_] = time.monotonic()

    def has_its_name(self, vm: VM) -> bool:
        """Whether a VM, and no other one, has its name now: ARM deletes by the name alone.

        What was seen a moment ago is believed; a rate limit or a repetition may have come between.
        """
        if time.monotonic() - self._sighted.get(vm.id, 0.0) < _MOMENT:
            return True
        model = self._get(self.name_of(vm))
        return model is not None and (unique_id(model) == vm.id or not _UNIQUE.fullmatch(vm.id))

    def made(self, id_: str, name: str) -> None:
        """Remember the name of a new VM."""
        self._names[id_] = name

    def describe(self, refs: Sequence[Ref]) -> list[VM]:
        """Those of these VMs that exist."""
        asked = [(ref, name) for ref in refs if (name := self._name(ref)) is not None]
        if len(asked) > FEW or not all(name for _, name in asked):
            wanted = self._wanted_of_all(asked)
            wanted += self._missed(asked, wanted)
        else:
            names = list(dict.fromkeys(name for _, name in asked))
            wanted = [one for one in side_by_side(self._get, names) if one is not None]
        vms = self.read(wanted)
        by_name = {name.lower(): vm for name, vm in vms}
        by_id = {vm.id: vm for _, vm in vms}
        pairs = [(ref, by_name.get(n.lower()) if n else by_id.get(ref.id)) for ref, n in asked]
        told = [self._asked(ref, seen) or self._gone(ref, seen) for ref, seen in pairs]
        return [vm for vm in told if vm is not None]

    def _missed(
        self, asked: Sequence[tuple[Ref, str]], found: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Those that were seen before and that a list does not show: asked for by name."""
        listed = {model["name"].lower() for model in found}
        names = [n for ref, n in asked if ref.id in self._seen and n and n.lower() not in listed]
        return [model for model in side_by_side(self._get, names) if model is not None]

    def _gone(self, ref: Ref, successor: VM | None) -> VM | None:
        """A VM that is known to be gone: it was shown before, or another one has its name now.

        One that was never shown may be still to come.
        """
        before = self._seen.get(ref.id)
        if before is None and (successor is None or not _UNIQUE.fullmatch(ref.id)):
            return None
        name, tags = (before.name, before.tags) if before else (ref.name, None)
        return VM(name, State.ABSENT, id=ref.id, tags=tags)

    def _wanted_of_all(self, asked: Sequence[tuple[Ref, str]]) -> list[dict[str, Any]]:
        """The models that are meant, of all in the resource group; a unique id names one, too."""
        names = {name.lower() for _, name in asked if name}
        ids = {ref.id for ref, name in asked if not name}
        found = [m for m in self.listed() if m["name"].lower() in names or unique_id(m) in ids]
        self._add_power(found)
        return found

    def ours(self) -> list[VM]:
        """All VMs of the resource group that carry vmops tags."""
        raw = [one for one in self.listed() if "vmops-owner" in _tags(one)]
        self._add_power(raw)
        return [vm for _, vm in self.read(raw)]

    def listed(self) -> list[dict[str, Any]]:
        """The models of all VMs in the resource group, without their power states."""
        found = list(self._arm.pages(f"{self._arm.group}/{_PROVIDER}?api-version={COMPUTE}"))
        if not all(isinstance(one.get("name"), str) for one in found):
            raise NotArmError("a list of VMs has one without a name")
        return found

    def read(self, raw: Iterable[dict[str, Any]]) -> list[tuple[str, VM]]:
        """The VMs, with their names in the resource group; those that run have their addresses."""
        models = list(raw)
        found = [_vm(model) for model in models]
        running = [m for m, vm in zip(models, found, strict=True) if vm.state is State.RUNNING]
        self._addresses.learn(running)
        told: list[tuple[str, VM]] = []
        for model, vm in zip(models, found, strict=True):
            full = replace(vm, info={**vm.info, **self._addresses.known(model)})
            self._names[full.id], self._seen[full.id] = model["name"], full
            self.sighted(full.id)
            told.append((model["name"], full))
        for known in (self._seen, self._names, self._sighted):
            while len(known) > _REMEMBERED:
                del known[next(iter(known))]
        return told

    def _get(self, name: str) -> dict[str, Any] | None:
        place = f"{self._arm.group}/{_PROVIDER}/{name}"
        return self._arm.find(f"{place}?$expand=instanceView&api-version={COMPUTE}")

    def _name(self, ref: Ref) -> str | None:
        """The name in the resource group; empty if only a list can tell, None if it has none."""
        if place := _RESOURCE.fullmatch(ref.id):
            ours = self._arm.group.lower() == ref.id[: place.end("group")].lower()
            return place["name"] if ours else None
        if ref.id in self._names:
            return self._names[ref.id]
        return ref.name if ref.name or _UNIQUE.fullmatch(ref.id) else None

    def _add_power(self, raw: list[dict[str, Any]]) -> None:
        """Put the instance views into models from a list, which lacks them."""
        if len(raw) <= FEW:
            found = side_by_side(lambda one: self._get(one["name"]), raw)
            for model, whole in zip(raw, found, strict=True):
                if whole is not None:
                    model.update(whole)
            return
        listed = f"{self._arm.subscription}/{_PROVIDER}?statusOnly=true&api-version={COMPUTE}"
        views = {one["id"].lower(): one["properties"] for one in self._arm.pages(listed)}
        for model in raw:
            if view := views.get(model["id"].lower(), {}).get("instanceView"):
                model["properties"]["instanceView"] = view
            elif whole := self._get(model["name"]):  # what one list has, the other may lack yet
                model.update(whole)

    @staticmethod
    def _asked(ref: Ref, vm: VM | None) -> VM | None:
        """A VM as it was asked for; None if another one has that name now."""
        if vm is None or not ref.id:
            if vm is None or vm.name == ref.name:
                return vm
            return replace(vm, name=ref.name, tags=None)  # made under another spelling
        if _RESOURCE.fullmatch(ref.id):
            return replace(vm, id=ref.id)
        return vm if vm.id == ref.id else None


def provisioning_state(model: Mapping[str, Any]) -> str:
    """Creating, Updating, Deleting, Succeeded, Failed or the like, in lower case."""
    return str(model.get("properties", {}).get("provisioningState", "")).lower()


def unique_id(model: Mapping[str, Any]) -> str:
    """A VM's `vmId`, which no other VM ever has."""
    return str(model.get("properties", {}).get("vmId", "")).lower()


def _tags(model: Mapping[str, Any]) -> Mapping[str, str]:
    return model.get("tags") or {}


def _vm(model: Mapping[str, Any]) -> VM:
    owner = Tags.from_dict(_tags(model))
    if owner is not None and owner.vm.lower() != model["name"].lower():
        owner = None  # copied from another VM, as tags are
    name = owner.vm if owner is not None else model["name"]
    statuses = model.get("properties", {}).get("instanceView", {}).get("statuses") or ()
    codes = [str(one.get("code", "")).lower() for one in statuses]
    power = next((c.partition("/")[2] for c in codes if c.startswith("powerstate/")), "")
    state = _state(provisioning_state(model), power, codes)
    if not unique_id(model):
        raise NotArmError(f"VM {name!r} has no vmId")
    return VM(
        name,
        state,
        id=unique_id(model),
        holds_compute=state is State.STOPPED and power in _HOLDING,
        tags=owner,
        info=_info(model),
        error=_error(name, state, statuses, power),
    )


def _state(provisioning: str, power: str, codes: Sequence[str]) -> State:
    """One of our states: what is being made or deleted, else how the power stands."""
    if provisioning in {"creating", "deleting"}:
        return State.STARTING if provisioning == "creating" else State.DELETING
    failed = provisioning == "failed"
    never_ran = any(code.startswith("provisioningstate/failed/osprov") for code in codes)
    if failed and (never_ran or power not in _POWER):
        return State.FAILED
    if power in _POWER:
        return _POWER[power]
    return State.FAILED if provisioning == "canceled" else State.STARTING  # nothing tells yet


def _error(
    name: str, state: State, statuses: Sequence[Mapping[str, Any]], power: str
) -> CloudError | None:
    """Why a VM has failed, or could not be started."""
    if state not in {State.FAILED, State.STOPPED}:
        return None
    for status in statuses:
        code = str(status.get("code", ""))
        if code.lower().startswith("provisioningstate/failed"):
            said = {"code": code.rpartition("/")[2], "message": status.get("message")}
            error = caused(name, said)
            error.remains = f"VM {name!r}" + ("" if power else ", its disk and network interface")
            error.hint = error.hint or "vm_deprovision deletes it"
            return error
    return None


def _info(model: Mapping[str, Any]) -> dict[str, Any]:
    properties = model.get("properties", {})
    image = properties.get("storageProfile", {}).get("imageReference") or {}
    urn = [str(image[key]) for key in ("publisher", "offer", "sku") if image.get(key)]
    if urn:
        urn.append(str(image.get("exactVersion") or image.get("version", "latest")))
    info = {
        "resourceId": model.get("id"),
        "location": model.get("location"),
        "zone": next(iter(model.get("zones") or ()), None),
        "vmSize": properties.get("hardwareProfile", {}).get("vmSize"),
        "image": image.get("id") or ":".join(urn),
        "spot": True if properties.get("priority") == "Spot" else None,
    }
    return {key: value for key, value in info.items() if value not in (None, "")}
