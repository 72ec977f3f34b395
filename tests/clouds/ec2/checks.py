"""What RunInstances and CreateTags refuse in a request, in EC2's words."""

from __future__ import annotations

import base64
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.utils import filter_iam_instance_profiles

from ec2 import images, spot
from ec2.errors import Refused
from ec2.world import world

_TAGGABLE = {"instance", "volume", "network-interface", "spot-instances-request"}
_MOST_TAGS, _LONGEST_KEY, _LONGEST_TAG = 50, 128, 256
_LONGEST_TOKEN = 64
_MOST_USER_DATA = 16384


def token(params: dict[str, Any]) -> str | None:
    """The client token, if one was given."""
    found: str | None = params.get("ClientToken")
    if found and (len(found) > _LONGEST_TOKEN or not found.isascii()):
        raise Refused(
            "InvalidParameterValue",
            f"Value ({found}) for parameter clientToken is invalid. Client tokens must have "
            "at most 64 ASCII characters",
        )
    return found


def _named_subnet(params: dict[str, Any]) -> str | None:
    nics = params.get("NetworkInterfaces") or [{}]
    found: str | None = params.get("SubnetId") or nics[0].get("SubnetId")
    return found


def named_zone(backend: Any, params: dict[str, Any]) -> str | None:
    """The zone that the request names, itself or by a subnet."""
    subnet = _named_subnet(params)
    found: str | None
    if subnet:
        found = backend.get_subnet(subnet).availability_zone
    else:
        found = (params.get("Placement") or {}).get("AvailabilityZone")
    return found


def _counts(params: dict[str, Any]) -> None:
    least, most = int(params.get("MinCount") or 0), int(params.get("MaxCount") or 0)
    if least < 1:
        raise Refused(
            "InvalidParameterValue",
            f"Value ({least}) for parameter minCount is invalid. Must be greater than 0",
        )
    if most < least:
        raise Refused(
            "InvalidParameterValue",
            f"Value ({most}) for parameter maxCount is invalid. "
            "Must be greater than or equal to minCount",
        )


def _type_and_image(backend: Any, params: dict[str, Any]) -> None:
    image = images.image(backend, params.get("ImageId"))
    kind = params.setdefault("InstanceType", "m1.small")
    if kind not in INSTANCE_TYPES:
        raise Refused("InvalidParameterValue", f"Invalid value '{kind}' for InstanceType.")
    suits = INSTANCE_TYPES[kind]["ProcessorInfo"]["SupportedArchitectures"]
    if image.architecture not in suits:
        raise Refused(
            "InvalidParameterValue",
            f"The architecture '{','.join(suits)}' of the specified instance type does not match "
            f"the architecture '{image.architecture}' of the specified AMI. Specify an instance "
            "type and an AMI that have matching architectures, and try again.",
        )


def request(backend: Any, params: dict[str, Any]) -> None:
    """Refuses what cannot be launched."""
    if params.get("LaunchTemplate"):
        raise NotImplementedError("this stand-in launches without templates")
    _counts(params)
    _type_and_image(backend, params)
    asked = spot.options(params)
    if "spot-instances-request" in tags(params) and asked is None:
        raise Refused(
            "InvalidParameterCombination",
            "'spot-instances-request' can be tagged by launches of Spot instances only",
        )
    user_data = params.get("UserData") or ""
    if len(base64.b64decode(user_data)) > _MOST_USER_DATA:
        raise Refused("InvalidParameterValue", "User data is limited to 16384 bytes")
    if params.get("KeyName"):
        backend.describe_key_pairs(key_names=[params["KeyName"]])


def tag_set(wanted: dict[str, str]) -> dict[str, str]:
    """The tags, or a refusal of those that no resource can have."""
    if len(wanted) > _MOST_TAGS:
        raise Refused("TagLimitExceeded", "More than 50 tags specified")
    for key, value in wanted.items():
        if key.lower().startswith("aws:"):
            words = "Tag keys starting with 'aws:' are reserved for internal use"
        elif len(key) > _LONGEST_KEY:
            words = "Tag key exceeds the maximum length of 128 characters"
        elif len(value) > _LONGEST_TAG:
            words = "Tag value exceeds the maximum length of 256 characters"
        else:
            continue
        raise Refused("InvalidParameterValue", words)
    return wanted


def tags(params: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The tags for each kind of resource."""
    found: dict[str, dict[str, str]] = {}
    for each in params.get("TagSpecifications") or []:
        kind = each.get("ResourceType")
        if kind not in _TAGGABLE:
            raise Refused(
                "InvalidParameterValue",
                f"'{kind}' is not a valid taggable resource type for this operation.",
            )
        for tag in each.get("Tags") or []:
            found.setdefault(kind, {})[tag["Key"]] = tag.get("Value", "")
    return {kind: tag_set(wanted) for kind, wanted in found.items()}


def _default_subnet(backend: Any, zone: str | None) -> str:
    if not world.settings.default_vpc or backend.get_default_vpc() is None:
        raise Refused(
            "VPCIdNotSpecified",
            "No default VPC for this user. GroupName is only supported for EC2-Classic and "
            "default VPC.",
        )
    subnets = backend.get_default_subnets()
    if zone and not any(each.name == zone for each in backend.describe_availability_zones()):
        raise Refused("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
    chosen = zone or min(subnets, default=None)
    if chosen not in subnets:
        raise Refused("MissingInput", f"No default subnet for availability zone: '{chosen}'.")
    found: str = subnets[chosen].id
    return found


def interfaces(backend: Any, params: dict[str, Any]) -> list[dict[str, Any]]:
    """The network interfaces to make, each with its subnet."""
    asked = [dict(each) for each in params.get("NetworkInterfaces") or []]
    for name in ("SubnetId", "SecurityGroupIds", "SecurityGroups"):
        if asked and params.get(name):
            what = "subnet ID" if name == "SubnetId" else "security groups"
            raise Refused(
                "InvalidParameterCombination",
                f"Network interfaces and an instance-level {what} may not be specified on the "
                "same request",
            )
    zone = (params.get("Placement") or {}).get("AvailabilityZone")
    subnet = _named_subnet(params) or _default_subnet(backend, zone)
    if zone and backend.get_subnet(subnet).availability_zone != zone:
        raise Refused(
            "InvalidParameterValue",
            f"The availability zone '{zone}' does not match that of the subnet '{subnet}'",
        )
    wanted = int(params["MinCount"])
    if backend.get_subnet(subnet).available_ip_address_count < wanted:
        raise Refused(
            "InsufficientFreeAddressesInSubnet",
            f"There are not enough free addresses in subnet '{subnet}' to satisfy the requested "
            "number of instances.",
        )
    nics = asked or [{"DeviceIndex": 0}]
    for nic in nics:
        nic.setdefault("SubnetId", subnet)
        _check_groups(backend, nic.get("Groups") or [])
    return nics


def _check_groups(backend: Any, groups: list[str]) -> None:
    # moto makes up the groups that it does not know
    for each in groups:
        if backend.get_security_group_from_id(each) is None:
            raise Refused("InvalidGroup.NotFound", f"The security group '{each}' does not exist")


def profile(backend: Any, asked: dict[str, str]) -> dict[str, str] | None:
    """The instance profile, which must exist."""
    if not asked:
        return None
    try:
        found = filter_iam_instance_profiles(
            backend.account_id, backend.partition, asked.get("Arn"), asked.get("Name")
        )
    except Exception as exc:
        which, value = next(iter(asked.items()))
        raise Refused(
            "InvalidParameterValue",
            f"Value ({value}) for parameter iamInstanceProfile.{which.lower()} is invalid. "
            "Invalid IAM Instance Profile name",
        ) from exc
    return {"Arn": found.arn, "Id": found.id}
