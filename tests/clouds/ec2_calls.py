"""What the tests of the EC2 stand-in say over and over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

LATER = 0.2
"""Longer than any verb takes."""


def launch(cloud: Any, ec2: Any, count: int = 1, **more: Any) -> list[str]:
    """The ids of new instances."""
    return [each["InstanceId"] for each in launched(cloud, ec2, count, **more)["Instances"]]


def launched(cloud: Any, ec2: Any, count: int = 1, **more: Any) -> dict[str, Any]:
    """What RunInstances answers; `tags` are put on all that it makes."""
    tags = [{"Key": key, "Value": value} for key, value in more.pop("tags", {}).items()]
    kinds = ["instance", "volume", "network-interface"]
    if "InstanceMarketOptions" in more:
        kinds.append("spot-instances-request")
    if tags:
        more["TagSpecifications"] = [{"ResourceType": kind, "Tags": tags} for kind in kinds]
    request = {
        "ImageId": cloud.image(),
        "InstanceType": "t3.micro",
        "MinCount": count,
        "MaxCount": count,
        **more,
    }
    answer: dict[str, Any] = ec2.run_instances(**request)
    return answer


def running(cloud: Any, ec2: Any, count: int = 1, **more: Any) -> list[str]:
    """The ids of instances that have come up."""
    ids = launch(cloud, ec2, count, **more)
    cloud.advance(LATER)
    return ids


def spot(kind: str = "one-time") -> dict[str, Any]:
    """The market options of a spot launch."""
    behaviour = "stop" if kind == "persistent" else "terminate"
    options = {"SpotInstanceType": kind, "InstanceInterruptionBehavior": behaviour}
    return {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": options}}


def found(ec2: Any, filters: dict[str, list[str]] | None = None, **more: Any) -> list[Any]:
    """The instances that DescribeInstances tells of."""
    more["Filters"] = [{"Name": name, "Values": v} for name, v in (filters or {}).items()]
    pages = ec2.describe_instances(**more)["Reservations"]
    return [each for reservation in pages for each in reservation["Instances"]]


def state(ec2: Any, instance: str) -> str:
    """The state that DescribeInstances tells."""
    told: str = found(ec2, {"instance-id": [instance]})[0]["State"]["Name"]
    return told


@contextmanager
def refused(code: str, says: str = "", status: int = 400) -> Iterator[None]:
    """The call within is refused so."""
    try:
        yield
    except ClientError as exc:
        answer = exc.response
        assert answer["Error"]["Code"] == code, answer
        assert says in (answer["Error"]["Message"] or ""), answer
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == status, answer
        assert answer["ResponseMetadata"]["RequestId"]
    else:
        raise AssertionError(f"not refused with {code}")


def verbs(ec2: Any) -> dict[str, Callable[[list[str]], Any]]:
    """The four verbs by name."""
    return {
        "start": lambda ids: ec2.start_instances(InstanceIds=ids),
        "stop": lambda ids: ec2.stop_instances(InstanceIds=ids),
        "reboot": lambda ids: ec2.reboot_instances(InstanceIds=ids),
        "terminate": lambda ids: ec2.terminate_instances(InstanceIds=ids),
    }
