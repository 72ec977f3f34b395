"""Network resources that are little more than what they are told to be."""

from __future__ import annotations

from uuid import uuid4

from arm.kinds import Kind
from arm.parts import Holder, Part
from arm.paths import Request
from arm.world import Resource


class RouteTable(Holder):
    """A table of routes."""

    type = "Microsoft.Network/routeTables"
    member = "routes"

    def shape(self, resource: Resource, request: Request) -> None:
        """What every table has."""
        super().shape(resource, request)
        resource.properties.setdefault("disableBgpRoutePropagation", False)


class Route(Part):
    """One route."""

    type = "Microsoft.Network/routeTables/routes"

    def shape(self, resource: Resource, request: Request) -> None:
        """What every route has."""
        resource.properties.setdefault("hasBgpOverride", False)


class NatGateway(Kind):
    """A gateway for what has no public address."""

    type = "Microsoft.Network/natGateways"
    create = (201, "AN", "Updating")

    def shape(self, resource: Resource, request: Request) -> None:
        """What every gateway has."""
        resource.body.setdefault("sku", {"name": "Standard"}).setdefault("tier", "Regional")
        defaults = {"resourceGuid": str(uuid4()), "idleTimeoutInMinutes": 4}
        resource.body["properties"] = {**defaults, **resource.properties}


class IpGroup(Kind):
    """Nothing but what it is told to be."""

    type = "Microsoft.Network/ipGroups"
    create = (201, "AN", "Updating")


class ApplicationGroup(Kind):
    """Likewise."""

    type = "Microsoft.Network/applicationSecurityGroups"
    create = (201, "AN", "Updating")
