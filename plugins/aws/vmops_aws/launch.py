"""RunInstances: the request that makes VMs, and what its answer must hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vmops import Tags, Target
from vmops.errors import InvalidRequest
from vmops_aws import names
from vmops_aws.errors import NotEc2Error
from vmops_aws.images import Image
from vmops_aws.settings import AwsParams

__all__ = ["SPOT_MODE", "made", "request"]

SPOT_MODE: Final = "vmops-spot"
"""Tag of a spot VM: one-time or persistent, which an instance itself does not tell."""

_TAGGED: Final = ("instance", "volume", "network-interface")


def request(vms: Sequence[Target[AwsParams]], token: str, image: Image) -> dict[str, Any]:
    """The arguments of one RunInstances call; the same VMs and token give the same arguments.

    All instances of a call are tagged alike: with the first one's sequence number, to which each
    adds its launch index, and with all their names.
    """
    params = vms[0].params
    asked: dict[str, Any] = {
        "ImageId": image.id,
        "InstanceType": params.vm_size,
        "MinCount": len(vms),
        "MaxCount": len(vms),
        "ClientToken": token,
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
        "BlockDeviceMappings": _disks(params, image),
        "TagSpecifications": _tagged(vms, params),
        **_network(params),
    }
    if params.zone:
        asked["Placement"] = {"AvailabilityZone": params.zone}
    if params.guest_data:
        asked["UserData"] = params.guest_data  # boto3 encodes it
    if profile := params.iam_instance_profile:
        kind = "Arn" if profile.startswith("arn:") else "Name"
        asked["IamInstanceProfile"] = {kind: profile}
    if params.spot:
        asked["InstanceMarketOptions"] = _market(params)
    return asked


def made(answer: Mapping[str, Any], count: int) -> list[str]:
    """The ids of the new instances, in the order of their launch index.

    Raises:
        NotEc2Error: The answer does not hold them all: whether they were made is unknown.
    """
    found = sorted(answer.get("Instances", ()), key=lambda one: one.get("AmiLaunchIndex", 0))
    ids = [one["InstanceId"] for one in found if one.get("InstanceId")]
    if len(ids) != count:
        raise NotEc2Error(f"aws: run_instances: {count} asked for, {len(ids)} ids in the answer")
    return ids


def _disks(params: AwsParams, image: Image) -> list[dict[str, Any]]:
    """Every disk of the image, to be deleted with the VM whatever the image says."""
    root: dict[str, Any] = {}
    if params.disk_size_gb is not None:
        root["VolumeSize"] = params.disk_size_gb
    if params.disk_type is not None:
        root["VolumeType"] = params.disk_type
    return [
        {
            "DeviceName": disk,
            "Ebs": {"DeleteOnTermination": True, **(root if disk == image.root else {})},
        }
        for disk in image.disks
    ]


def _network(params: AwsParams) -> dict[str, Any]:
    """Subnet and groups; an interface made by the launch is deleted with the VM by default."""
    groups = list(params.security_groups)
    if params.public_ip is None:
        asked = {"SubnetId": params.subnet, "SecurityGroupIds": groups}
        return {key: value for key, value in asked.items() if value}
    # an address can only be asked for on an interface, and then the others must be there, too
    interface = {
        "DeviceIndex": 0,
        "DeleteOnTermination": True,
        "AssociatePublicIpAddress": params.public_ip,
        "SubnetId": params.subnet,
        "Groups": groups,
    }
    kept = {key: value for key, value in interface.items() if value not in (None, [])}
    return {"NetworkInterfaces": [kept]}


def _market(params: AwsParams) -> dict[str, Any]:
    persistent = params.spot_mode == "persistent"
    return {
        "MarketType": "spot",
        "SpotOptions": {
            "SpotInstanceType": params.spot_mode,
            "InstanceInterruptionBehavior": "stop" if persistent else "terminate",
        },
    }


def _tagged(vms: Sequence[Target[AwsParams]], params: AwsParams) -> list[dict[str, Any]]:
    ownership = vms[0].tags or Tags("none", vms[0].name, "")
    try:
        label = names.encoded([vm.name for vm in vms])
    except ValueError as exc:  # a batch that another version of vmops has put together
        raise InvalidRequest(f"aws: {exc}", hint="vmops recover settles what became of it") from exc
    tags = {**params.tags, **ownership.to_dict(), "vmops-vm": label, "Name": label}
    kinds = [*_TAGGED]
    if params.spot:
        tags[SPOT_MODE] = params.spot_mode
    if params.spot and params.spot_mode == "persistent":
        kinds.append("spot-instances-request")
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    return [{"ResourceType": kind, "Tags": pairs} for kind in kinds]
