"""Deletion of all but VMs: nothing that is used can be deleted."""

from __future__ import annotations

from typing import Any

from gce import errors, names
from gce.operations import Error, Plan, begin
from gce.request import Request
from gce.resource import Resource
from gce.world import world


def delete(request: Request) -> dict[str, Any]:
    """Deletes a resource that nothing needs."""
    resource = request.found()
    if resource.busy is not None:
        raise errors.not_ready(resource.path)
    if (user := _user(resource)) is not None:
        raise errors.in_use(resource.path, user.removeprefix(names.ROOT))

    def ended(error: Error | None) -> None:
        if error is None:
            _remove(resource)

    seconds = world.settings.others
    plan = Plan("delete", resource.path, resource.body["id"], seconds, ended=ended)
    plan.target = resource
    return begin(plan, request.place, request)


def _user(resource: Resource) -> str | None:
    """What needs it."""
    link = resource.body["selfLink"]
    if resource.kind in {"disks", "addresses"}:
        return next(iter(resource.body.get("users", ())), None)
    if resource.kind == "networks":
        for one in world.every():
            if one.kind in {"firewalls", "subnetworks"} and one.body.get("network") == link:
                if one.kind == "subnetworks" and resource.body["autoCreateSubnetworks"]:
                    if (user := _user(one)) is not None:
                        return user
                    continue
                return one.path
    if resource.kind == "subnetworks":
        for one in world.every():
            if one.kind == "instances" and any(
                card.get("subnetwork") == link for card in one.body["networkInterfaces"]
            ):
                return one.path
    return None


def _remove(resource: Resource) -> None:
    world.remove(resource)
    if resource.kind == "networks":
        for one in list(world.every()):
            if one.kind == "subnetworks" and one.body["network"] == resource.body["selfLink"]:
                world.remove(one)
