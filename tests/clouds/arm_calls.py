"""What tests of the ARM emulator do over and over, and the fixtures that their modules take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from arm_cloud import ArmCloud

SECONDS = 10.0
"""What every verb takes in these tests, on a clock that they move themselves."""
SLOW = dict.fromkeys(
    ("create", "start", "power_off", "deallocate", "restart", "delete", "network", "disk"), SECONDS
)
VERSIONS = {"compute": "2024-11-01", "network": "2024-05-01", "resources": "2022-09-01"}


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def code(self) -> str:
        """ARM's error code; empty if it is no error."""
        return str(((self.body or {}).get("error") or {}).get("code", ""))


class Arm:
    """The emulator as new, with a resource group `g` and a subnet in it."""

    def __init__(self, cloud: ArmCloud) -> None:
        self.cloud = cloud
        self.subscription = f"/subscriptions/{cloud.subscription}"
        self.group = f"{self.subscription}/resourceGroups/g"
        self.vnet = f"{self.group}/providers/Microsoft.Network/virtualNetworks/v"
        self.subnet = f"{self.vnet}/subnets/s"

    def furnish(self) -> None:
        """Makes the group and the network, and waits for them."""
        self.ask("PUT", self.group, {"location": "westeurope"})
        self.ask("PUT", self.vnet, self.network())
        self.cloud.advance(SECONDS)

    def network(self) -> dict[str, Any]:
        """The body of the network."""
        subnet = {"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}
        space = {"addressPrefixes": ["10.0.0.0/16"]}
        return {
            "location": "westeurope",
            "properties": {"addressSpace": space, "subnets": [subnet]},
        }

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """The answer to a request; without an api-version in it, with that of its provider."""
        if "api-version=" not in path:
            provider = path.lower().rpartition("/providers/microsoft.")[2].partition("/")[0]
            version = VERSIONS.get(provider, VERSIONS["resources"])
            path += f"{'&' if '?' in path else '?'}api-version={version}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(*self.cloud.call(method, path, body, **named))

    def follow(self, url: str) -> Answer:
        """The answer of a URL that the emulator gave."""
        return Answer(*self.cloud.call("GET", url.removeprefix(self.cloud.endpoint)))

    def status(self, answer: Answer) -> str:
        """How the operation that an answer has begun stands."""
        return str(self.follow(answer.headers["azure-asyncoperation"]).body["status"])

    # -- VMs --------------------------------------------------------------------------------------

    def vm(self, name: str = "vm") -> str:
        """The path of a VM."""
        return f"{self.group}/providers/Microsoft.Compute/virtualMachines/{name}"

    def wanted(self, delete: str = "Delete", **properties: Any) -> dict[str, Any]:
        """The body of a VM with an inline interface and address, as the plugin sends it."""
        address = {
            "name": "ip",
            "sku": {"name": "Standard"},
            "properties": {"publicIPAllocationMethod": "Static", "deleteOption": delete},
        }
        place = {"subnet": {"id": self.subnet}, "publicIPAddressConfiguration": address}
        card = {
            "name": "nic",
            "properties": {
                "primary": True,
                "deleteOption": delete,
                "ipConfigurations": [{"name": "ip", "properties": place}],
            },
        }
        key = {"path": "/home/me/.ssh/authorized_keys", "keyData": "ssh-ed25519 AAAA"}
        image = {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "server"}
        return {
            "location": "westeurope",
            "properties": {
                "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
                "storageProfile": {
                    "imageReference": {**image, "version": "latest"},
                    "osDisk": {"createOption": "FromImage", "deleteOption": delete},
                },
                "osProfile": {
                    "computerName": "vm",
                    "adminUsername": "me",
                    "adminPassword": "a secret",
                    "customData": "YSBzZWNyZXQ=",
                    "linuxConfiguration": {"ssh": {"publicKeys": [key]}},
                },
                "networkProfile": {
                    "networkApiVersion": "2022-11-01",
                    "networkInterfaceConfigurations": [card],
                },
                **properties,
            },
        }

    def running(self, name: str = "vm", delete: str = "Delete", **properties: Any) -> str:
        """The path of a VM that runs."""
        made = self.ask("PUT", self.vm(name), self.wanted(delete, **properties))
        assert made.status == 201, made.body
        self.cloud.advance(SECONDS)
        assert self.power(name) == "running"
        return self.vm(name)

    def power(self, name: str = "vm") -> str:
        """A VM's power state; empty if it has none."""
        found = self.ask("GET", f"{self.vm(name)}/instanceView").body
        codes = [one["code"] for one in found.get("statuses", ())]
        return next((code.split("/")[1] for code in codes if code.startswith("PowerState")), "")

    def state(self, name: str = "vm") -> str:
        """A VM's provisioning state, or the code of what is answered in place of the VM."""
        found = self.ask("GET", self.vm(name))
        return found.code or str(found.body["properties"]["provisioningState"])

    def left(self) -> list[str]:
        """The kinds of what there is beside the group and its network, sorted."""
        ids = [one for one in self.cloud.resources() if "/providers/" in one]
        return sorted(one.split("/")[-2] for one in ids if not one.startswith(self.vnet))


@pytest.fixture(scope="module")
def arm_server() -> Iterator[ArmCloud]:
    """The emulator, started once for a module."""
    with ArmCloud(**SLOW) as cloud:
        yield cloud
        assert cloud.stderr() == "", "a request has met a gap in the emulator"


@pytest.fixture
def arm(arm_server: ArmCloud) -> Arm:
    """The emulator as new, with a group and a subnet."""
    arm_server.reset()
    arm = Arm(arm_server)
    arm.furnish()
    return arm
