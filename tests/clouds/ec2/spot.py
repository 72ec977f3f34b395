"""Spot requests: one for each spot instance, and what becomes of it with the instance."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from ec2.errors import Refused
from ec2.filters import select
from ec2.world import Home, world

_MESSAGES = {
    "fulfilled": "Your Spot request is fulfilled.",
    "instance-terminated-by-user": "Your Spot instance was terminated by the user.",
    "instance-stopped-by-user": "Your Spot instance was stopped by the user.",
    "instance-terminated-no-capacity": "Your instance was terminated: no Spot capacity.",
    "instance-stopped-no-capacity": "Your instance was stopped: no Spot capacity.",
    "request-canceled-and-instance-running": "Your Spot request is canceled, "
    "but your instance is still running.",
    "canceled-before-fulfillment": "Your Spot request is canceled before it was fulfilled.",
}


@dataclass
class SpotRequest:
    """What DescribeSpotInstanceRequests tells of, and what launches again if it persists."""

    backend: Any
    launch: dict[str, Any]
    kind: str = "one-time"
    behaviour: str = "terminate"
    id: str = field(default_factory=lambda: f"sir-{uuid4().hex[:8]}")
    state: str = "active"
    status: str = "fulfilled"
    machine: Any = None
    created: datetime = field(default_factory=world.moment)
    updated: datetime = field(default_factory=world.moment)

    @property
    def own_tags(self) -> dict[str, str]:
        """The request's tags, which are not the instance's."""
        tags: dict[str, str] = self.backend.tags.get(self.id, {})
        return tags

    @property
    def live(self) -> bool:
        """Whether the request can still bring an instance back."""
        return self.state in {"open", "active", "disabled"}

    def become(self, state: str, status: str) -> None:
        """Takes a state, unless the request has ended."""
        if self.live:
            self.state, self.status, self.updated = state, status, world.moment()

    def stopped(self, *, by_user: bool) -> None:
        """Its instance was stopped."""
        if by_user:
            self.become("disabled", "instance-stopped-by-user")
        else:
            self.become("open", "instance-stopped-no-capacity")

    def started(self) -> None:
        """Its instance was started."""
        self.become("active", "fulfilled")

    def ended(self, *, by_user: bool) -> bool:
        """Its instance was terminated. True if the request asks for another one."""
        status = "instance-terminated-by-user" if by_user else "instance-terminated-no-capacity"
        again = self.kind == "persistent"
        self.become("open" if again else "closed", status)
        return again

    def cancel(self) -> None:
        """Ends the request and leaves the instance alone."""
        running = self.machine is not None and self.machine.state != "terminated"
        what = "request-canceled-and-instance-running" if running else "canceled-before-fulfillment"
        self.become("cancelled", what)

    def record(self) -> dict[str, Any]:
        """What EC2 tells of it."""
        zone = self.machine.availability_zone if self.machine else None
        return {
            "SpotInstanceRequestId": self.id,
            "CreateTime": self.created,
            "InstanceId": self.machine.id if self.machine else None,
            "InstanceInterruptionBehavior": self.behaviour,
            "LaunchSpecification": {
                "ImageId": self.launch.get("ImageId"),
                "InstanceType": self.launch.get("InstanceType"),
            },
            "LaunchedAvailabilityZone": zone,
            "ProductDescription": "Linux/UNIX",
            "SpotPrice": "0.100000",
            "State": self.state,
            "Status": {
                "Code": self.status,
                "Message": _MESSAGES[self.status],
                "UpdateTime": self.updated,
            },
            "Tags": [{"Key": key, "Value": value} for key, value in self.own_tags.items()],
            "Type": self.kind,
        }


_GETTERS = {
    "spot-instance-request-id": lambda request: request.id,
    "instance-id": lambda request: request.machine and request.machine.id,
    "state": lambda request: request.state,
    "status-code": lambda request: request.status,
    "type": lambda request: request.kind,
    "launch.image-id": lambda request: request.launch.get("ImageId"),
    "launch.instance-type": lambda request: request.launch.get("InstanceType"),
}
_BEYOND = ("launch.", "network-interface.", "valid-", "fault-", "launched-", "create-", "product-")


def options(params: dict[str, Any]) -> tuple[str, str] | None:
    """The kind of request and what an interruption does, or None for an on-demand launch."""
    market = params.get("InstanceMarketOptions") or {}
    if not market:
        return None
    if market.get("MarketType") != "spot":
        raise Refused("InvalidParameterValue", f"Invalid value for MarketType: {market}")
    asked = market.get("SpotOptions") or {}
    kind = asked.get("SpotInstanceType", "one-time")
    behaviour = asked.get("InstanceInterruptionBehavior", "terminate")
    if (kind == "persistent") == (behaviour == "terminate"):
        raise Refused(
            "InvalidParameterCombination",
            f"The request with type '{kind}' is not supported when "
            f"instanceInterruptionBehavior is set to '{behaviour}'.",
        )
    return kind, behaviour


def _known(home: Home, ids: list[str]) -> list[SpotRequest]:
    missing = [each for each in ids if each not in home.spots]
    if missing:
        raise Refused(
            "InvalidSpotInstanceRequestID.NotFound",
            f"The spot instance request ID '{missing[0]}' does not exist",
        )
    return [home.spots[each] for each in ids]


def describe(
    home: Home, ids: list[str], filters: list[dict[str, Any]], page: tuple[Any, Any]
) -> dict[str, Any]:
    """A page of the requests, in the order in which they were made."""
    wanted = _known(home, ids) if ids else list(home.spots.values())
    found = select(wanted, filters, _GETTERS, _BEYOND)
    most, token = int(page[0] or 1000), int(page[1] or 0)
    following = str(token + most) if token + most < len(found) else None
    records = [each.record() for each in found[token : token + most]]
    return {"SpotInstanceRequests": records, "NextToken": following}


def cancel(home: Home, ids: list[str]) -> dict[str, Any]:
    """Cancels all of them or, if one is unknown, none."""
    wanted = _known(home, ids)
    for each in wanted:
        each.cancel()
    return {
        "CancelledSpotInstanceRequests": [
            {"SpotInstanceRequestId": each.id, "State": "cancelled"} for each in wanted
        ]
    }
