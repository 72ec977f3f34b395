"""Which image an alias means, for the processor that a machine type has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Final

from vmops.errors import InvalidRequest

__all__ = ["ALIASES", "architecture", "known", "resolved"]

_ARM: Final = re.compile(r"(t2a|[a-z]4a|a4x)-", re.ASCII)
"""Machine series with an Arm processor ("Arm VMs on Compute", Compute Engine documentation)."""
_NAME: Final = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
_PLACE: Final = r"([a-z0-9.-]+:)?[a-z][-a-z0-9]{2,61}[a-z0-9]"
_PATH: Final = re.compile(
    rf"(projects/(?P<project>{_PLACE})/)?global/images/(?P<name>(family/)?{_NAME})"
)
_FAMILY: Final = re.compile(rf"(?P<project>{_PLACE})/(?P<family>{_NAME})")
_URL: Final = re.compile(r"https://(www|compute)\.googleapis\.com/compute/v1/")


def _both(project: str, amd64: str, arm64: str) -> dict[str, str]:
    path = f"projects/{project}/global/images/family/"
    return {"amd64": path + amd64, "arm64": path + arm64}


ALIASES: Final[Mapping[str, Mapping[str, str]]] = {
    "almalinux-9": _both("almalinux-cloud", "almalinux-9", "almalinux-9-arm64"),
    "debian-12": _both("debian-cloud", "debian-12", "debian-12-arm64"),
    "debian-13": _both("debian-cloud", "debian-13", "debian-13-arm64"),
    "rocky-linux-9": _both(
        "rocky-linux-cloud", "rocky-linux-9-optimized-gcp", "rocky-linux-9-optimized-gcp-arm64"
    ),
    "ubuntu-22.04": _both("ubuntu-os-cloud", "ubuntu-2204-lts", "ubuntu-2204-lts-arm64"),
    "ubuntu-24.04": _both("ubuntu-os-cloud", "ubuntu-2404-lts-amd64", "ubuntu-2404-lts-arm64"),
    "windows-2022": {"amd64": "projects/windows-cloud/global/images/family/windows-2022"},
}
"""Alias -> CPU -> the newest image of a public family."""


def architecture(vm_size: str) -> str:
    """`arm64` for machine types with an Arm processor, else `amd64`."""
    return "arm64" if _ARM.match(vm_size) else "amd64"


def known(image: str) -> str:
    """An image that there may be: an alias, or what has the form of PROJECT/FAMILY or of a path.

    An `AfterValidator` of pydantic.

    Raises:
        ValueError: It is none of these.
    """
    plain = _URL.sub("", image, count=1)
    if image in ALIASES or _PATH.fullmatch(plain) or _FAMILY.fullmatch(plain):
        return image
    near = difflib.get_close_matches(image.lower(), ALIASES)
    forms = f"projects/PROJECT/global/images/[family/]NAME, or {', '.join(sorted(ALIASES))}"
    hint = f"did you mean {' or '.join(near)}?" if near else f"give {forms}"
    raise ValueError(f"it is no alias, PROJECT/FAMILY or path; {hint}")


def resolved(image: str, vm_size: str, project: str) -> str:
    """The path of the image or family that is meant.

    Args:
        image: A known one.
        vm_size: The machine type, whose processor an alias follows.
        project: The project of a path that names none.

    Raises:
        InvalidRequest: An alias is not for this machine type.
    """
    image = _URL.sub("", image, count=1)
    if path := _PATH.fullmatch(image):
        return f"projects/{path['project'] or project}/global/images/{path['name']}"
    if family := _FAMILY.fullmatch(image):
        return f"projects/{family['project']}/global/images/family/{family['family']}"
    cpu = architecture(vm_size)
    if cpu not in ALIASES[image]:
        raise InvalidRequest(
            f"gcp: image {image!r} is not made for {cpu}, which {vm_size} has",
            hint="choose another vmSize",
        )
    return ALIASES[image][cpu]
