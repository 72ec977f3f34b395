"""The public images of this cloud, other in each region, and the SSM parameters that name them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from moto.ec2.models.amis import Ami

from ec2.errors import Refused


@dataclass(frozen=True)
class _Disk:
    device: str
    size: int
    kept: bool = False


@dataclass(frozen=True)
class _Public:
    name: str
    architecture: str
    owner: str
    disks: tuple[_Disk, ...]
    parameter: str | None = None


def _pair(name: str, owner: str, device: str, size: int, parameter: str) -> list[_Public]:
    # Amazon says x86_64 where the distributors say amd64
    amazon = owner == "137112412989"
    return [
        _Public(
            f"{name}-{short}",
            long,
            owner,
            (_Disk(device, size),),
            parameter.format(arch=long if amazon else short),
        )
        for short, long in (("amd64", "x86_64"), ("arm64", "arm64"))
    ]


_CANONICAL, _DEBIAN, _AMAZON = "099720109477", "136693071363", "137112412989"
# Canonical's images are on gp3 disks since 23.10
_UBUNTU = "/aws/service/canonical/ubuntu/server/{}/stable/current/{{arch}}/hvm/ebs-{}/ami-id"
_RELEASE = "/aws/service/debian/release/{}/latest/{{arch}}"
_AL2023 = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{arch}"

_PUBLIC = [
    *_pair("ubuntu-24.04", _CANONICAL, "/dev/sda1", 8, _UBUNTU.format("24.04", "gp3")),
    *_pair("ubuntu-22.04", _CANONICAL, "/dev/sda1", 8, _UBUNTU.format("22.04", "gp2")),
    *_pair("debian-12", _DEBIAN, "/dev/xvda", 8, _RELEASE.format("12")),
    *_pair("debian-13", _DEBIAN, "/dev/xvda", 8, _RELEASE.format("13")),
    *_pair("amazon-linux-2023", _AMAZON, "/dev/xvda", 8, _AL2023),
    # what would leave disks behind: the root volume stays, and so does a second one
    _Public(
        "keeps-disks",
        "x86_64",
        "111122223333",
        (_Disk("/dev/xvda", 10, kept=True), _Disk("/dev/sdf", 20, kept=True)),
    ),
]


def image_id(name: str, region: str) -> str:
    """What the image of this name is called in this region."""
    return f"ami-{sha256(f'{region}/{name}'.encode()).hexdigest()[:17]}"


def image_ids(region: str) -> dict[str, str]:
    """All of the region's images by name."""
    return {each.name: image_id(each.name, region) for each in _PUBLIC}


def parameter(name: str, region: str) -> str | None:
    """The public SSM parameter's value."""
    for each in _PUBLIC:
        if each.parameter == name:
            return image_id(each.name, region)
    return None


class Image(Ami):
    """An image that tells its own disks; moto's all have one of 15 GB."""

    disks: list[dict[str, Any]]

    @property
    def block_device_mappings(self) -> list[dict[str, Any]]:
        return self.disks


def load(backend: Any) -> None:
    """Registers the region's images."""
    for each in _PUBLIC:
        image = Image(
            backend,
            image_id(each.name, backend.region_name),
            name=f"{each.name}-20260101",
            owner_id=each.owner,
            public=True,
            virtualization_type="hvm",
            architecture=each.architecture,
            image_location=f"{each.owner}/{each.name}-20260101",
            hypervisor="xen",
            root_device_type="ebs",
            root_device_name=each.disks[0].device,
            region_name=f"{backend.region_name}a",
        )
        image.disks = [
            {
                "DeviceName": disk.device,
                "Ebs": {
                    "DeleteOnTermination": not disk.kept,
                    "Encrypted": False,
                    "SnapshotId": image.ebs_snapshot.id,
                    "VolumeSize": disk.size,
                    "VolumeType": "gp3",
                },
            }
            for disk in each.disks
        ]
        backend.amis[image.id] = image


def known(backend: Any, ids: list[str]) -> None:
    """Refuses ids of which one is unknown."""
    missing = [each for each in ids if each not in backend.amis]
    if len(missing) > 1:
        words = f"The image ids '[{', '.join(missing)}]' do not exist"
        raise Refused("InvalidAMIID.NotFound", words)
    if missing:
        image(backend, missing[0])


def image(backend: Any, wanted: str | None) -> Image:
    """The image to launch, or EC2's refusal."""
    if not wanted:
        raise Refused("MissingParameter", "The request must contain the parameter ImageId")
    if not wanted.startswith("ami-"):
        raise Refused("InvalidAMIID.Malformed", f'Invalid id: "{wanted}" (expecting "ami-...")')
    if wanted not in backend.amis:
        raise Refused("InvalidAMIID.NotFound", f"The image id '[{wanted}]' does not exist")
    found: Image = backend.amis[wanted]
    return found


def disks(image: Image, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The launch's disks: the image's, changed and added to by what the request says."""
    merged = {each["DeviceName"]: each for each in image.block_device_mappings}
    for each in wanted:
        device = each.get("DeviceName")
        if "NoDevice" in each:
            merged.pop(device, None)
            continue
        ebs = {**merged.get(device, {}).get("Ebs", {}), **each.get("Ebs", {})}
        # a disk that only the request names is deleted with the instance unless it says no
        ebs.setdefault("DeleteOnTermination", True)
        merged[device] = {**each, "Ebs": ebs}
    return list(merged.values())
