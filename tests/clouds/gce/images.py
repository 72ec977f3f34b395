"""Images and snapshots: Google's own, by their families, and those of the project."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from gce import errors, names
from gce.catalogue import number
from gce.discovery import ANY_ZONE
from gce.operations import Error, Plan, begin
from gce.request import Request, free_name
from gce.resource import Resource, made
from gce.world import world

_DAY = "20261101"
_STAMP = "2026-11-01T09:12:44.117-07:00"
# project: family, name without its day, architecture, GB
_PUBLIC = {
    "ubuntu-os-cloud": """
        ubuntu-2204-lts ubuntu-2204-jammy-v X86_64 10
        ubuntu-2204-lts-arm64 ubuntu-2204-jammy-arm64-v ARM64 10
        ubuntu-2404-lts-amd64 ubuntu-2404-noble-amd64-v X86_64 10
        ubuntu-2404-lts-arm64 ubuntu-2404-noble-arm64-v ARM64 10
        ubuntu-minimal-2404-lts-amd64 ubuntu-minimal-2404-noble-amd64-v X86_64 10
        ubuntu-minimal-2404-lts-arm64 ubuntu-minimal-2404-noble-arm64-v ARM64 10""",
    "debian-cloud": """
        debian-11 debian-11-bullseye-v X86_64 10
        debian-12 debian-12-bookworm-v X86_64 10
        debian-12-arm64 debian-12-bookworm-arm64-v ARM64 10
        debian-13 debian-13-trixie-v X86_64 10
        debian-13-arm64 debian-13-trixie-arm64-v ARM64 10""",
    "rhel-cloud": """
        rhel-9 rhel-9-v X86_64 20
        rhel-9-arm64 rhel-9-arm64-v ARM64 20
        rhel-10 rhel-10-v X86_64 20""",
    "rocky-linux-cloud": """
        rocky-linux-9 rocky-linux-9-v X86_64 20
        rocky-linux-9-arm64 rocky-linux-9-arm64-v ARM64 20
        rocky-linux-9-optimized-gcp rocky-linux-9-optimized-gcp-v X86_64 20
        rocky-linux-9-optimized-gcp-arm64 rocky-linux-9-optimized-gcp-arm64-v ARM64 20""",
    "almalinux-cloud": """
        almalinux-9 almalinux-9-v X86_64 20
        almalinux-9-arm64 almalinux-9-arm64-v ARM64 20""",
    "cos-cloud": """
        cos-stable cos-stable-121-18867-0-v X86_64 10
        cos-arm64-stable cos-arm64-stable-121-18867-0-v ARM64 10""",
    "windows-cloud": """
        windows-2022 windows-server-2022-dc-v X86_64 50
        windows-2025 windows-server-2025-dc-v X86_64 50""",
}
PATTERN = (
    rf"global/images/(?:family/)?{names.NAME}"
    rf"|zones/(?:{ANY_ZONE}|{names.NAME})/imageFamilyViews/{names.NAME}"
)
_VIEW = re.compile(r"zones/[^/]+/imageFamilyViews/")
_ALL = re.compile(rf"projects/([^/]+)/global/images/(family/)?({names.NAME})")


def public() -> None:
    """Google's images."""
    for project, table in _PUBLIC.items():
        for row in table.strip().splitlines():
            family, start, architecture, size = row.split()
            name = f"{start}{_DAY}"
            world.add(_image(project, name, family, architecture, size))


def _image(project: str, name: str, family: str, architecture: str, size: str) -> Resource:
    place = f"projects/{project}/global"
    body: dict[str, Any] = {
        "kind": "compute#image",
        "id": number(name),
        "creationTimestamp": _STAMP,
        "name": name,
        "description": f"{family}, built on {_DAY}",
        "sourceType": "RAW",
        "status": "READY",
        "archiveSizeBytes": str(int(size) * 10**8),
        "diskSizeGb": size,
        "family": family,
        "architecture": architecture,
        "licenses": [names.url(f"projects/{project}/global/licenses/{family}")],
        "guestOsFeatures": [{"type": "UEFI_COMPATIBLE"}, {"type": "GVNIC"}],
        "storageLocations": ["eu", "us", "asia"],
        "labelFingerprint": names.fingerprint({}),
        "selfLink": names.url(f"{place}/images/{name}"),
    }
    return Resource("images", place, body)


def plain(path: str) -> str:
    """The path of an image or family; a zone's view of a family shows what the family has."""
    return _VIEW.sub("global/images/family/", path, count=1)


def find(path: str) -> Resource | None:
    """An image by its path, or by its family's."""
    if (parts := _ALL.fullmatch(path)) is None:
        return None
    project, is_family, name = parts.groups()
    place = f"projects/{project}/global"
    if not is_family:
        return world.find("images", place, name)
    known = [
        one
        for one in world.resources["images", place].values()
        if one.body.get("family") == name and "deprecated" not in one.body
    ]
    return max(known, key=lambda one: (one.body["creationTimestamp"], one.name), default=None)


def from_family(request: Request) -> Resource:
    """The newest image of a family."""
    path = f"projects/{request.project}/global/images/family/{request.target}"
    if (found := find(path)) is None:
        raise errors.missing(path)
    return found


def view(request: Request) -> dict[str, Any]:
    """The newest image of a family in a zone: all images are in all zones."""
    return {"image": from_family(request).body}


def license_of(request: Request) -> dict[str, Any]:
    """The license of an image."""
    link = names.url(f"{request.place}/licenses/{request.target}")
    images = world.resources["images", request.place].values()
    if not any(link in one.body.get("licenses", ()) for one in images):
        raise errors.missing(f"{request.place}/licenses/{request.target}")
    return {
        "kind": "compute#license",
        "id": number(request.target),
        "name": request.target,
        "chargesUseFee": False,
        "creationTimestamp": _STAMP,
        "licenseCode": number(link),
        "selfLink": link,
    }


# -- those of the project -------------------------------------------------------------------------


def insert(request: Request) -> dict[str, Any]:
    """An image or snapshot of a disk, or an image of an image."""
    image = _new(request, request.collection, _source(request))
    plan = Plan("insert", image.path, image.body["id"], world.settings.others)
    plan.ended, plan.target = _ready(image), image
    return begin(plan, request.place, request)


def of_disk(request: Request) -> dict[str, Any]:
    """A snapshot of a disk, as an operation of the disk's zone."""
    disk = request.found()
    snapshot = _new(request, "snapshots", disk)
    plan = Plan("createSnapshot", disk.path, disk.body["id"], world.settings.others)
    plan.ended, plan.target = _ready(snapshot), disk
    return begin(plan, request.place, request)


def _new(request: Request, kind: str, source: Resource) -> Resource:
    body, place = request.body, f"projects/{request.project}/global"
    image = made(
        kind,
        place,
        free_name(body, kind, place),
        kind=f"compute#{kind[:-1]}",
        status="CREATING" if kind == "snapshots" else "PENDING",
        diskSizeGb=source.body.get("diskSizeGb") or source.body["sizeGb"],
        architecture=source.body.get("architecture", "X86_64"),
        labels=body.get("labels", {}),
        labelFingerprint=names.fingerprint(body.get("labels", {})),
        storageLocations=body.get("storageLocations", ["eu"]),
    )
    for field in ("description", "family"):
        if body.get(field):
            image.body[field] = body[field]
    fields = {"disks": "sourceDisk", "images": "sourceImage", "snapshots": "sourceSnapshot"}
    image.body[fields[source.kind]] = source.body["selfLink"]
    image.body[f"{fields[source.kind]}Id"] = source.body["id"]
    world.add(image)
    return image


def _ready(image: Resource) -> Callable[[Error | None], None]:
    def ended(error: Error | None) -> None:
        with image.changing() as shown:
            shown["status"] = "READY"
        if error is not None:
            world.remove(image)

    return ended


def _source(request: Request) -> Resource:
    body, project = request.body, request.project
    for field, pattern in (
        ("sourceDisk", rf"zones/{names.NAME}/disks/{names.NAME}"),
        ("sourceImage", PATTERN),
        ("sourceSnapshot", rf"global/snapshots/{names.NAME}"),
    ):
        if not body.get(field):
            continue
        path = plain(names.path_of(body[field], project, f"resource.{field}", pattern))
        place, kind, name = path.rsplit("/", 2)
        source = find(path) if field == "sourceImage" else world.find(kind, place, name)
        if source is None:
            raise errors.missing(path)
        return source
    raise errors.invalid("resource.sourceDisk", "", "A source must be specified.")
