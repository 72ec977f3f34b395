"""Networks, subnets, security groups, interfaces, public addresses, and what is like them."""

from __future__ import annotations

import copy
import ipaddress
from typing import Any
from uuid import uuid4

from arm.errors import Refused
from arm.kinds import Answer, Kind
from arm.paths import Request
from arm.world import Resource, world

_SUBNET = "microsoft.network/virtualnetworks/subnets"
_INTERFACE = "microsoft.network/networkinterfaces"
_RESERVED = 4
"""Addresses at the start of a subnet that Azure keeps for itself, the network's own included."""


class Network(Kind):
    """A virtual network; its subnets are resources of their own, and shown in it."""

    type = "Microsoft.Network/virtualNetworks"
    create = (201, "AN", "Updating")

    def shape(self, resource: Resource, request: Request) -> None:
        """Its subnets are made with it."""
        properties = resource.properties
        resource.hidden.setdefault("guid", str(uuid4()))
        for one in list(world.below(_SUBNET, resource.id)):
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
            "enableVmProtection": False,
        }
        resource.body["properties"] = {**defaults, **properties}

    def made(self, resource: Resource, error: dict[str, Any] | None) -> None:
        """Its subnets are made, too."""
        super().made(resource, error)
        for subnet in world.below(_SUBNET, resource.id):
            subnet.state = resource.state

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """With its subnets."""
        shown = super().view(resource, request)
        subnets = list(world.below(_SUBNET, resource.id))
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
            return 200, {"value": [_usage(one) for one in world.below(_SUBNET, resource.id)]}, {}
        return super().act(resource, request)

    @staticmethod
    def _availability(resource: Resource, request: Request) -> Answer:
        wanted = request.query.get("ipaddress", "")
        taken = {ip for s in world.below(_SUBNET, resource.id) for ip in addresses(s)}
        for subnet in world.below(_SUBNET, resource.id):
            prefix = ipaddress.ip_network(_prefix(subnet))
            if ipaddress.ip_address(wanted) not in prefix:
                continue
            if wanted not in taken and ipaddress.ip_address(wanted) not in _kept(prefix):
                return 200, {"available": True}, {}
            free = (str(ip) for ip in prefix.hosts() if ip not in _kept(prefix))
            few = [
                ip for ip, _ in zip((ip for ip in free if ip not in taken), range(5), strict=False)
            ]
            return 200, {"available": False, "availableIPAddresses": few}, {}
        return 200, {"available": False, "isPlatformReserved": False}, {}

    def may_delete(self, resource: Resource) -> None:
        """Not while something is in it."""
        for subnet in world.below(_SUBNET, resource.id):
            _SUBNETS.may_delete(subnet)

    def gone(self, resource: Resource) -> None:
        """Its subnets go with it."""
        for subnet in list(world.below(_SUBNET, resource.id)):
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
        resource.body.pop("location", None)

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """With the interfaces in it."""
        shown = super().view(resource, request)
        used = [{"id": id_} for id_ in _configurations(resource)]
        if used:
            shown["properties"]["ipConfigurations"] = used
        return shown

    def may_delete(self, resource: Resource) -> None:
        """Not while an interface is in it."""
        used = _configurations(resource)
        if used:
            raise Refused(
                400,
                "InUseSubnetCannotBeDeleted",
                f"Subnet {resource.name} is in use by {used[0]} and cannot be deleted.",
            )


_SUBNETS = Subnet()


class SecurityGroup(Kind):
    """A network security group with its rules."""

    type = "Microsoft.Network/networkSecurityGroups"
    create = (201, "AN", "Updating")

    def shape(self, resource: Resource, request: Request) -> None:
        """Its rules have ids, and there are some that everybody has."""
        resource.hidden.setdefault("guid", str(uuid4()))
        rules = resource.properties.get("securityRules", [])
        for rule in rules:
            rule["id"] = f"{resource.id}/securityRules/{rule.get('name')}"
            rule.setdefault("properties", {})["provisioningState"] = "Succeeded"
        resource.properties["securityRules"] = rules
        resource.properties["resourceGuid"] = resource.hidden["guid"]
        resource.properties.setdefault("defaultSecurityRules", [])


class Interface(Kind):
    """A network interface: gets an address in its subnet."""

    type = "Microsoft.Network/networkInterfaces"
    create = (201, "AN", "Succeeded")
    update = (200, "AN", "Succeeded")

    def check(self, request: Request, old: Resource | None) -> None:
        """What it refers to exists."""
        for one in (request.body or {}).get("properties", {}).get("ipConfigurations", []):
            wanted = one.get("properties", {})
            need_subnet((wanted.get("subnet") or {}).get("id", ""), request.id)
            public = (wanted.get("publicIPAddress") or {}).get("id")
            if public and world.find("microsoft.network/publicipaddresses", public) is None:
                raise no_reference(public, request.id)

    def shape(self, resource: Resource, request: Request) -> None:
        """Addresses, and what every interface has."""
        properties = resource.properties
        for number, one in enumerate(properties.get("ipConfigurations", [])):
            one["id"] = f"{resource.id}/ipConfigurations/{one['name']}"
            one["etag"] = f'W/"{resource.etag}"'
            one["type"] = f"{self.type}/ipConfigurations"
            given = one.setdefault("properties", {})
            given["provisioningState"] = "Succeeded"
            given.setdefault("privateIPAddress", _free_address(given))
            given.setdefault("privateIPAllocationMethod", "Dynamic")
            given.setdefault("primary", number == 0)
            given.setdefault("privateIPAddressVersion", "IPv4")
            _use_public(one)
        suffix = f"{uuid4().hex[:26]}.bx.internal.cloudapp.net"
        defaults = {
            "resourceGuid": str(uuid4()),
            "dnsSettings": {
                "dnsServers": [],
                "appliedDnsServers": [],
                "internalDomainNameSuffix": suffix,
            },
            "enableAcceleratedNetworking": False,
            "enableIPForwarding": False,
            "hostedWorkloads": [],
            "tapConfigurations": [],
            "nicType": "Standard",
        }
        resource.body["properties"] = {**defaults, **properties}

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """With its public address inside, where that is asked for."""
        shown = super().view(resource, request)
        if vm := resource.hidden.get("vm"):
            shown["properties"]["virtualMachine"] = {"id": vm}
        if "publicipaddress" in request.query.get("$expand", "").lower():
            for one in shown["properties"].get("ipConfigurations", []):
                public = (one["properties"].get("publicIPAddress") or {}).get("id", "")
                found = world.find("microsoft.network/publicipaddresses", public)
                if found is not None:
                    one["properties"]["publicIPAddress"] = found.kind.view(found, request)
        return shown

    def may_delete(self, resource: Resource) -> None:
        """Not while a VM has it."""
        if vm := resource.hidden.get("vm"):
            raise Refused(
                400,
                "NicInUse",
                f"Network Interface {resource.id} is used by existing resource {vm}. In order to"
                " delete the network interface, it must be dissociated from the resource.",
            )

    def gone(self, resource: Resource) -> None:
        """Its addresses are free again."""
        for one in resource.properties.get("ipConfigurations", []):
            public = (one["properties"].get("publicIPAddress") or {}).get("id", "")
            found = world.find("microsoft.network/publicipaddresses", public)
            if found is not None:
                found.properties.pop("ipConfiguration", None)


class PublicAddress(Kind):
    """A public address."""

    type = "Microsoft.Network/publicIPAddresses"
    create = (201, "AN", "Updating")

    def shape(self, resource: Resource, request: Request) -> None:
        """Its number, if it is a static one."""
        resource.body.setdefault("sku", {"name": "Basic", "tier": "Regional"})
        resource.body["sku"].setdefault("tier", "Regional")
        world.addresses += 1
        static = resource.properties.get("publicIPAllocationMethod") == "Static"
        defaults = {
            "resourceGuid": str(uuid4()),
            "publicIPAddressVersion": "IPv4",
            "publicIPAllocationMethod": "Dynamic",
            "idleTimeoutInMinutes": 4,
            "ipTags": [],
            **({"ipAddress": f"20.{_dotted(world.addresses)}"} if static else {}),
        }
        resource.body["properties"] = {**defaults, **resource.properties}

    def may_delete(self, resource: Resource) -> None:
        """Not while an interface has it."""
        if user := resource.properties.get("ipConfiguration"):
            raise Refused(
                400,
                "PublicIPAddressCannotBeDeleted",
                f"Public IP address {resource.id} can not be deleted since it is still allocated"
                f" to resource {user['id']}.",
            )


class PublicPrefix(Kind):
    """A range of public addresses."""

    type = "Microsoft.Network/publicIPPrefixes"
    create = (201, "AN", "Updating")

    def shape(self, resource: Resource, request: Request) -> None:
        """Its numbers."""
        resource.body.setdefault("sku", {"name": "Standard"}).setdefault("tier", "Regional")
        length = resource.properties.get("prefixLength", 31)
        defaults = {
            "resourceGuid": str(uuid4()),
            "publicIPAddressVersion": "IPv4",
            "ipTags": [],
            "ipPrefix": f"20.0.0.0/{length}",
        }
        resource.body["properties"] = {**defaults, **resource.properties}


class RouteTable(Kind):
    """Nothing but what it is told to be."""

    type = "Microsoft.Network/routeTables"
    create = (201, "AN", "Updating")


class NatGateway(RouteTable):
    """Likewise."""

    type = "Microsoft.Network/natGateways"


class IpGroup(RouteTable):
    """Likewise."""

    type = "Microsoft.Network/ipGroups"


class ApplicationGroup(RouteTable):
    """Likewise."""

    type = "Microsoft.Network/applicationSecurityGroups"


# -- addresses ------------------------------------------------------------------------------------


def need_subnet(id_: str, by: str) -> Resource:
    """A subnet that something refers to."""
    found = world.find(_SUBNET, id_)
    if found is None:
        raise no_reference(id_, by)
    return found


def no_reference(id_: str, by: str) -> Refused:
    """Something refers to what is not there."""
    return Refused(
        400,
        "InvalidResourceReference",
        f"Resource {id_} referenced by resource {by} was not found. Please make sure that the"
        " referenced resource exists, and that both resources are in the same region.",
        details=[],
    )


def addresses(subnet: Resource) -> set[str]:
    """The private addresses that are taken in a subnet."""
    taken: set[str] = subnet.hidden.setdefault("taken", set())
    return taken


def _free_address(given: dict[str, Any]) -> str:
    subnet = world.find(_SUBNET, (given.get("subnet") or {}).get("id", ""))
    if subnet is None:
        return "10.0.0.4"
    prefix = ipaddress.ip_network(_prefix(subnet))
    number = subnet.hidden["next"] = subnet.hidden.get("next", _RESERVED - 1) + 1
    if number >= prefix.num_addresses - 1:
        raise Refused(400, "SubnetIsFull", f"Subnet {subnet.name} is full.")
    address = str(prefix.network_address + number)
    addresses(subnet).add(address)
    return address


def _prefix(subnet: Resource) -> str:
    properties = subnet.properties
    return str(
        properties.get("addressPrefix") or properties.get("addressPrefixes", ["10.0.0.0/8"])[0]
    )


def _kept(prefix: Any) -> set[Any]:
    return {prefix.network_address + n for n in range(_RESERVED)} | {prefix.broadcast_address}


def _configurations(subnet: Resource) -> list[str]:
    """The ids of the interfaces' configurations in a subnet."""
    return [
        one["id"]
        for card in world.resources[_INTERFACE].values()
        for one in card.properties.get("ipConfigurations", [])
        if (one["properties"].get("subnet") or {}).get("id", "").lower() == subnet.id.lower()
    ]


def _use_public(one: dict[str, Any]) -> None:
    public = (one["properties"].get("publicIPAddress") or {}).get("id", "")
    found = world.find("microsoft.network/publicipaddresses", public)
    if found is not None:
        found.properties["ipConfiguration"] = {"id": one["id"]}


def _usage(subnet: Resource) -> dict[str, Any]:
    return {
        "currentValue": float(len(_configurations(subnet))),
        "id": subnet.id,
        "limit": float(ipaddress.ip_network(_prefix(subnet)).num_addresses - 5),
        "name": {"localizedValue": "Subnet size and usage", "value": "SubnetSpace"},
        "unit": "Count",
    }


def _dotted(number: int) -> str:
    return f"{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
