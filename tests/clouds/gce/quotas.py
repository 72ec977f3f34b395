"""How much of a region's quotas is used."""

from __future__ import annotations

from typing import Any

from gce import catalogue, names
from gce.world import world

_OFF = ("TERMINATED", "SUSPENDED")


def used(region: str) -> int:
    """VCPUs of a region's VMs that are not stopped; of all regions, if it is empty."""
    count = 0
    for one in world.every():
        if one.kind == "instances" and f"/zones/{region}" in one.place:
            count += 0 if one.body["status"] in _OFF else cpus(one.body["machineType"])
    return count


def cpus(machine_type: str) -> int:
    """VCPUs of a machine type, by its URL."""
    found = catalogue.machine_type("", catalogue.ZONES[0], names.last(machine_type))
    return 0 if found is None else int(found["guestCpus"])


def exceeded(region: str, machine_type: str) -> bool:
    """Whether there is no room in the quota for one more VM of this type."""
    limit = world.settings.cpus
    return limit is not None and used(region) + cpus(machine_type) > limit


def shown(region: str) -> list[dict[str, Any]]:
    """A region's quotas as it shows them."""
    limit = world.settings.cpus
    return [
        {
            "metric": "CPUS",
            "limit": float(24 if limit is None else limit),
            "usage": float(used(region)),
        },
        {"metric": "DISKS_TOTAL_GB", "limit": 4096.0, "usage": 0.0},
        {"metric": "STATIC_ADDRESSES", "limit": 8.0, "usage": 0.0},
        {"metric": "IN_USE_ADDRESSES", "limit": 8.0, "usage": 0.0},
        {"metric": "INSTANCES", "limit": 720.0, "usage": 0.0},
    ]
