"""The request that makes a VM: one PUT brings its disk, network interface and address along.

All of them carry its tags and are deleted with it. There is no deployment record.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from vmops import Tags, Target
from vmops_azure import images
from vmops_azure.settings import AzureParams

__all__ = ["is_windows", "request"]

_NETWORK: Final = "2022-11-01"
"""The api-version by which Compute makes inline interfaces; it takes no other ones."""
_COMPUTER_NAME: Final = 64
_WINDOWS_NAME: Final = 15


def request(vm: Target[AzureParams]) -> dict[str, Any]:
    """The body of the PUT for a VM whose params have their choices made."""
    params = vm.params
    tags = {**params.tags, **(vm.tags or Tags("none", vm.name, "")).to_dict()}
    properties: dict[str, Any] = {
        "hardwareProfile": {"vmSize": params.vm_size},
        "storageProfile": {
            "imageReference": images.reference(params.image),
            "osDisk": _disk(params),
        },
        "osProfile": _guest(vm.name, params),
        "networkProfile": {
            "networkApiVersion": _NETWORK,
            "networkInterfaceConfigurations": [_interface(vm.name, params, tags)],
        },
    }
    if params.spot:
        properties |= {
            "priority": "Spot",
            "evictionPolicy": params.spot_eviction.capitalize(),
            "billingProfile": {"maxPrice": -1},  # as much as it costs on demand
        }
    body: dict[str, Any] = {"location": params.location, "tags": tags, "properties": properties}
    if params.zone:
        body["zones"] = [params.zone]
    if params.identity:
        body["identity"] = _identity(params)
    return body


def _disk(params: AzureParams) -> dict[str, Any]:
    disk: dict[str, Any] = {"createOption": "FromImage", "deleteOption": "Delete"}
    if params.disk_size_gb is not None:
        disk["diskSizeGB"] = params.disk_size_gb
    if params.disk_type is not None:
        disk["managedDisk"] = {"storageAccountType": params.disk_type}
    return disk


def is_windows(image: str) -> bool:
    """Whether a URN is one of Windows."""
    urn = image.lower()
    return not urn.startswith("/") and ("windows" in urn or "-ws20" in urn)


def _guest(name: str, params: AzureParams) -> dict[str, Any]:
    """The guest's name, user and data; without a password or a key, nobody can log in."""
    windows = is_windows(params.image)
    computer = name.replace("_", "-").replace(".", "-")
    guest: dict[str, Any] = {
        "computerName": computer[: _WINDOWS_NAME if windows else _COMPUTER_NAME].rstrip("-"),
        "adminUsername": params.admin_username,
    }
    if password := params.admin_password.get_secret_value():
        guest["adminPassword"] = password
    if data := params.user_data.get_secret_value():
        encoded = base64.b64encode(data.encode(errors="surrogatepass"))
        guest["customData"] = encoded.decode()
    if not windows and (params.ssh_public_key or not password):
        guest["linuxConfiguration"] = _keys(params)
    return guest


def _keys(params: AzureParams) -> dict[str, Any]:
    path = f"/home/{params.admin_username}/.ssh/authorized_keys"
    key = params.ssh_public_key or _key_of_nobody()
    return {
        "disablePasswordAuthentication": not params.admin_password.get_secret_value(),
        "ssh": {"publicKeys": [{"path": path, "keyData": key}]},
    }


def _key_of_nobody() -> str:
    """Azure makes no Linux VM without a way to log in: a key whose other half is thrown away."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    form = serialization.PublicFormat.OpenSSH
    return key.public_bytes(serialization.Encoding.OpenSSH, form).decode()


def _interface(name: str, params: AzureParams, tags: dict[str, str]) -> dict[str, Any]:
    place: dict[str, Any] = {"subnet": {"id": params.subnet}, "primary": True}
    if params.public_ip:
        place["publicIPAddressConfiguration"] = {
            "name": f"{name}-ip",
            "sku": {"name": "Standard", "tier": "Regional"},
            "tags": tags,
            "properties": {"deleteOption": "Delete", "publicIPAllocationMethod": "Static"},
        }
    return {
        "name": f"{name}-nic",
        "tags": tags,
        "properties": {
            "primary": True,
            "deleteOption": "Delete",
            "ipConfigurations": [{"name": "ip", "properties": place}],
        },
    }


def _identity(params: AzureParams) -> dict[str, Any]:
    users: dict[str, dict[str, str]] = {one: {} for one in params.identity if one != "system"}
    kinds = (["SystemAssigned"] if "system" in params.identity else []) + (
        ["UserAssigned"] if users else []
    )
    found: dict[str, Any] = {"type": ", ".join(kinds)}
    return {**found, "userAssignedIdentities": users} if users else found
