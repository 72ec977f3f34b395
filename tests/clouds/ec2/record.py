"""What EC2 tells of an instance, and the filters that read it."""

from __future__ import annotations

from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from ec2.filters import Getter
from ec2.machine import CODES, Machine


def _groups(nic: Any) -> list[dict[str, str]]:
    return [{"GroupId": group.id, "GroupName": group.name} for group in nic.group_set]


def _interface(nic: Any) -> dict[str, Any]:
    return {
        "NetworkInterfaceId": nic.id,
        "Attachment": {
            "AttachmentId": nic.attachment_id,
            "AttachTime": nic.attach_time,
            "DeleteOnTermination": nic.delete_on_termination,
            "DeviceIndex": nic.device_index,
            "Status": "attached",
        },
        "Association": nic.public_ip and {"PublicIp": nic.public_ip, "IpOwnerId": "amazon"},
        "Description": nic.description,
        "Groups": _groups(nic),
        "InterfaceType": "interface",
        "MacAddress": nic.mac_address,
        "OwnerId": nic.owner_id,
        "PrivateIpAddress": nic.private_ip_address,
        "PrivateIpAddresses": [{"Primary": True, "PrivateIpAddress": nic.private_ip_address}],
        "Status": nic.status,
        "SubnetId": nic.subnet.id,
        "VpcId": nic.subnet.vpc_id,
    }


def _disks(machine: Machine) -> list[dict[str, Any]]:
    return [
        {
            "DeviceName": device,
            "Ebs": {
                "AttachTime": disk.attach_time,
                "DeleteOnTermination": disk.delete_on_termination,
                "Status": "attached",
                "VolumeId": disk.volume_id,
            },
        }
        for device, disk in machine.get_block_device_mapping
    ]


def _attached(machine: Machine) -> dict[str, Any]:
    # a terminated instance has given all of this back
    if machine.state == "terminated":
        lists = ("BlockDeviceMappings", "NetworkInterfaces", "SecurityGroups")
        return {**dict.fromkeys(lists, ()), "PrivateDnsName": "", "PublicDnsName": ""}
    primary = machine.nics[0]
    return {
        "BlockDeviceMappings": _disks(machine),
        "NetworkInterfaces": [_interface(nic) for nic in machine.nics.values()],
        "PrivateDnsName": machine.private_dns_name,
        "PrivateIpAddress": primary.private_ip_address,
        "PublicDnsName": machine.public_dns_name or "",
        "PublicIpAddress": primary.public_ip,
        "SecurityGroups": _groups(primary),
        "SubnetId": primary.subnet.id,
        "VpcId": primary.subnet.vpc_id,
    }


def _metadata(options: Any) -> dict[str, Any]:
    return {
        "State": options.state,
        "HttpEndpoint": options.http_endpoint,
        "HttpProtocolIpv6": options.http_protocol_ipv6,
        "HttpPutResponseHopLimit": options.http_put_response_hop_limit,
        "HttpTokens": options.http_tokens,
        "InstanceMetadataTags": options.instance_metadata_tags,
    }


def _explained(machine: Machine) -> dict[str, str] | None:
    reason = machine.state_reason
    return {"Code": reason.code, "Message": reason.message} if reason.code else None


def record(machine: Machine, *, state: str | None = None) -> dict[str, Any]:
    """The instance as an answer has it."""
    state = state or machine.state
    return {
        "InstanceId": machine.id,
        "AmiLaunchIndex": machine.ami_launch_index,
        "Architecture": machine.architecture,
        "ClientToken": machine.client_token or "",
        "EbsOptimized": machine.ebs_optimized,
        "EnaSupport": True,
        "Hypervisor": machine.hypervisor,
        "IamInstanceProfile": machine.iam_instance_profile,
        "ImageId": machine.image_id,
        "InstanceLifecycle": "spot" if machine.spot else None,
        "InstanceType": machine.instance_type,
        "KeyName": machine.key_name,
        "LaunchTime": machine.launch_time,
        "MetadataOptions": _metadata(machine.metadata_options),
        "Monitoring": {"State": machine.monitoring_state},
        "Placement": {"AvailabilityZone": machine.availability_zone, "Tenancy": "default"},
        "RootDeviceName": machine.root_device_name,
        "RootDeviceType": "ebs",
        "SourceDestCheck": machine.source_dest_check,
        "SpotInstanceRequestId": machine.spot.id if machine.spot else None,
        "State": {"Code": CODES[state], "Name": state},
        "StateReason": _explained(machine),
        "StateTransitionReason": machine.state_transition_reason,
        "Tags": [{"Key": key, "Value": value} for key, value in machine.own_tags.items()] or None,
        "VirtualizationType": machine.virtualization_type,
        **_attached(machine),
    }


def vcpus(instance_type: str) -> int:
    """How many vCPUs the type has."""
    known = INSTANCE_TYPES.get(instance_type, {})
    return int(known.get("VCpuInfo", {}).get("DefaultVCpus", 1))


GETTERS: dict[str, Getter] = {
    "architecture": lambda m: m.architecture,
    "availability-zone": lambda m: m.availability_zone,
    "client-token": lambda m: m.client_token,
    "dns-name": lambda m: m.public_dns_name,
    "image-id": lambda m: m.image_id,
    "instance-id": lambda m: m.id,
    "instance-lifecycle": lambda m: "spot" if m.spot else None,
    "instance-state-code": lambda m: CODES[m.told_state],
    "instance-state-name": lambda m: m.told_state,
    "instance-type": lambda m: m.instance_type,
    "ip-address": lambda m: m.public_ip,
    "key-name": lambda m: m.key_name,
    "launch-index": lambda m: m.ami_launch_index,
    "launch-time": lambda m: f"{m.launch_time:%Y-%m-%dT%H:%M:%S}.000Z",
    "owner-id": lambda m: m.owner_id,
    "private-ip-address": lambda m: m.private_ip,
    "reason": lambda m: m.state_transition_reason,
    "reservation-id": lambda m: m.reservation_id,
    "root-device-name": lambda m: m.root_device_name,
    "spot-instance-request-id": lambda m: m.spot.id if m.spot else None,
    "state-reason-code": lambda m: m.state_reason.code,
    "subnet-id": lambda m: m.subnet_id,
    "vpc-id": lambda m: m.vpc_id,
}
BEYOND = (
    "affinity",
    "block-device-mapping.",
    "boot-mode",
    "capacity-reservation",
    "current-instance-boot-mode",
    "ebs-optimized",
    "ena-support",
    "enclave-options.",
    "hibernation-options.",
    "host-id",
    "hypervisor",
    "iam-instance-profile.",
    "instance.group-",
    "ipv6-address",
    "kernel-id",
    "maintenance-options.",
    "metadata-options.",
    "monitoring-state",
    "network-",
    "operator.",
    "outpost-arn",
    "placement-",
    "platform",
    "private-dns-name",
    "product-code",
    "ramdisk-id",
    "requester-id",
    "root-device-type",
    "source-dest-check",
    "state-reason-message",
    "tenancy",
    "tpm-support",
    "usage-operation",
    "virtualization-type",
)
