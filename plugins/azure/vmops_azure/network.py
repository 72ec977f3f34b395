"""The network that VMs are put into where none is named: made once per region, and never changed.

A resource group, a security group that lets SSH in, and a network with one subnet. What exists
already is used as it is, so whoever wants another rule or address range changes it there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from vmops.errors import InvalidRequest, Unavailable
from vmops_azure.addresses import NETWORK
from vmops_azure.client import Arm
from vmops_azure.settings import OWN_GROUP, AzureSettings

__all__ = ["Network"]

_GROUPS: Final = "2022-09-01"
_SUBNET: Final = "vms"
_READY: Final = "Succeeded"
_PATIENCE: Final = 60
"""Looks, one a second, at a network that is being made; it takes a few seconds."""
_MADE_BY: Final = {"made-by": "vmops"}
_SSH: Final = {
    "name": "ssh",
    "properties": {
        "priority": 1000,
        "direction": "Inbound",
        "access": "Allow",
        "protocol": "Tcp",
        "sourceAddressPrefix": "*",
        "sourcePortRange": "*",
        "destinationAddressPrefix": "*",
        "destinationPortRange": "22",
    },
}


class Network:
    """Finds or makes the subnet for new VMs.

    Args:
        arm: The connection.
        settings: Which resource group.
        sleep: Lets seconds pass.
    """

    def __init__(self, arm: Arm, settings: AzureSettings, sleep: Callable[[float], None]) -> None:
        """Ask nothing yet."""
        self._arm = arm
        self._settings = settings
        self._sleep = sleep
        self._locks: dict[str, threading.Lock] = {}
        self._ready: dict[str, str] = {}

    def subnet(self, location: str) -> str:
        """The resource id of our own subnet in a region, which exists.

        Raises:
            InvalidRequest: The named resource group does not exist.
            Unavailable: The network is not ready after a minute.
        """
        with self._locks.setdefault(location, threading.Lock()):
            if location not in self._ready:
                self._ready[location] = self._made(location)
            return self._ready[location]

    def forget(self) -> None:
        """Look again before the next create: something has been deleted in the meantime."""
        self._ready.clear()

    def named(self, subnet: str) -> str:
        """The resource id of a subnet that is named by its id or as NETWORK/SUBNET."""
        if subnet.startswith("/"):
            return subnet
        network, _, name = subnet.partition("/")
        return f"{self._path('virtualNetworks', network)}/subnets/{name}"

    def _made(self, location: str) -> str:
        name = f"vmops-{location}"
        network = self._path("virtualNetworks", name)
        subnet = f"{network}/subnets/{_SUBNET}"
        found = self._look(subnet)
        if found is None:
            self._make(location, name, network)
            found = self._look(subnet)
        for _ in range(_PATIENCE):
            if found is not None and found.get("properties", {}).get("provisioningState") == _READY:
                return subnet
            self._sleep(1.0)
            found = self._look(subnet)
        raise Unavailable(f"azure: network {name!r} is not ready yet", hint="repeat the call")

    def _make(self, location: str, name: str, network: str) -> None:
        """PUT what is missing, with the same bodies whoever sends them: two may do so at once."""
        self._need_group(location)
        guard = self._path("networkSecurityGroups", name)
        if self._look(guard) is None:
            self._put(guard, location, {"securityRules": [_SSH]})
        self._put(
            network,
            location,
            {
                "addressSpace": {"addressPrefixes": ["10.128.0.0/16"]},
                "subnets": [
                    {
                        "name": _SUBNET,
                        "properties": {
                            "addressPrefix": "10.128.0.0/17",
                            "networkSecurityGroup": {"id": guard},
                        },
                    }
                ],
            },
        )

    def _need_group(self, location: str) -> None:
        group = self._settings.resource_group
        path = f"{self._arm.group}?api-version={_GROUPS}"
        if self._arm.find(path) is not None:
            return
        if group != OWN_GROUP:
            raise InvalidRequest(
                f"azure: there is no resource group {group!r}",
                provider_code="ResourceGroupNotFound",
                hint=f"az group create --name {group} --location {location}, or leave it out",
            )
        self._arm.json("PUT", path, body={"location": location, "tags": _MADE_BY})

    def _path(self, kind: str, name: str) -> str:
        return f"{self._arm.group}/providers/Microsoft.Network/{kind}/{name}"

    def _look(self, path: str) -> dict[str, Any] | None:
        return self._arm.find(f"{path}?api-version={NETWORK}")

    def _put(self, path: str, location: str, properties: dict[str, Any]) -> None:
        body = {"location": location, "tags": _MADE_BY, "properties": properties}
        self._arm.json("PUT", f"{path}?api-version={NETWORK}", body=body)
