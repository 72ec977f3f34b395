"""The request that makes a VM: one insert brings its disk along, and both carry its labels."""

from __future__ import annotations

import re
from typing import Any, Final

from vmops import Tags, Target
from vmops_gcp.settings import GcpParams, GcpSettings

__all__ = ["region", "request"]

_GPU: Final = re.compile(r"(a[2-9]x?|g[2-9])-", re.ASCII)
"""Machine series with GPUs ("GPU machine types", Compute Engine documentation)."""
_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


def region(zone: str) -> str:
    """The region of a zone: europe-west1 for europe-west1-b."""
    return zone.rpartition("-")[0]


def request(vm: Target[GcpParams], settings: GcpSettings) -> dict[str, Any]:
    """The Instance resource of a VM whose params have their choices made.

    Source: instances.insert, Compute Engine API v1.
    """
    params, zone = vm.params, f"zones/{settings.zone}"
    labels = {**params.labels, **(vm.tags or Tags("none", vm.name, "")).to_dict()}
    body: dict[str, Any] = {
        "name": vm.name,
        "machine_type": f"{zone}/machineTypes/{params.vm_size}",
        "labels": labels,
        "disks": [_disk(params, zone, labels)],
        "network_interfaces": [_interface(params, settings.zone)],
    }
    if items := _metadata(params):
        body["metadata"] = {"items": [{"key": k, "value": v} for k, v in items.items()]}
    if params.network_tags:
        body["tags"] = {"items": list(params.network_tags)}
    if scheduling := _scheduling(params):
        body["scheduling"] = scheduling
    if params.service_account:
        body["service_accounts"] = [{"email": params.service_account, "scopes": [_SCOPE]}]
    return body


def _scheduling(params: GcpParams) -> dict[str, Any]:
    """What becomes of it when its host is needed: with a GPU, or as a spot VM, it cannot move."""
    found: dict[str, Any] = {}
    if params.spot or _GPU.match(params.vm_size):
        found["on_host_maintenance"] = "TERMINATE"
    if params.spot:
        found |= {
            "provisioning_model": "SPOT",
            "instance_termination_action": params.spot_eviction.upper(),
            "automatic_restart": False,
        }
    return found


def _disk(params: GcpParams, zone: str, labels: dict[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {"source_image": params.image, "labels": labels}
    if params.disk_size_gb is not None:
        made["disk_size_gb"] = params.disk_size_gb
    if params.disk_type is not None:
        made["disk_type"] = f"{zone}/diskTypes/{params.disk_type}"
    return {"boot": True, "auto_delete": True, "initialize_params": made}


def _interface(params: GcpParams, zone: str) -> dict[str, Any]:
    """A card in the network or subnetwork; its public address, if any, lives as long as it runs."""
    card: dict[str, Any] = {}
    if params.subnet:
        known = "/" in params.subnet
        card["subnetwork"] = (
            params.subnet if known else f"regions/{region(zone)}/subnetworks/{params.subnet}"
        )
    if params.network or not params.subnet:
        network = params.network or "default"
        card["network"] = network if "/" in network else f"global/networks/{network}"
    if params.public_ip:
        card["access_configs"] = [{"name": "External NAT", "type_": "ONE_TO_ONE_NAT"}]
    return card


def _metadata(params: GcpParams) -> dict[str, str]:
    found = dict(params.metadata)
    if data := params.user_data.get_secret_value():
        found["user-data"] = data
    if params.ssh_public_key:
        found["ssh-keys"] = f"{params.admin_username}:{params.ssh_public_key}"
    return found
