"""botocore's description of EC2: loaded once a process, and only what vmops calls and reads of it.

A session of its own loads 10 MB of JSON for EC2, makes 770 methods of it and takes 0.3 s of CPU
and 23 MB. On each instance that EC2 describes botocore spends 0.8 ms, most of it on members that
nobody looks at here. The loader is vmops' own: whoever else uses boto3 in the same process sees
nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final

__all__ = ["loader", "timestamp"]

_CALLED: Final = (
    "CancelSpotInstanceRequests",
    "CreateTags",
    "DescribeImages",
    "DescribeInstances",
    "DescribeSpotInstanceRequests",
    "RebootInstances",
    "RunInstances",
    "StartInstances",
    "StopInstances",
    "TerminateInstances",
)

_READ: Final[Mapping[str, frozenset[str]]] = {
    "Reservation": frozenset({"Instances"}),
    "Instance": frozenset(
        {
            "AmiLaunchIndex",
            "BlockDeviceMappings",
            "ImageId",
            "InstanceId",
            "InstanceType",
            "LaunchTime",
            "NetworkInterfaces",
            "Placement",
            "PrivateIpAddress",
            "PublicDnsName",
            "PublicIpAddress",
            "SpotInstanceRequestId",
            "State",
            "StateReason",
            "Tags",
        }
    ),
    "EbsInstanceBlockDevice": frozenset({"VolumeId"}),
    "InstanceBlockDeviceMapping": frozenset({"Ebs"}),
    "InstanceNetworkInterface": frozenset({"NetworkInterfaceId"}),
    "InstanceState": frozenset({"Name"}),
    "Placement": frozenset({"AvailabilityZone"}),  # also all that a create says of its place
}
"""Shape of an answer -> the members that vmops reads; all other shapes are left as they are."""


@cache
def loader() -> Any:  # noqa: ANN401  (botocore has no types)
    """The loader for every session of this process."""
    from botocore.loaders import create_loader

    made = create_loader()
    # what a loader has loaded it keeps, so that clients get this very dict
    model = made.load_service_model("ec2", "service-2")
    model["operations"] = {name: model["operations"][name] for name in _CALLED}
    for name, read in _READ.items():
        members = model["shapes"][name]["members"]
        model["shapes"][name]["members"] = {key: members[key] for key in members if key in read}
    model["shapes"] = {name: model["shapes"][name] for name in _reachable(model)}
    return made


def _reachable(model: Mapping[str, Any]) -> set[str]:
    """The shapes that the operations are made of."""
    found: set[str] = set()
    ahead = [shape for operation in model["operations"].values() for shape in _named(operation)]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += _named(model["shapes"][name])
    return found


def _named(part: object) -> Iterator[str]:
    """The shapes that a part of the model names, at any depth."""
    if isinstance(part, dict):
        if isinstance(part.get("shape"), str):
            yield part["shape"]
        for inner in part.values():
            yield from _named(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _named(inner)


def timestamp(value: object) -> datetime:
    """A time in an answer: ISO 8601 at a twentieth of the cost, others as botocore has them."""
    try:
        return datetime.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        from botocore.utils import parse_timestamp

        parsed: datetime = parse_timestamp(value)
        return parsed
