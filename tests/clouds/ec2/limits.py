"""The request limits that AWS publishes: buckets of calls and of instances, for each action."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ec2.errors import Refused
from ec2.world import world


@dataclass
class _Bucket:
    size: float
    refill: float
    left: float
    at: float

    def take(self, count: int, now: float) -> bool:
        self.left = min(self.size, self.left + (now - self.at) * self.refill)
        self.at = now
        if self.left < count:
            return False
        self.left -= count
        return True


# (size, refill a second): each action has a bucket of its own
_CALLS = {
    "RunInstances": (5, 2),
    "StartInstances": (5, 2),
    "TerminateInstances": (100, 5),
}
_READS, _BARE_LISTS, _CHANGES = (100, 20), (50, 10), (50, 5)
_INSTANCES = {
    "RunInstances": (1000, 2),
    "StartInstances": (1000, 2),
    "StopInstances": (1000, 20),
    "TerminateInstances": (1000, 20),
}


def _calls(action: str, parameters: dict[str, Any]) -> tuple[str, tuple[int, int]]:
    if not action.startswith("Describe"):
        return action, _CALLS.get(action, _CHANGES)
    narrow = ("Filter.", "MaxResults", "InstanceId.", "SpotInstanceRequestId.", "ImageId.")
    if any(name.startswith(narrow) for name in parameters):
        return action, _READS
    return f"{action}, all", _BARE_LISTS


def _instances(action: str, parameters: dict[str, Any]) -> int:
    if action == "RunInstances":
        return int(parameters.get("MaxCount", 1))
    return sum(name.startswith("InstanceId.") for name in parameters)


def limit(scope: str, action: str, parameters: dict[str, Any]) -> None:
    """Refuses the call if a bucket is empty; a call takes of both kinds."""
    factor = world.settings.rate_limits
    if not factor:
        return
    name, calls = _calls(action, parameters)
    wanted = [(f"calls of {name}", calls, 1)]
    if action in _INSTANCES:
        wanted.append(
            (f"instances of {action}", _INSTANCES[action], _instances(action, parameters))
        )
    for name, (size, refill), count in wanted:
        now = world.now()
        bucket = world.buckets.setdefault((scope, name), _Bucket(size, refill * factor, size, now))
        bucket.refill = refill * factor
        if not bucket.take(count, now):
            raise Refused("RequestLimitExceeded", "Request limit exceeded.", 503)
