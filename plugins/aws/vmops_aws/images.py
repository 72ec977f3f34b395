"""Which AMI an alias means here, and what disks an AMI brings."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from vmops.errors import InvalidRequest
from vmops_aws.client import Clients
from vmops_aws.errors import NotEc2Error

__all__ = ["ALIASES", "Image", "Images", "architecture"]

_UBUNTU: Final = "/aws/service/canonical/ubuntu/server/{}/stable/current/{}/hvm/{}/ami-id"
_AMAZON: Final = "/aws/service/ami-amazon-linux-latest/{}"
_FRESH: Final = 3600.0
"""Seconds for which an alias is not looked up again; publishers release new AMIs every few days."""

_ARM = re.compile(r"(a1|[a-z]+[0-9]+[a-z]*g[a-z]*)(-[a-z0-9]+)?\.")
"""Instance types on Graviton: a `g` among the letters behind the generation ("Amazon EC2 instance
type naming conventions"), and the first of them, a1."""


def _publisher(template: str, version: str, disks: str) -> dict[str, str]:
    return {cpu: template.format(version, cpu, disks) for cpu in ("amd64", "arm64")}


ALIASES: Final[Mapping[str, Mapping[str, str]]] = {
    "amazon-linux-2023": {
        "amd64": _AMAZON.format("al2023-ami-kernel-default-x86_64"),
        "arm64": _AMAZON.format("al2023-ami-kernel-default-arm64"),
    },
    "debian-12": {
        cpu: f"/aws/service/debian/release/12/latest/{cpu}" for cpu in ("amd64", "arm64")
    },
    "debian-13": {
        cpu: f"/aws/service/debian/release/13/latest/{cpu}" for cpu in ("amd64", "arm64")
    },
    "ubuntu-22.04": _publisher(_UBUNTU, "22.04", "ebs-gp2"),
    "ubuntu-24.04": _publisher(_UBUNTU, "24.04", "ebs-gp3"),
}
"""Alias -> CPU -> the public SSM parameter in which its publisher keeps the newest AMI's id."""


def architecture(vm_size: str) -> str:
    """`arm64` for instance types on Graviton, else `amd64`."""
    return "arm64" if _ARM.match(vm_size) else "amd64"


@dataclass(frozen=True, slots=True)
class Image:
    """What a create must know of an AMI.

    Args:
        id: The AMI's id.
        root: The device name of its root disk; empty if that is no EBS disk.
        disks: The device names of all its EBS disks.
    """

    id: str
    root: str = ""
    disks: tuple[str, ...] = ()


class Images:
    """AMIs of one connection, each looked up once.

    Args:
        clients: EC2 and SSM.
    """

    def __init__(self, clients: Clients) -> None:
        """Look nothing up yet."""
        self._clients = clients
        self._locks: dict[str, threading.Lock] = {}
        self._ids: dict[str, tuple[float, str]] = {}
        self._images: dict[str, Image] = {}

    def resolve(self, image: str, vm_size: str) -> str:
        """The id of the AMI that is meant, which exists here.

        Raises:
            InvalidRequest: There is no such alias.
        """
        if not image.startswith("ami-"):
            image = self._newest(self._parameter(image, vm_size))
        self.describe(image)
        return image

    def describe(self, ami: str) -> Image:
        """An AMI's disks; they never change."""
        with self._lock_of(ami):
            if ami not in self._images:
                self._images[ami] = self._described(ami)
            return self._images[ami]

    def _lock_of(self, key: str) -> threading.Lock:
        """Keeps threads from looking one thing up twice, and from waiting for another one."""
        return self._locks.setdefault(key, threading.Lock())

    @staticmethod
    def _parameter(alias: str, vm_size: str) -> str:
        if alias not in ALIASES:
            known = ", ".join(sorted(ALIASES))
            raise InvalidRequest(
                f"aws: image {alias!r} is no AMI id and no alias", hint=f"give ami-..., or {known}"
            )
        return ALIASES[alias][architecture(vm_size)]

    def _newest(self, parameter: str) -> str:
        with self._lock_of(parameter):
            at, ami = self._ids.get(parameter, (0.0, ""))
            if not ami or time.monotonic() - at > _FRESH:
                answer = self._clients.of("ssm").get_parameter(Name=parameter)
                ami = answer.get("Parameter", {}).get("Value", "")
                if not ami.startswith("ami-"):
                    raise NotEc2Error(f"aws: get_parameter: {parameter} holds no AMI's id")
                self._ids[parameter] = time.monotonic(), ami
            return ami

    def _described(self, ami: str) -> Image:
        # by id, and so an unknown one is refused; it is the only thing asked for
        answer = self._clients.call("describe_images", ImageIds=[ami])
        if not answer.get("Images"):
            raise NotEc2Error(f"aws: describe_images: the answer does not tell of {ami}")
        found: dict[str, Any] = answer["Images"][0]
        disks = tuple(d["DeviceName"] for d in found.get("BlockDeviceMappings", ()) if "Ebs" in d)
        root = found.get("RootDeviceName", "")
        return Image(ami, root if root in disks else "", disks)
