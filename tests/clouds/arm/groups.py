"""Subscriptions, resource groups, and the tags of any resource."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from arm.errors import Refused, no_group
from arm.kinds import KINDS, Answer, Kind, page
from arm.paths import Request, key_of
from arm.regions import REGIONS
from arm.world import Resource, world

_PROVIDERS = {
    "microsoft.authorization": "Microsoft.Authorization",
    "microsoft.compute": "Microsoft.Compute",
    "microsoft.network": "Microsoft.Network",
    "microsoft.resources": "Microsoft.Resources",
}


class Group(Kind):
    """A resource group: deleting it deletes all that is in it."""

    type = "groups"
    in_group = False
    etags = False
    seconds = "delete"
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

    def id_of(self, request: Request) -> str:
        """It is in nothing but its subscription."""
        return request.scope

    def need(self, request: Request) -> Resource:
        """The group that is named."""
        found = world.find("groups", request.scope)
        if found is None:
            raise no_group(request.group)
        return found

    def remove(self, request: Request) -> Answer:
        """Only one that there is; its Location alone tells when it is gone."""
        self.need(request)
        return super().remove(request)

    def gone(self, resource: Resource) -> None:
        """All that is in it goes, too."""
        start = resource.id.lower() + "/"
        for one in world.every():
            if one.id.lower().startswith(start):
                world.remove(one)


_GROUP = Group()


# -- scopes ---------------------------------------------------------------------------------------


def need_subscription(request: Request) -> None:
    """The subscription must be one of the caller's."""
    known = {one.lower() for one in world.settings.subscriptions}
    if request.subscription and request.subscription.lower() not in known:
        raise Refused(
            404,
            "SubscriptionNotFound",
            f"The subscription '{request.subscription}' could not be found.",
        )


def scoped(request: Request) -> Answer:
    """A subscription, a group, a provider, and what there is of each."""
    if request.provider:
        return 200, _provider(request, request.provider), {}
    if request.verb:
        return _listed(request, request.verb.lower())
    if request.group:
        return _GROUP.answer(request)
    if request.subscription:
        return 200, _subscription(request.subscription), {}
    return 200, {"value": [_subscription(one) for one in world.settings.subscriptions]}, {}


def _listed(request: Request, what: str) -> Answer:
    if what == "resources":
        start = request.scope.lower() + "/"
        found = [one for one in world.every() if one.id.lower().startswith(start)]
        return page(request, [one for one in found if one.kind.type.count("/") == 1], _short)
    if request.group or what not in {"resourcegroups", "locations", "providers"}:
        raise Refused(404, "InvalidResourceType", f"The path '{request.path}' names nothing here.")
    if what == "resourcegroups":
        return _GROUP.listed(request, request.scope)
    if what == "locations":
        return 200, {"value": [_location(request, one) for one in REGIONS]}, {}
    return 200, {"value": [_provider(request, one) for one in _PROVIDERS]}, {}


def _location(request: Request, name: str) -> dict[str, Any]:
    id_ = f"/subscriptions/{request.subscription}/locations/{name}"
    return {"id": id_, "name": name, "displayName": name, "regionalDisplayName": name}


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


def _short(one: Resource) -> dict[str, Any]:
    """A resource as a list of all kinds of them shows it."""
    shown = {
        "id": one.id,
        "name": one.name,
        "type": one.kind.type,
        "location": one.body.get("location", ""),
        "tags": one.body.get("tags"),
    }
    return {name: value for name, value in shown.items() if value is not None}


def _provider(request: Request, key: str) -> dict[str, Any]:
    """A provider, which is registered, with its types."""
    name = _PROVIDERS.get(key, key)
    types = [kind.type.partition("/")[2] for kind in KINDS.values() if kind.key.startswith(key)]
    return {
        "id": f"/subscriptions/{request.subscription}/providers/{name}",
        "namespace": name,
        "registrationState": "Registered",
        "resourceTypes": [
            {"resourceType": one, "locations": list(REGIONS), "apiVersions": ["2024-11-01"]}
            for one in types
        ],
    }


# -- tags -----------------------------------------------------------------------------------------


def tags(request: Request) -> Answer:
    """The tags of whatever the path begins with, merged, replaced or deleted."""
    id_ = request.path[: request.path.lower().rindex("/providers/microsoft.resources/tags")]
    found = world.find(key_of(id_), id_)
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
