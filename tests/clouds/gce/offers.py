"""Methods that only show what Google offers, and the project."""

from __future__ import annotations

from typing import Any

from gce import catalogue, errors, names, quotas, tokens
from gce.answers import Listing
from gce.discovery import ANY_ZONE
from gce.lists import page
from gce.request import Request
from gce.resource import Resource
from gce.world import world

_KNOWN: dict[tuple[str, str], dict[str, Resource]] = {}
"""What is offered never changes, so it is written once."""


def of_zone(collection: str, project: str, zone: str) -> dict[str, Resource]:
    """All of a kind in a zone, by name."""
    key = collection, f"projects/{project}/zones/{zone}"
    if key not in _KNOWN:
        _KNOWN[key] = {
            one["name"]: Resource(*key, one) for one in _bodies(collection, project, zone)
        }
    return _KNOWN[key]


def _bodies(collection: str, project: str, zone: str) -> list[dict[str, Any]]:
    if collection == "machineTypes":
        found = [catalogue.machine_type(project, zone, name) for name in catalogue.sizes()]
    elif collection == "diskTypes":
        found = [catalogue.disk_type(project, zone, name) for name in catalogue.DISK_TYPES]
    else:
        found = [catalogue.zone(project, name) for name in catalogue.ZONES]
    return [one for one in found if one is not None]


def need_zone(request: Request) -> None:
    """Refuses a zone that there is not."""
    if request.zone and request.zone not in {*catalogue.ZONES, ANY_ZONE}:
        raise errors.missing(f"projects/{request.project}/zones/{request.zone}")
    region = request.params.get("region")
    if region and region not in catalogue.REGIONS:
        raise errors.missing(f"projects/{request.project}/regions/{region}")


def get(request: Request) -> Any:
    """A machine type or a kind of disk."""
    found: Any = of_zone(request.collection, request.project, request.zone).get(request.target)
    if found is None and request.collection == "machineTypes":
        found = catalogue.machine_type(request.project, request.zone, request.target)
    if found is None:
        raise errors.missing(f"{request.place}/{request.collection}/{request.target}")
    return found


def listed(request: Request) -> Listing:
    """All of a kind in a zone."""
    return page(request, of_zone(request.collection, request.project, request.zone).values())


def zones(request: Request) -> Listing:
    """All zones."""
    return page(request, of_zone("zones", request.project, "").values())


def zone(request: Request) -> Any:
    """One zone."""
    return catalogue.zone(request.project, request.zone)


def region(request: Request) -> Any:
    """One region."""
    return catalogue.region(request.project, request.region, quotas.shown(request.region))


def regions(request: Request) -> Listing:
    """All regions."""
    found = [
        Resource("regions", f"projects/{request.project}", body)
        for name in catalogue.REGIONS
        if (body := catalogue.region(request.project, name, quotas.shown(name))) is not None
    ]
    return page(request, found)


def project(request: Request) -> dict[str, Any]:
    """The project."""
    name = request.project
    return {
        "kind": "compute#project",
        "id": tokens.NUMBER,
        "creationTimestamp": names.stamp(0.0),
        "name": name,
        "commonInstanceMetadata": {
            "kind": "compute#metadata",
            "fingerprint": names.fingerprint([]),
        },
        "quotas": [
            {"metric": "NETWORKS", "limit": 5.0, "usage": float(_count("networks", name))},
            {"metric": "SNAPSHOTS", "limit": 1000.0, "usage": float(_count("snapshots", name))},
            {"metric": "IMAGES", "limit": 100.0, "usage": float(_count("images", name))},
            {"metric": "CPUS_ALL_REGIONS", "limit": 64.0, "usage": float(quotas.used(""))},
        ],
        "defaultServiceAccount": f"{tokens.NUMBER}-compute@developer.gserviceaccount.com",
        "xpnProjectStatus": "UNSPECIFIED_XPN_PROJECT_STATUS",
        "defaultNetworkTier": "PREMIUM",
        "vmDnsSetting": "ZONAL_ONLY",
        "selfLink": names.url(f"projects/{name}"),
    }


def _count(kind: str, project: str) -> int:
    return len(world.resources[kind, f"projects/{project}/global"])
