"""Subscriptions, resource groups, and the tags of any resource."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from arm.errors import Refused, no_group
from arm.kinds import Answer, Kind, page
from arm.operations import Operation, begin, headers
from arm.paths import Request
from arm.world import SUBSCRIPTION, Resource, world


class Group(Kind):
    """A resource group: deleting it deletes all that is in it."""

    type = "groups"
    in_group = False
    etags = False
    create = (201, "", "Succeeded")
    update = (200, "", "Succeeded")
    patch = (200, "", "Succeeded")
    delete = (202, "L")

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """Its own type has a longer name."""
        return {**super().view(resource, request), "type": "Microsoft.Resources/resourceGroups"}

    def check(self, request: Request, old: Resource | None) -> None:
        """It has a location, and keeps it."""
        location = (request.body or {}).get("location")
        if not location:
            raise Refused(400, "LocationRequired", "The location property is required.")
        if old is not None and old.body["location"].lower() != location.lower():
            raise Refused(
                409,
                "InvalidResourceGroupLocation",
                f"Invalid resource group location '{location}'. The Resource group already exists"
                f" in location '{old.body['location']}'.",
            )

    def need(self, request: Request) -> Resource:
        """The group that is named."""
        found = world.find("groups", request.scope)
        if found is None:
            raise no_group(request.group)
        return found

    def gone(self, resource: Resource) -> None:
        """All that is in it goes, too."""
        start = resource.id.lower() + "/"
        for one in world.every():
            if one.id.lower().startswith(start):
                world.remove(one)


def subscriptions(request: Request) -> Answer:
    """A subscription, what is in all of its groups, and its providers."""
    if not request.subscription:
        return 200, {"value": [_subscription(SUBSCRIPTION)]}, {}
    return 200, _subscription(request.subscription), {}


def _subscription(id_: str) -> dict[str, Any]:
    return {
        "id": f"/subscriptions/{id_}",
        "subscriptionId": id_,
        "displayName": "Emulated",
        "state": "Enabled",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "tenantId": str(UUID(int=1)),
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    }


def resources(request: Request) -> Answer:
    """All resources of a group or subscription, in short."""
    start = request.scope.lower() + "/"
    found = [one for one in world.every() if one.id.lower().startswith(start)]
    top = [one for one in found if one.kind.type.count("/") == 1]
    shown = [
        {
            "id": one.id,
            "name": one.name,
            "type": one.kind.type,
            "location": one.body.get("location", ""),
            "tags": one.body.get("tags", {}),
        }
        for one in top
    ]
    return page(request, shown[: world.settings.page], shown)


def provider(request: Request) -> Answer:
    """A provider, which is registered."""
    names = {"microsoft.compute": "Microsoft.Compute", "microsoft.network": "Microsoft.Network"}
    name = names.get(request.provider, request.provider)
    path = f"/subscriptions/{request.subscription}/providers/{name}"
    body = {"id": path, "namespace": name, "registrationState": "Registered", "resourceTypes": []}
    return 200, body, {}


def tags(request: Request) -> Answer:
    """The tags of whatever the path begins with, merged, replaced or deleted."""
    id_ = request.path[: request.path.lower().rindex("/providers/microsoft.resources/tags")]
    found = next((one for one in world.every() if one.id.lower() == id_.lower()), None)
    if found is None:
        raise Refused(404, "ResourceNotFound", f"The resource '{id_}' was not found.")
    if request.method != "GET":
        given = (request.body or {}).get("properties", {}).get("tags", {})
        how = (request.body or {}).get("operation", "Replace")
        old = dict(found.body.get("tags") or {})
        if how == "Merge":
            given = {**old, **given}
        elif how == "Delete":
            given = {key: value for key, value in old.items() if key not in given}
        found.body["tags"] = given
    shown = {
        "id": f"{id_}/providers/Microsoft.Resources/tags/default",
        "name": "default",
        "type": "Microsoft.Resources/tags",
        "properties": {"tags": found.body.get("tags") or {}},
    }
    return 200, shown, {}


def group_deleted(request: Request) -> Answer:
    """A group goes with all that is in it; only a Location tells when."""
    group: Group = _GROUP
    resource = group.need(request)
    resource.state = "Deleting"

    def done(_: dict[str, Any] | None) -> None:
        world.remove(resource)
        group.gone(resource)

    operation = begin(Operation("delete", request, resource, done))
    return 202, None, headers(operation, "L")


_GROUP = Group()
