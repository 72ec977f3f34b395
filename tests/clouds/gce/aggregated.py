"""Aggregated lists: everything of a kind in all zones or regions."""

from __future__ import annotations

from typing import Any

from gce import catalogue, offers
from gce.answers import frame
from gce.discovery import document
from gce.lists import page
from gce.request import Request
from gce.resource import Resource
from gce.world import world


def listed(request: Request) -> dict[str, Any]:
    """All of a kind, by the place where it is."""
    scopes = _scopes(request)
    kind = "operations" if "Operations" in request.collection else request.collection
    every = [one for scope in scopes for one in _in(request, kind, scope)]
    found = page(request, every, _schema(request, kind))
    by_scope: dict[str, list[Resource]] = {scope: [] for scope in scopes}
    for one in found.items:
        by_scope[one.place.split("/", 2)[2]].append(one)
    properties = document().raw["schemas"][request.method.response]["properties"]
    answer = {
        "kind": properties["kind"]["default"],
        **frame(request),
        "items": {scope: _shown(kind, scope, some) for scope, some in by_scope.items()},
    }
    if found.next:
        answer["nextPageToken"] = found.next
    return answer


def _scopes(request: Request) -> list[str]:
    zones = [f"zones/{zone}" for zone in catalogue.ZONES]
    regions = [f"regions/{region}" for region in catalogue.REGIONS]
    if "Operations" in request.collection:
        return ["global", *regions, *zones]
    if request.collection in {"addresses", "subnetworks"}:
        return ["global", *regions] if request.collection == "addresses" else regions
    return zones


def _in(request: Request, kind: str, scope: str) -> list[Resource]:
    place = f"projects/{request.project}/{scope}"
    if kind in {"machineTypes", "diskTypes"}:
        return list(offers.of_zone(kind, request.project, scope.partition("/")[2]).values())
    return list(world.resources[kind, place].values())


def _schema(request: Request, kind: str) -> str:
    scoped = document().raw["schemas"][request.method.response]["properties"]["items"]
    reference = scoped["additionalProperties"]["$ref"]
    items = document().raw["schemas"][reference]["properties"][kind]["items"]
    return str(items["$ref"])


def _shown(kind: str, scope: str, some: list[Resource]) -> dict[str, Any]:
    if some:
        return {kind: [one.seen() for one in some]}
    return {
        "warning": {
            "code": "NO_RESULTS_ON_PAGE",
            "message": f"There are no results for scope '{scope}' on this page.",
            "data": [{"key": "scope", "value": scope}],
        }
    }
