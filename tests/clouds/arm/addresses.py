"""Subnets as those see them that want an address in one."""

from __future__ import annotations

import ipaddress
from typing import Any

from arm.errors import Refused
from arm.world import Resource, world

SUBNET = "microsoft.network/virtualnetworks/subnets"
INTERFACE = "microsoft.network/networkinterfaces"
ADDRESS = "microsoft.network/publicipaddresses"
_RESERVED = 4
"""Addresses at the start of a subnet that Azure keeps for itself, the network's own included."""


def need_subnet(id_: str, by: str) -> Resource:
    """A subnet that something refers to."""
    found = world.find(SUBNET, id_)
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


def free_address(given: dict[str, Any]) -> str:
    """The next free address of the subnet that a configuration names."""
    subnet = world.find(SUBNET, (given.get("subnet") or {}).get("id", ""))
    if subnet is None:
        return "10.0.0.4"
    prefix = ipaddress.ip_network(prefix_of(subnet))
    number = subnet.hidden["next"] = subnet.hidden.get("next", _RESERVED - 1) + 1
    if number >= prefix.num_addresses - 1:
        raise Refused(400, "SubnetIsFull", f"Subnet {subnet.name} is full.")
    address = str(prefix.network_address + number)
    addresses(subnet).add(address)
    return address


def prefix_of(subnet: Resource) -> str:
    """A subnet's range."""
    properties = subnet.properties
    return str(
        properties.get("addressPrefix") or properties.get("addressPrefixes", ["10.0.0.0/8"])[0]
    )


def kept(prefix: Any) -> set[Any]:
    """The addresses of a range that Azure keeps for itself."""
    return {prefix.network_address + n for n in range(_RESERVED)} | {prefix.broadcast_address}


def configurations(subnet: Resource) -> list[str]:
    """The ids of the interfaces' configurations in a subnet."""
    return [
        one["id"]
        for card in world.resources[INTERFACE].values()
        for one in card.properties.get("ipConfigurations", [])
        if (one["properties"].get("subnet") or {}).get("id", "").lower() == subnet.id.lower()
    ]


def use_public(one: dict[str, Any]) -> None:
    """Tells the public address of a configuration who has it."""
    public = (one["properties"].get("publicIPAddress") or {}).get("id", "")
    found = world.find("microsoft.network/publicipaddresses", public)
    if found is not None:
        found.properties["ipConfiguration"] = {"id": one["id"]}


def usage(subnet: Resource) -> dict[str, Any]:
    """How much of a subnet is taken."""
    return {
        "currentValue": float(len(configurations(subnet))),
        "id": subnet.id,
        "limit": float(ipaddress.ip_network(prefix_of(subnet)).num_addresses - 5),
        "name": {"localizedValue": "Subnet size and usage", "value": "SubnetSpace"},
        "unit": "Count",
    }


def dotted(number: int) -> str:
    """The last three parts of an address."""
    return f"{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
