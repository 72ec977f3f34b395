"""Names given later: each VM of a batch gets its own `Name` and `vmops-vm`, one CreateTags each.

Nothing relies on it: it is done while somebody waits anyway, well within the ten CreateTags a
second that EC2 allows, and a VM that is left out is found by its batch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from vmops import VM, Tags
from vmops_aws.client import Clients
from vmops_aws.errors import NotEc2Error
from vmops_aws.instances import Instances, tags_of

__all__ = ["Labels"]

_PER_SECOND: Final = 5.0
_AT_ONCE: Final = 20.0


class Labels:
    """Writes tags on the VMs of one connection.

    Args:
        clients: EC2.
        instances: Knows which VMs have no names of their own, and what belongs to a VM.
    """

    def __init__(self, clients: Clients, instances: Instances) -> None:
        """Write nothing yet."""
        self._clients = clients
        self._instances = instances
        self._saved = _AT_ONCE
        self._at = time.monotonic()
        self._slowest = 0.0

    def catch_up(self, seconds: float) -> None:
        """Name some of the VMs that have no names of their own, for at most `seconds`."""
        now = time.monotonic()
        self._saved = min(self._saved + (now - self._at) * _PER_SECOND, _AT_ONCE)
        self._at = now
        self._slowest /= 2  # so that a slow one is tried again some looks later
        while self._instances.nameless and self._saved >= 1:
            began = time.monotonic()
            if began + 2 * self._slowest > now + seconds:
                return  # nobody's look is to wait for this
            self._saved -= 1
            id_, name = self._instances.nameless.popitem()
            self._write([id_], {"vmops-vm": name, "Name": name})
            self._slowest = max(self._slowest, time.monotonic() - began)

    def claim(self, instance: str, tags: Tags) -> None:
        """Write ownership tags on an instance that has none."""
        self._write([instance], tags.to_dict())

    def rewrite(self, vm: VM, tags: Tags) -> None:
        """Write ownership tags on a VM, and on its disks, interfaces and spot request."""
        instance = next(self._instances.raw({"instance-id": [vm.id]}), None)
        if instance is None:  # without it, its place in its batch and its disks are unknown
            raise NotEc2Error(f"aws: describe_instances: {vm.id} is not shown at the moment")
        index = instance.get("AmiLaunchIndex", 0)
        written = {**tags.to_dict(), "vmops-sequence": str(tags.sequence - index)}
        self._write([vm.id, *_belongings(instance)], written)

    def _write(self, resources: list[str], tags: Mapping[str, str]) -> None:
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        self._clients.call("create_tags", Resources=resources, Tags=pairs)


def _belongings(instance: Mapping[str, Any]) -> list[str]:
    """The ids of what was made with an instance and carries its tags."""
    disks = (d.get("Ebs", {}).get("VolumeId") for d in instance.get("BlockDeviceMappings", ()))
    cards = (c.get("NetworkInterfaceId") for c in instance.get("NetworkInterfaces", ()))
    persistent = tags_of(instance).get("vmops-spot") == "persistent"
    request = instance.get("SpotInstanceRequestId") if persistent else None
    return [id_ for id_ in (*disks, *cards, request) if id_]
