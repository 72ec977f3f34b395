"""What these tests do over and over: VMs made and waited for; calls, rows, what is left."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from vmops import Status, VMOps
from vmops.plugins import Registry

__all__ = ["QUICK", "Scene", "nested", "tags_for"]

QUICK = dict.fromkeys(("run", "start", "stop", "terminate", "relaunch"), 0.02)
"""Seconds that the stand-in takes for each verb."""

_REGISTRY = Registry()  # what is installed is read once
_TIMEOUT = 20.0
_NUMBERED = re.compile(r"\d+\Z")


class Scene:
    """The stand-in, and vmops over it.

    Args:
        cloud: The stand-in as new.
        config: What leads vmops to it.
        folder: Where the journal is.
    """

    def __init__(self, cloud: Any, config: dict[str, Any], folder: Path) -> None:
        self.cloud = cloud
        self.config = config
        self.journal = folder / "journal" / "journal.db"
        self.api = cloud.client("ec2")
        self.image = cloud.image()
        self._opened: list[VMOps] = []
        cloud.settings(**QUICK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes whatever was opened."""
        while self._opened:
            self._opened.pop().close()

    def open(self, journal: Path | None = None, **config: Any) -> VMOps:
        """What tests call, over the stand-in; with the scene's journal if no other is given."""
        together = {**self.config, **config}
        ops = VMOps(together, journal=journal or self.journal, registry=_REGISTRY)
        self._opened.append(ops)
        return ops

    # -- verbs ------------------------------------------------------------------------------------

    def params(self, name: str = "web-1", **more: Any) -> dict[str, Any]:
        """Params of a VM whose image needs no look-up of an alias."""
        return {"vmName": name, "image": self.image, **more}

    def wait(self, ops: VMOps, answer: tuple[Any, Any], **more: Any) -> Any:
        """The result of a verb that must succeed, waited for if need be."""
        status, result = self.end(ops, answer, **more)
        assert status is Status.SUCCEEDED, f"{status}: {result.error!r}"
        return result

    @staticmethod
    def end(ops: VMOps, answer: tuple[Any, Any], **more: Any) -> tuple[Any, Any]:
        """The end of a verb, waited for if need be."""
        status, result = answer
        if status is Status.PENDING:
            return ops.wait_vm_operation({**result, "pollTimeout": _TIMEOUT, **more})
        return status, result

    def up(self, ops: VMOps, name: str = "web-1", **more: Any) -> str:
        """The id of a new VM that runs."""
        vm_id: str = self.wait(ops, ops.vm_provision(self.params(name, **more)))["vmId"]
        return vm_id

    def asked(
        self, ops: VMOps, verb: str, names: Sequence[str], **more: Any
    ) -> dict[str, tuple[Any, Any]]:
        """The answers to a verb on VMs of these names."""
        extra = {"image": self.image} if verb == "provision" else {}
        params = [{"vmName": name, **extra, **more} for name in names]
        answers = ops.run_many(verb, params)
        return {names[index]: (status, result) for index, status, result in answers}

    def ended(self, ops: VMOps, answers: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
        """The results of a verb on many VMs, by name, all of which must succeed."""
        names = list(answers)
        for name, (status, result) in answers.items():
            assert status is Status.PENDING, f"{name}: {status}: {result.error!r}"
        pending = [{**answers[name][1], "pollTimeout": _TIMEOUT} for name in names]
        found: dict[str, Any] = {}
        for index, status, result in ops.wait_many(pending):
            assert status is Status.SUCCEEDED, f"{names[index]}: {status}: {result.error!r}"
            found[names[index]] = result
        return found

    def all(self, ops: VMOps, verb: str, names: Sequence[str], **more: Any) -> dict[str, Any]:
        """The results of a verb on many VMs that was waited for."""
        return self.ended(ops, self.asked(ops, verb, names, **more))

    # -- what the cloud was asked -----------------------------------------------------------------

    def actions(self) -> list[str]:
        """The names of all calls so far, in order."""
        return [call["action"] for call in self.cloud.calls()]

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """A list that holds, in the end, the calls made within."""
        before = len(self.cloud.calls())
        made: list[str] = []
        yield made
        made += self.actions()[before:]

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

    def rows(self) -> dict[str, dict[str, Any]]:
        """What the journal holds, by the VM's name."""
        with closing(sqlite3.connect(self.journal)) as connection:
            connection.row_factory = sqlite3.Row
            return {row["vm"]: dict(row) for row in connection.execute("select * from vms")}

    def states(self) -> dict[str, str]:
        """The states of the journal's rows, by the VM's name."""
        return {name: row["state"] for name, row in self.rows().items()}


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
