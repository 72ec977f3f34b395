"""Virtual networks and their subnets."""

from __future__ import annotations

import ipaddress
from typing import Any

from arm.addresses import (
    SUBNET,
    addresses,
    configurations,
    kept,
    prefix_of,
    usage,
)
from arm.errors import Refused
from arm.kinds import Answer
from arm.parts import Holder, Part
from arm.paths import Request
from arm.world import Resource, world


class Network(Holder):
    """A virtual network; its subnets are resources of their own, and shown in it."""

    type = "Microsoft.Network/virtualNetworks"
    member = "subnets"
    keeps = True

    def shape(self, resource: Resource, request: Request) -> None:
        """What every network has."""
        super().shape(resource, request)
        defaults = {
            "virtualNetworkPeerings": [],
            "enableDdosProtection": False,
            **({} if request.since("2020-07-01") else {"enableVmProtection": False}),
        }
        resource.body["properties"] = {**defaults, **resource.properties}

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


class Subnet(Part):
    """A part of a network."""

    type = "Microsoft.Network/virtualNetworks/subnets"

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
