"""What these tests do over and over, and what they ask EC2's stand-in about."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import scene

__all__ = ["QUICK", "Scene", "nested", "tags_for"]

QUICK = dict.fromkeys(("run", "start", "stop", "terminate", "relaunch"), 0.02)
"""Seconds that the stand-in takes for each verb."""

_TIMEOUT = 20.0
_NUMBERED = re.compile(r"\d+\Z")


class Scene(scene.Scene):
    """EC2's stand-in, and vmops over it, with an image that needs no look-up of an alias."""

    def __init__(self, cloud: Any, config: dict[str, Any], folder: Path) -> None:
        self.api = cloud.client("ec2")
        self.image = cloud.image()
        super().__init__(cloud, config, folder, {"image": self.image})
        cloud.settings(**QUICK)

    # -- what the cloud was asked -----------------------------------------------------------------

    def requests(self, action: str) -> list[dict[str, Any]]:
        """What each call of an action asked for."""
        return [nested(call["parameters"]) for call in self.cloud.calls(action)]

    def filters(self) -> list[dict[str, list[str]]]:
        """The filters of each DescribeInstances so far."""
        return [
            {one["Name"]: one["Value"] for one in asked.get("Filter", ())}
            for asked in self.requests("DescribeInstances")
        ]

    # -- what there is ----------------------------------------------------------------------------

    def instances(self, **filters: str) -> list[dict[str, Any]]:
        """The instances that exist."""
        named = [{"Name": name.replace("_", "-"), "Values": [v]} for name, v in filters.items()]
        pages = self.api.describe_instances(Filters=named)["Reservations"]
        found = [each for reservation in pages for each in reservation["Instances"]]
        return [each for each in found if each["State"]["Name"] != "terminated"]

    def state(self, vm_id: str) -> str:
        """What the cloud says of one instance."""
        (page,) = self.api.describe_instances(InstanceIds=[vm_id])["Reservations"]
        told: str = page["Instances"][0]["State"]["Name"]
        return told

    def until(self, vm_id: str, state: str) -> None:
        """Returns when an instance is in a state."""
        give_up = time.monotonic() + _TIMEOUT
        while self.state(vm_id) != state:
            assert time.monotonic() < give_up, f"{vm_id} is {self.state(vm_id)}, not {state}"
            time.sleep(0.01)

    def left(self) -> dict[str, list[str]]:
        """All that costs money or would be in somebody's way."""
        requests = self.api.describe_spot_instance_requests()["SpotInstanceRequests"]
        alive = {"open", "active", "disabled"}
        found = {
            "instances": [each["InstanceId"] for each in self.instances()],
            "volumes": [each["VolumeId"] for each in self.api.describe_volumes()["Volumes"]],
            "interfaces": [
                each["NetworkInterfaceId"]
                for each in self.api.describe_network_interfaces()["NetworkInterfaces"]
            ],
            "requests": [r["SpotInstanceRequestId"] for r in requests if r["State"] in alive],
            "keys": [each["KeyName"] for each in self.api.describe_key_pairs()["KeyPairs"]],
        }
        return {kind: ids for kind, ids in found.items() if ids}


def nested(parameters: Mapping[str, str]) -> dict[str, Any]:
    """A query's `Tag.1.Key` and the like as dicts and lists."""
    tree: dict[str, Any] = {}
    for path, value in parameters.items():
        *inner, last = path.split(".")
        place = tree
        for step in inner:
            place = place.setdefault(step, {})
        place[last] = value
    found: dict[str, Any] = _lists(tree)
    return found


def _lists(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if tree and all(_NUMBERED.match(key) for key in tree):
        return [_lists(tree[key]) for key in sorted(tree, key=int)]
    return {key: _lists(value) for key, value in tree.items()}


def tags_for(request: Mapping[str, Any], kind: str = "instance") -> dict[str, str]:
    """The tags that a RunInstances request puts on one kind of thing; empty if none."""
    for each in request["TagSpecification"]:
        if each["ResourceType"] == kind:
            return {tag["Key"]: tag["Value"] for tag in each["Tag"]}
    return {}
