"""The disks of a VM: those that are made with it, those that are there, and local ones."""

from __future__ import annotations

from typing import Any

from gce import catalogue, disks, errors, names
from gce.disks import attach, detach, ready
from gce.request import Request
from gce.resource import Resource
from gce.world import world

__all__ = ["attach", "detach", "plan", "ready"]

_DISK = rf"zones/{names.NAME}/disks/{names.NAME}"
_LOCAL_GB = "375"


def plan(
    request: Request, vm: Resource, machine_type: str
) -> tuple[list[dict[str, Any]], list[Resource], list[Resource]]:
    """The disks as the VM shows them, all of them, and those that are new."""
    asked = request.body.get("disks") or []
    if not asked:
        raise errors.invalid("resource.disks", "", "No disks are specified.")
    if not asked[0].get("boot"):
        raise errors.invalid("resource.disks[0].boot", "false", "Boot disk must be the first disk.")
    shown, found, new = [], [], []
    for index, one in enumerate(asked):
        at = f"resource.disks[{index}]"
        if one.get("type") == "SCRATCH":
            shown.append(_local(one, index))
            continue
        disk = _existing(request, one, at) if one.get("source") else None
        if disk is None:
            disk = _new(request, one, at, index, machine_type)
            new.append(disk)
        found.append(disk)
        shown.append(_shown(one, index, disk))
    _fits(machine_type, found[0], asked[0])
    lssd = catalogue.sizes().get(machine_type, (0, 0, 0))[2]
    shown += [_local({}, len(shown) + index) for index in range(lssd)]
    return shown, found, new


def _existing(request: Request, asked: dict[str, Any], at: str) -> Resource:
    field = f"{at}.source"
    path = names.path_of(asked["source"], request.project, field, _DISK)
    place, kind, name = path.rsplit("/", 2)
    disk = world.find(kind, place, name)
    if disk is None:
        why = "The referenced disk resource cannot be found."
        raise errors.invalid(field, asked["source"], why)
    if disk.body.get("users") and asked.get("mode") != "READ_ONLY":
        raise errors.in_use(path, disk.body["users"][0].removeprefix(names.ROOT))
    return disk


def _new(
    request: Request, asked: dict[str, Any], at: str, index: int, machine_type: str
) -> Resource:
    params = dict(asked.get("initializeParams") or {})
    if index == 0 and not (params.get("sourceImage") or params.get("sourceSnapshot")):
        why = "The boot disk needs a source image or snapshot."
        raise errors.invalid(f"{at}.initializeParams.sourceImage", "", why)
    params.setdefault("diskSizeGb", asked.get("diskSizeGb"))
    own = request.body["name"]
    name = params.get("diskName") or (own if index == 0 else f"{own}-{index}")
    if name in world.resources["disks", request.place]:
        raise errors.exists(f"{request.place}/disks/{name}")
    default = catalogue.default_disk(machine_type)
    return disks.plan(params, request, name, default, f"{at}.initializeParams")


def _fits(machine_type: str, boot: Resource, asked: dict[str, Any]) -> None:
    """Refuses a boot disk that such a machine cannot have."""
    kind = names.last(boot.body["type"])
    if not catalogue.takes_disk(machine_type, kind):
        message = f"[{machine_type}, {kind}] features are not compatible for creating instance."
        raise errors.Refused(400, "badRequest", message)
    wanted = "ARM64" if catalogue.is_arm(machine_type) else "X86_64"
    if boot.body.get("architecture", wanted) != wanted:
        message = (
            f"Requested boot disk architecture ({boot.body['architecture']}) is not compatible with"
            f" machine type architecture ({wanted})."
        )
        raise errors.Refused(400, "invalid", message)


def _shown(asked: dict[str, Any], index: int, disk: Resource) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "kind": "compute#attachedDisk",
        "type": "PERSISTENT",
        "mode": asked.get("mode", "READ_WRITE"),
        "source": disk.body["selfLink"],
        "deviceName": asked.get("deviceName") or f"persistent-disk-{index}",
        "index": index,
        "boot": bool(asked.get("boot")),
        "autoDelete": bool(asked.get("autoDelete")),
        "interface": asked.get("interface", "SCSI"),
        "diskSizeGb": disk.body["sizeGb"],
    }
    for field in ("licenses", "guestOsFeatures", "architecture"):
        if field in disk.body:
            shown[field] = disk.body[field]
    return shown


def _local(asked: dict[str, Any], index: int) -> dict[str, Any]:
    return {
        "kind": "compute#attachedDisk",
        "type": "SCRATCH",
        "mode": "READ_WRITE",
        "deviceName": asked.get("deviceName") or f"local-ssd-{index}",
        "index": index,
        "boot": False,
        "autoDelete": True,
        "interface": asked.get("interface", "NVME"),
        "diskSizeGb": _LOCAL_GB,
    }
