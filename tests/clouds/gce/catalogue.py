"""What Google offers: zones, machine types and kinds of disks."""

from __future__ import annotations

import re
import zlib
from functools import cache
from typing import Any

from gce import names

REGIONS = {
    "europe-west1": ("bcd", 132),
    "europe-west4": ("abc", 164),
    "us-central1": ("abcf", 128),
    "us-east1": ("bcd", 142),
    "asia-southeast1": ("abc", 148),
}
"""The last letters of each region's zones, and the second byte of its default subnetwork."""

ZONES = tuple(f"{region}-{letter}" for region, (some, _) in REGIONS.items() for letter in some)

_N1 = "1 2 4 8 16 32 64 96"
_N2 = "2 4 8 16 32 48 64 80 96 128"
_C3 = "4 8 22 44 88 176"
_C4 = "2 4 8 16 24 32 48 96 144 192 288"
_C4A = "1 2 4 8 16 32 48 64 72"
_SERIES: dict[str, tuple[str, dict[str, float]]] = {
    "e2": ("2 4 8 16 32", {"standard": 4, "highmem": 8, "highcpu": 1}),
    "n1": (_N1, {"standard": 3.75, "highmem": 6.5, "highcpu": 0.9}),
    "n2": (_N2, {"standard": 4, "highmem": 8, "highcpu": 1}),
    "n2d": ("2 4 8 16 32 48 64 80 96 128 224", {"standard": 4, "highmem": 8, "highcpu": 1}),
    "n4": ("2 4 8 16 32 48 64 80", {"standard": 4, "highmem": 8, "highcpu": 2}),
    "c3": (_C3, {"standard": 4, "highmem": 8, "highcpu": 2, "standard-lssd": 4}),
    "c3d": ("4 8 16 30 60 90 180 360", {"standard": 4, "highmem": 8, "highcpu": 2}),
    "c4": (_C4, {"standard": 3.75, "highmem": 7.75, "highcpu": 2}),
    "c4a": (_C4A, {"standard": 4, "highmem": 8, "highcpu": 2}),
    "t2d": ("1 2 4 8 16 32 48 60", {"standard": 4}),
    "t2a": ("1 2 4 8 16 32 48", {"standard": 4}),
}
_ODD = {
    "e2-micro": (2, 1024),
    "e2-small": (2, 2048),
    "e2-medium": (2, 4096),
    "f1-micro": (1, 614),
    "g1-small": (1, 1740),
}
_ARM = ("t2a", "c4a")
_HYPERDISK_ONLY = ("n4", "c4", "c4a")
_PLATFORMS = {
    "e2": "Intel Broadwell",
    "n1": "Intel Skylake",
    "n2": "Intel Cascade Lake",
    "n2d": "AMD Milan",
    "n4": "Intel Emerald Rapids",
    "c3": "Intel Sapphire Rapids",
    "c3d": "AMD Genoa",
    "c4": "Intel Emerald Rapids",
    "c4a": "Google Axion",
    "t2d": "AMD Milan",
    "t2a": "Ampere Altra",
}
DISK_TYPES = {
    "pd-standard": ("Standard Persistent Disk", "10GB-65536GB", "500"),
    "pd-balanced": ("Balanced Persistent Disk", "10GB-65536GB", "100"),
    "pd-ssd": ("SSD Persistent Disk", "10GB-65536GB", "100"),
    "pd-extreme": ("Extreme Persistent Disk", "500GB-65536GB", "1000"),
    "hyperdisk-balanced": ("Hyperdisk Balanced", "4GB-65536GB", "100"),
    "hyperdisk-extreme": ("Hyperdisk Extreme", "64GB-65536GB", "1000"),
    "hyperdisk-throughput": ("Hyperdisk Throughput", "2048GB-32768GB", "2048"),
    "local-ssd": ("Local SSD", "375GB-375GB", "375"),
}
_CUSTOM = re.compile(r"(?:(e2|n1|n2|n2d|n4)-)?custom-([1-9][0-9]{0,2})-([1-9][0-9]{2,6})(-ext)?")
_SINCE = "1969-12-31T16:00:00.000-08:00"


def number(text: str) -> str:
    """The number of something that always is: the same each time."""
    return str(1000 + zlib.crc32(text.encode()))


def series(machine_type: str) -> str:
    """The first part of a machine type."""
    return machine_type.partition("-")[0]


def is_arm(machine_type: str) -> bool:
    """Whether its processor is an Arm one."""
    return series(machine_type) in _ARM


def platform(machine_type: str) -> str:
    """Its processor, as VMs show it."""
    return _PLATFORMS.get(series(machine_type), "Intel Broadwell")


def default_disk(machine_type: str) -> str:
    """The kind of disk that it gets if nothing is said."""
    if series(machine_type) in _HYPERDISK_ONLY:
        return "hyperdisk-balanced"
    return "pd-balanced" if series(machine_type) in {"c3", "c3d"} else "pd-standard"


def takes_disk(machine_type: str, disk_type: str) -> bool:
    """Whether it can have such a boot disk."""
    first = series(machine_type)
    if first in _HYPERDISK_ONLY:
        return disk_type.startswith("hyperdisk-")
    if first in {"c3", "c3d"}:
        return disk_type != "pd-standard"
    return not (disk_type == "hyperdisk-balanced" and first in {"e2", "n1", "t2d", "t2a", "f1"})


@cache
def sizes() -> dict[str, tuple[int, int, int]]:
    """vCPUs, memory in MB and local disks of each machine type."""
    found = {name: (cpus, memory, 0) for name, (cpus, memory) in _ODD.items()}
    for first, (counts, kinds) in _SERIES.items():
        for kind, memory in kinds.items():
            for count in map(int, counts.split()):
                base, _, lssd = kind.partition("-")
                disks = max(1, count // 8) if lssd else 0
                name = f"{first}-{base}-{count}{'-lssd' if lssd else ''}"
                found[name] = count, int(count * memory * 1024), disks
    return found


def machine_type(project: str, zone: str, name: str) -> dict[str, Any] | None:
    """A machine type as it is shown; None if there is none."""
    if zone not in ZONES:
        return None
    custom = _CUSTOM.fullmatch(name)
    if name not in sizes() and custom is None:
        return None
    cpus, memory, disks = sizes()[name] if custom is None else (int(custom[2]), int(custom[3]), 0)
    body: dict[str, Any] = {
        "kind": "compute#machineType",
        "id": number(name),
        "creationTimestamp": _SINCE,
        "name": name,
        "description": f"{cpus} vCPUs, {memory / 1024:g} GB RAM",
        "guestCpus": cpus,
        "memoryMb": memory,
        "imageSpaceGb": 0,
        "maximumPersistentDisks": 128,
        "maximumPersistentDisksSizeGb": "263168",
        "zone": zone,
        "selfLink": names.url(f"projects/{project}/zones/{zone}/machineTypes/{name}"),
        "isSharedCpu": name in _ODD,
        "architecture": "ARM64" if is_arm(name) else "X86_64",
    }
    if disks:
        body["bundledLocalSsds"] = {"defaultInterface": "NVME", "partitionCount": disks}
    return body


def disk_type(project: str, zone: str, name: str) -> dict[str, Any] | None:
    """A kind of disk as it is shown; None if there is none."""
    if name not in DISK_TYPES or zone not in ZONES:
        return None
    description, sizes_, default = DISK_TYPES[name]
    place = f"projects/{project}/zones/{zone}"
    return {
        "kind": "compute#diskType",
        "id": number(name),
        "creationTimestamp": _SINCE,
        "name": name,
        "description": description,
        "validDiskSize": sizes_,
        "defaultDiskSizeGb": default,
        "zone": names.url(place),
        "selfLink": names.url(f"{place}/diskTypes/{name}"),
    }


def zone(project: str, name: str) -> dict[str, Any] | None:
    """A zone as it is shown; None if there is none."""
    if name not in ZONES:
        return None
    region_ = name.rpartition("-")[0]
    return {
        "kind": "compute#zone",
        "id": number(name),
        "creationTimestamp": _SINCE,
        "name": name,
        "description": name,
        "status": "UP",
        "region": names.url(f"projects/{project}/regions/{region_}"),
        "availableCpuPlatforms": sorted(set(_PLATFORMS.values())),
        "supportsPzs": True,
        "selfLink": names.url(f"projects/{project}/zones/{name}"),
    }


def region(project: str, name: str, quotas: list[dict[str, Any]]) -> dict[str, Any] | None:
    """A region as it is shown; None if there is none."""
    if name not in REGIONS:
        return None
    return {
        "kind": "compute#region",
        "id": number(name),
        "creationTimestamp": _SINCE,
        "name": name,
        "description": name,
        "status": "UP",
        "zones": [
            names.url(f"projects/{project}/zones/{name}-{letter}") for letter in REGIONS[name][0]
        ],
        "quotas": quotas,
        "supportsPzs": True,
        "selfLink": names.url(f"projects/{project}/regions/{name}"),
    }
