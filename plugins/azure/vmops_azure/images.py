"""Which image an alias means, for the processor that a size has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from vmops.errors import InvalidRequest

__all__ = ["ALIASES", "architecture", "reference", "resolved"]

_ARM: Final = re.compile(r"[A-Za-z]+_[A-Z]+[0-9]+(-[0-9]+)?[a-z]*p[a-z]*(_|\Z)")
"""Sizes with an Arm processor: a `p` among the letters behind the number of vCPUs ("Azure virtual
machine sizes naming conventions")."""


def _both(publisher: str, offer: str, amd64: str, arm64: str) -> dict[str, str]:
    return {
        "amd64": f"{publisher}:{offer}:{amd64}:latest",
        "arm64": f"{publisher}:{offer}:{arm64}:latest",
    }


ALIASES: Final[Mapping[str, Mapping[str, str]]] = {
    "almalinux-9": {
        "amd64": "almalinux:almalinux-x86_64:9-gen2:latest",
        "arm64": "almalinux:almalinux-arm:9-arm-gen2:latest",
    },
    "azure-linux-3": _both(
        "MicrosoftCBLMariner", "azure-linux-3", "azure-linux-3-gen2", "azure-linux-3-arm64"
    ),
    "debian-12": _both("Debian", "debian-12", "12-gen2", "12-arm64"),
    "debian-13": _both("Debian", "debian-13", "13-gen2", "13-arm64"),
    "ubuntu-22.04": _both(
        "Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2", "22_04-lts-arm64"
    ),
    "ubuntu-24.04": _both("Canonical", "ubuntu-24_04-lts", "server", "server-arm64"),
    "windows-2022": {
        "amd64": "MicrosoftWindowsServer:WindowsServer:2022-datacenter-azure-edition:latest"
    },
}
"""Alias -> CPU -> URN (publisher:offer:sku:version) in the Azure Marketplace."""


def architecture(vm_size: str) -> str:
    """`arm64` for sizes with an Arm processor, else `amd64`."""
    return "arm64" if _ARM.match(vm_size) else "amd64"


def resolved(image: str, vm_size: str) -> str:
    """The URN or resource id that is meant.

    Raises:
        InvalidRequest: There is no such alias for this size.
    """
    if ":" in image or image.startswith("/"):
        return image
    cpu = architecture(vm_size)
    if image not in ALIASES:
        known = ", ".join(sorted(ALIASES))
        raise InvalidRequest(
            f"azure: image {image!r} is no URN, resource id or alias",
            hint=f"give publisher:offer:sku:version, or {known}",
        )
    if cpu not in ALIASES[image]:
        raise InvalidRequest(
            f"azure: image {image!r} is not made for {cpu}, which {vm_size} has",
            hint="choose another vmSize",
        )
    return ALIASES[image][cpu]


def reference(image: str) -> dict[str, Any]:
    """What a create says of its image, a URN or a resource id."""
    if image.startswith("/"):
        gallery = image.lower().split("/")[1]
        kinds = {
            "communitygalleries": "communityGalleryImageId",
            "sharedgalleries": "sharedGalleryImageId",
        }
        return {kinds.get(gallery, "id"): image}
    publisher, offer, sku, version = image.split(":")
    return {"publisher": publisher, "offer": offer, "sku": sku, "version": version}
