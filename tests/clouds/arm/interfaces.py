"""Network interfaces, and the public addresses that they have."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from arm.addresses import (
    dotted,
    free_address,
    need_subnet,
    no_reference,
    use_public,
)
from arm.errors import Refused
from arm.kinds import Kind
from arm.paths import Request
from arm.world import Resource, world

# what a public address has for as long as it is there
_KEPT = ("resourceGuid", "ipAddress", "ipConfiguration")


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
        before = resource.hidden.get("before", {})
        had = {one["name"]: one["properties"] for one in before.get("ipConfigurations", [])}
        self.gone(Resource(self, resource.id, {"properties": before}, resource.since))
        for number, one in enumerate(properties.get("ipConfigurations", [])):
            given = one.setdefault("properties", {})
            given.setdefault("primary", number == 0)
            self._place(resource, one, had.get(one["name"], {}))
        suffix = f"{uuid4().hex[:26]}.bx.internal.cloudapp.net"
        defaults: dict[str, Any] = {
            "resourceGuid": before.get("resourceGuid") or str(uuid4()),
            "dnsSettings": before.get("dnsSettings")
            or {
                "dnsServers": [],
                "appliedDnsServers": [],
                "internalDomainNameSuffix": suffix,
            },
            "enableAcceleratedNetworking": False,
            **({"vnetEncryptionSupported": False} if request.since("2021-03-01") else {}),
            "enableIPForwarding": False,
            "hostedWorkloads": [],
            "tapConfigurations": [],
            **({"nicType": "Standard"} if request.since("2020-03-01") else {}),
        }
        resource.body["properties"] = {**defaults, **properties}

    def _place(self, resource: Resource, one: dict[str, Any], had: dict[str, Any]) -> None:
        """Completes a configuration; it keeps its address as long as it stays in its subnet."""
        one["id"] = f"{resource.id}/ipConfigurations/{one['name']}"
        one["etag"] = f'W/"{resource.etag}"'
        one["type"] = f"{self.type}/ipConfigurations"
        given = one["properties"]
        given["provisioningState"] = "Succeeded"
        if "subnet" in given:
            given["subnet"] = {"id": given["subnet"]["id"]}
        if "privateIPAddress" not in given:
            stays = bool(had) and had.get("subnet") == given.get("subnet")
            given["privateIPAddress"] = had["privateIPAddress"] if stays else free_address(given)
        given.setdefault("privateIPAllocationMethod", "Dynamic")
        given.setdefault("privateIPAddressVersion", "IPv4")
        use_public(one)

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
        resource.body.setdefault("sku", {"name": "Basic"})
        if request.since("2020-07-01"):
            resource.body["sku"].setdefault("tier", "Regional")
        before = resource.hidden.get("before", {})
        defaults = {
            "resourceGuid": str(uuid4()),
            "publicIPAddressVersion": "IPv4",
            "publicIPAllocationMethod": "Dynamic",
            "idleTimeoutInMinutes": 4,
            "ipTags": [],
            **{name: before[name] for name in _KEPT if name in before},
        }
        static = resource.properties.get("publicIPAllocationMethod") == "Static"
        if static and "ipAddress" not in defaults:
            world.addresses += 1
            defaults["ipAddress"] = f"20.{dotted(world.addresses)}"
        resource.body["properties"] = {**defaults, **resource.properties}

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """Its number is not known while it is made."""
        shown = super().view(resource, request)
        if resource.state == "Updating":
            shown["properties"].pop("ipAddress", None)
        return shown

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

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """Its numbers are not known while it is made."""
        shown = super().view(resource, request)
        if resource.state == "Updating":
            shown["properties"].pop("ipPrefix")
        return shown
