"""Which permissions of IAM a request needs, and whether the caller has them.

As the API's reference says of each method. Not checked are those that only unusual requests need.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from gce import images, names, tokens
from gce.errors import Refused
from gce.request import Request
from gce.world import world

_ACT = "iam.serviceAccounts.actAs"
_VERBS = {"aggregatedList": "list", "wait": "get", "insert": "create"}
_FIELDS = {
    "metadata": "setMetadata",
    "tags": "setTags",
    "labels": "setLabels",
    "deletionProtection": "setDeletionProtection",
    "serviceAccounts": "setServiceAccount",
}

Need = tuple[str, str]
"""A permission, and the path of what it is needed for."""


def checked(request: Request) -> None:
    """Refuses a request for which a permission is lacking."""
    held = tuple(world.settings.permissions)
    if held == ("*",) or request.project not in world.settings.projects:
        return
    for permission, path in _needed(request):
        if _has(held, permission):
            continue
        if permission == _ACT:
            raise Refused(
                400,
                "SERVICE_ACCOUNT_ACCESS_DENIED",
                f"The user does not have access to service account '{path}'. User:"
                f" '{tokens.ACCOUNT}'. Ask a project owner to grant you the"
                " iam.serviceAccountUser role on the service account",
            )
        raise Refused(403, "forbidden", f"Required '{permission}' permission for '{path}'")


@lru_cache(1000)
def _has(held: tuple[str, ...], permission: str) -> bool:
    return any(fnmatchcase(permission, one) for one in held)


def _needed(request: Request) -> Iterator[Need]:
    collection, verb = request.collection, request.verb
    if collection == "imageFamilyViews":
        family = f"projects/{request.project}/global/images/family/{request.target}"
        yield "compute.images.getFromFamily", family
        return
    yield f"compute.{collection}.{_VERBS.get(verb, verb)}", _path(request)
    if verb != "insert":
        return
    if collection == "instances":
        yield from _of_vm(request)
    elif collection == "disks":
        yield from _of_disk(request, request.body, str(request.body.get("name")))
    elif collection == "firewalls":
        network = request.body.get("network") or "global/networks/default"
        yield "compute.networks.updatePolicy", _full(network, request)
    elif source := request.body.get("sourceDisk"):
        kind = "createSnapshot" if collection == "snapshots" else "useReadOnly"
        yield f"compute.disks.{kind}", _full(source, request)


def _path(request: Request) -> str:
    """What the method itself is about."""
    if request.collection in {"projects", "zones", "regions"}:
        return request.path.partition("/v1/")[2]
    name = request.body.get("name") if request.verb == "insert" else None
    if request.verb in {"list", "aggregatedList"}:
        return f"projects/{request.project}"
    collection = "operations" if "Operations" in request.collection else request.collection
    return f"{request.place}/{collection}/{name or request.target}"


def _of_vm(request: Request) -> Iterator[Need]:
    """Of a VM besides `create`."""
    body, path = request.body, _path(request)
    for index, disk in enumerate(body.get("disks") or ()):
        yield from _of_attached(request, disk, index)
    for card in body.get("networkInterfaces") or ():
        given = card.get("subnetwork") or f"regions/{request.region}/subnetworks/default"
        subnet = _full(given, request)
        yield "compute.subnetworks.use", subnet
        if accesses := card.get("accessConfigs"):
            yield "compute.subnetworks.useExternalIp", subnet
            if any(one.get("natIP") for one in accesses):
                yield "compute.addresses.use", f"projects/{request.project}"
    for field, verb in _FIELDS.items():
        given = body.get(field)
        if given.get("items") if field in {"metadata", "tags"} and given else given:
            yield f"compute.instances.{verb}", path
    for account in body.get("serviceAccounts") or ():
        yield _ACT, account.get("email", "")


def _of_attached(request: Request, disk: dict[str, Any], index: int) -> Iterator[Need]:
    if source := disk.get("source"):
        yield "compute.disks.use", _full(source, request)
    elif disk.get("type") != "SCRATCH":
        params, own = disk.get("initializeParams") or {}, str(request.body.get("name"))
        name = params.get("diskName") or (own if index == 0 else f"{own}-{index}")
        yield "compute.disks.create", f"{request.place}/disks/{name}"
        yield from _of_disk(request, params, name)


def _of_disk(request: Request, disk: dict[str, object], name: str) -> Iterator[Need]:
    """Of a disk besides `create`."""
    for field, kind in (("sourceImage", "images"), ("sourceSnapshot", "snapshots")):
        path = images.plain(_full(str(disk.get(field) or ""), request))
        if path.startswith(f"projects/{request.project}/global/{kind}/"):
            yield f"compute.{kind}.useReadOnly", path
    if disk.get("labels"):
        yield "compute.disks.setLabels", f"{request.place}/disks/{name}"


def _full(given: str, request: Request) -> str:
    path = names.shortened(given)
    if not path or path.startswith("projects/"):
        return path
    return f"projects/{request.project}/{path}"
