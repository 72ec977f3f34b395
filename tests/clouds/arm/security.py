"""Network security groups and their rules."""

from __future__ import annotations

from typing import Any

from arm.parts import Holder, Part
from arm.paths import Request
from arm.world import Resource

_ANY = {"protocol": "*", "sourcePortRange": "*", "destinationPortRange": "*"}
_LISTS = (
    "sourcePortRanges",
    "destinationPortRanges",
    "sourceAddressPrefixes",
    "destinationAddressPrefixes",
)
# name, description, from, to, access, priority
_DEFAULTS = (
    (
        "AllowVnetInBound",
        "Allow inbound traffic from all VMs in VNET",
        "VirtualNetwork",
        "VirtualNetwork",
        "Allow",
        65000,
    ),
    (
        "AllowAzureLoadBalancerInBound",
        "Allow inbound traffic from azure load balancer",
        "AzureLoadBalancer",
        "*",
        "Allow",
        65001,
    ),
    ("DenyAllInBound", "Deny all inbound traffic", "*", "*", "Deny", 65500),
    (
        "AllowVnetOutBound",
        "Allow outbound traffic from all VMs to all VMs in VNET",
        "VirtualNetwork",
        "VirtualNetwork",
        "Allow",
        65000,
    ),
    (
        "AllowInternetOutBound",
        "Allow outbound traffic from all VMs to Internet",
        "*",
        "Internet",
        "Allow",
        65001,
    ),
    ("DenyAllOutBound", "Deny all outbound traffic", "*", "*", "Deny", 65500),
)


class SecurityGroup(Holder):
    """A network security group with its rules, and those that everybody has."""

    type = "Microsoft.Network/networkSecurityGroups"
    member = "securityRules"

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """With the rules that need not be made."""
        shown = super().view(resource, request)
        shown["properties"]["defaultSecurityRules"] = [
            {
                "name": name,
                "id": f"{resource.id}/defaultSecurityRules/{name}",
                "etag": shown["etag"],
                "type": f"{self.type}/defaultSecurityRules",
                "properties": {
                    **_ANY,
                    **{name: [] for name in _LISTS},
                    "provisioningState": resource.state,
                    "description": description,
                    "sourceAddressPrefix": source,
                    "destinationAddressPrefix": destination,
                    "access": access,
                    "priority": priority,
                    "direction": "Inbound" if name.endswith("InBound") else "Outbound",
                },
            }
            for name, description, source, destination, access, priority in _DEFAULTS
        ]
        return shown


class SecurityRule(Part):
    """One rule."""

    type = "Microsoft.Network/networkSecurityGroups/securityRules"

    def shape(self, resource: Resource, request: Request) -> None:
        """What every rule has."""
        resource.body["properties"] = {**{name: [] for name in _LISTS}, **resource.properties}
