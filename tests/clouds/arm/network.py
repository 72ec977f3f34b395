"""Virtual networks and their subnets."""

from __future__ import annotations

import copy
import ipaddress
from typing import Any
from uuid import uuid4

from arm.addresses import (
    SUBNET,
    addresses,
    configurations,
    kept,
    prefix_of,
    usage,
)
from arm.errors import Refused
from arm.kinds import Answer, Kind
from arm.paths import Request
from arm.world import Resource, world


class Network(Kind):
    """A virtual network; its subnets are resources of their own, and shown in it."""

    type = "Microsoft.Network/virtualNetworks"
    create = (201, "AN", "Updating")

    def shape(self, resource: Resource, request: Request) -> None:
        """Its subnets are made with it."""
        properties = resource.properties
        resource.hidden.setdefault("guid", str(uuid4()))
        for one in list(world.below(SUBNET, resource.id)):
            if "subnets" in properties:
                world.remove(one)
        for given in properties.pop("subnets", []):
            subnet = Resource(_SUBNETS, f"{resource.id}/subnets/{given['name']}", {}, world.now())
            subnet.body = {"properties": copy.deepcopy(given.get("properties", {}))}
            subnet.hidden["location"] = resource.hidden["location"]
            _SUBNETS.shape(subnet, request)
            world.add(subnet)
        defaults = {
            "virtualNetworkPeerings": [],
            "enableDdosProtection": False,
            **({} if request.since("2020-07-01") else {"enableVmProtection": False}),
        }
        resource.body["properties"] = {**defaults, **properties}

    def made(self, resource: Resource, error: dict[str, Any] | None) -> None:
        """Its subnets are made, too."""
        super().made(resource, error)
        for subnet in world.below(SUBNET, resource.id):
            subnet.state = resource.state

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """With its subnets."""
        shown = super().view(resource, request)
        subnets = list(world.below(SUBNET, resource.id))
        more = {"resourceGuid": resource.hidden["guid"]}
        if resource.state == "Updating":
            for one in subnets:
                one.properties.setdefault("provisioningState", "Updating")
        more["subnets"] = [_SUBNETS.view(one, request) for one in subnets]
        shown["properties"] = {**shown["properties"], **more}
        return shown

    def act(self, resource: Resource, request: Request) -> Answer:
        """Usages, and whether an address is free."""
        verb = request.verb.lower()
        if verb == "checkipaddressavailability":
            return self._availability(resource, request)
        if verb == "usages":
            return 200, {"value": [usage(one) for one in world.below(SUBNET, resource.id)]}, {}
        return super().act(resource, request)

    @staticmethod
    def _availability(resource: Resource, request: Request) -> Answer:
        wanted = request.query.get("ipaddress", "")
        taken = {ip for s in world.below(SUBNET, resource.id) for ip in addresses(s)}
        for subnet in world.below(SUBNET, resource.id):
            prefix = ipaddress.ip_network(prefix_of(subnet))
            if ipaddress.ip_address(wanted) not in prefix:
                continue
            if wanted not in taken and ipaddress.ip_address(wanted) not in kept(prefix):
                return 200, {"available": True, "isPlatformReserved": False}, {}
            free = (str(ip) for ip in prefix.hosts() if ip not in kept(prefix))
            few = [
                ip for ip, _ in zip((ip for ip in free if ip not in taken), range(5), strict=False)
            ]
            return (
                200,
                {
                    "available": False,
                    "availableIPAddresses": few,
                    "isPlatformReserved": ipaddress.ip_address(wanted) in kept(prefix),
                },
                {},
            )
        return 200, {"available": False, "isPlatformReserved": False}, {}

    def may_delete(self, resource: Resource) -> None:
        """Not while something is in it."""
        for subnet in world.below(SUBNET, resource.id):
            _SUBNETS.may_delete(subnet)

    def gone(self, resource: Resource) -> None:
        """Its subnets go with it."""
        for subnet in list(world.below(SUBNET, resource.id)):
            world.remove(subnet)


class Subnet(Kind):
    """A part of a network."""

    type = "Microsoft.Network/virtualNetworks/subnets"
    create = (201, "A", "Updating")
    delete = (202, "AL")

    def check(self, request: Request, old: Resource | None) -> None:
        """Its network exists."""
        network = request.id.rpartition("/subnets/")[0]
        if world.find("microsoft.network/virtualnetworks", network) is None:
            raise Refused(
                404,
                "ParentResourceNotFound",
                f"Can not perform requested operation on nested resource. Parent resource"
                f" '{request.names[0]}' not found.",
            )

    def shape(self, resource: Resource, request: Request) -> None:
        """What every subnet has."""
        defaults = {
            "delegations": [],
            "privateEndpointNetworkPolicies": "Enabled",
            "privateLinkServiceNetworkPolicies": "Enabled",
        }
        resource.body["properties"] = {**defaults, **resource.properties}
        for name in ("privateEndpointNetworkPolicies", "privateLinkServiceNetworkPolicies"):
            resource.properties[name] = resource.properties[name].capitalize()
        resource.body.pop("location", None)

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """With the interfaces in it."""
        shown = super().view(resource, request)
        used = [{"id": id_} for id_ in configurations(resource)]
        if used:
            shown["properties"]["ipConfigurations"] = used
        return shown

    def may_delete(self, resource: Resource) -> None:
        """Not while an interface is in it."""
        used = configurations(resource)
        if used:
            raise Refused(
                400,
                "InUseSubnetCannotBeDeleted",
                f"Subnet {resource.name} is in use by {used[0]} and cannot be deleted.",
            )


_SUBNETS = Subnet()
