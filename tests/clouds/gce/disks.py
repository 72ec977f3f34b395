"""Disks: made with a VM or alone."""

from __future__ import annotations

from typing import Any

from gce import catalogue, errors, images, labels, names
from gce.operations import Error, Plan, begin
from gce.request import Request
from gce.resource import Resource, made
from gce.world import world

_TYPE = rf"(?:projects/[^/]+/)?zones/{names.NAME}/diskTypes/{names.NAME}"
SNAPSHOT = rf"global/snapshots/{names.NAME}"


def plan(asked: dict[str, Any], request: Request, name: str, default: str, at: str) -> Resource:
    """A disk as it will be; it is not yet in the world.

    Args:
        asked: A Disk, or what `initializeParams` of a VM's disk is.
        request: What asks for it.
        name: Its name.
        default: Its kind if nothing is said.
        at: The field of the request, for refusals.
    """
    source = _source(asked, request, at)
    kind_field = "diskType" if "initializeParams" in at else "type"
    kind = default
    if given := asked.get(kind_field):
        path = names.path_of(given, request.project, f"{at}.{kind_field}", _TYPE)
        kind = names.last(path)
        if catalogue.disk_type(request.project, request.zone, kind) is None:
            why = f"Disk type with name '{kind}' does not exist in zone '{request.zone}'."
            raise errors.invalid(f"{at}.{kind_field}", given, why)
    size = _size(asked, source, kind, at)
    labels.checked(asked.get("labels", {}), f"{at}.labels")
    place = f"projects/{request.project}/zones/{request.zone}"
    disk = made(
        "disks",
        place,
        name,
        kind="compute#disk",
        sizeGb=str(size),
        zone=names.url(place),
        status="CREATING",
        type=names.url(f"{place}/diskTypes/{kind}"),
        labelFingerprint=names.fingerprint(asked.get("labels", {})),
        physicalBlockSizeBytes="4096",
        architecture="X86_64",
        enableConfidentialCompute=False,
    )
    body = disk.body
    disk.hidden["least"] = int(source.body["diskSizeGb"]) if source is not None else size
    if asked.get("labels"):
        body["labels"] = dict(asked["labels"])
    if source is not None:
        field = "sourceImage" if source.kind == "images" else "sourceSnapshot"
        body |= {field: source.body["selfLink"], f"{field}Id": source.body["id"]}
        body["architecture"] = source.body.get("architecture", "X86_64")
        for one in ("licenses", "guestOsFeatures"):
            if one in source.body:
                body[one] = source.body[one]
    return disk


def _source(asked: dict[str, Any], request: Request, at: str) -> Resource | None:
    given, snapshot = asked.get("sourceImage") or "", asked.get("sourceSnapshot") or ""
    if at == "resource":
        given = given or request.query.get("sourceImage", "")
    if given:
        field = f"{at}.sourceImage"
        path = images.plain(names.path_of(given, request.project, field, images.PATTERN))
        if (found := images.find(path)) is not None:
            return found
        if "/family/" in path:
            raise errors.missing(path)
        raise errors.invalid(field, given, "The referenced image resource cannot be found.")
    if not snapshot:
        return None
    field = f"{at}.sourceSnapshot"
    path = names.path_of(snapshot, request.project, field, SNAPSHOT)
    place, kind, name = path.rsplit("/", 2)
    if (found := world.find(kind, place, name)) is None:
        raise errors.invalid(field, snapshot, "The referenced snapshot resource cannot be found.")
    return found


def _size(asked: dict[str, Any], source: Resource | None, kind: str, at: str) -> int:
    field = "diskSizeGb" if "initializeParams" in at else "sizeGb"
    least = int(source.body["diskSizeGb"]) if source is not None else 0
    if asked.get(field) is None:
        return least or int(catalogue.DISK_TYPES[kind][2])
    size = int(asked[field])
    if size < least:
        why = f"Requested disk size cannot be smaller than the image size ({least} GB)"
        raise errors.invalid(f"{at}.{field}", size, why)
    low, high = (int(one.removesuffix("GB")) for one in catalogue.DISK_TYPES[kind][1].split("-"))
    if not low <= size <= high:
        why = f"Disk size must be between {low} and {high} GB for {kind}."
        raise errors.invalid(f"{at}.{field}", size, why)
    return size


def warnings(disk: Resource) -> list[dict[str, Any]]:
    """What Google says of a disk that is larger than its image."""
    size, least = int(disk.body["sizeGb"]), disk.hidden["least"]
    if size == least:
        return []
    message = (
        f"Disk size: '{size} GB' is larger than image size: '{least} GB'. You might need to resize"
        " the root repartition manually if the operating system does not support automatic"
        " resizing. See https://cloud.google.com/compute/docs/disks/add-persistent-disk#resize_pd"
        " for details."
    )
    data = [{"key": "diskSizeGb", "value": str(size)}, {"key": "imageSizeGb", "value": str(least)}]
    return [{"code": "DISK_SIZE_LARGER_THAN_IMAGE_SIZE", "message": message, "data": data}]


# -- methods --------------------------------------------------------------------------------------


def insert(request: Request) -> dict[str, Any]:
    """A disk of its own."""
    disk = plan(request.body, request, request.new_name(), "pd-standard", "resource")
    world.add(disk)

    def ended(error: Error | None) -> None:
        ready(disk)
        if error is not None:
            world.remove(disk)

    return begin(
        Plan(
            "insert",
            disk.path,
            disk.body["id"],
            world.settings.others,
            ended=ended,
            target=disk,
            warnings=warnings(disk),
        ),
        request.place,
        request,
    )


def ready(disk: Resource) -> None:
    """It is made."""
    with disk.changing() as body:
        body["status"] = "READY"


def resize(request: Request) -> dict[str, Any]:
    """Makes a disk larger."""
    disk, size = request.found(), int(request.body.get("sizeGb") or 0)
    if size <= int(disk.body["sizeGb"]):
        why = f"New disk size '{size}' must be larger than existing size '{disk.body['sizeGb']}'."
        raise errors.invalid("sizeGb", size, why)

    def ended(error: Error | None) -> None:
        if error is None:
            with disk.changing() as body:
                body["sizeGb"] = str(size)

    kind = "resizeDisk"
    seconds = world.settings.others
    return begin(
        Plan(kind, disk.path, disk.body["id"], seconds, ended=ended, target=disk),
        request.place,
        request,
    )


def attach(disk: Resource, vm_path: str) -> None:
    """A VM uses it."""
    with disk.changing() as body:
        body["users"] = [*body.get("users", ()), names.url(vm_path)]
        body["lastAttachTimestamp"] = names.stamp(world.now())


def detach(disk: Resource, vm_path: str) -> None:
    """A VM does not use it any more."""
    with disk.changing() as body:
        body["users"] = [one for one in body.get("users", ()) if one != names.url(vm_path)]
        body["lastDetachTimestamp"] = names.stamp(world.now())
        if not body["users"]:
            del body["users"]
