"""Persistent spot requests: they outlive their instances, and launch new ones until cancelled.

So a request of ours without an instance that is seen to be ours is shown as a VM of its own, whose
id is the request's: recovery and reaping find it, and deleting it cancels the request.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from vmops import VM, State, Tags
from vmops_aws.client import Clients, Filters, chunks
from vmops_aws.instances import Instances, ownership, tags_of

__all__ = ["SpotRequests", "is_request"]

_log = logging.getLogger("vmops.aws")

_REQUEST = re.compile(r"sir-[0-9a-z]{8,17}\Z")
_LIVE: Final = ["open", "active", "disabled"]
_GOING: Final = frozenset({State.ABSENT, State.DELETING})


def is_request(id_: str) -> bool:
    """Whether an id is a spot request's."""
    return _REQUEST.match(id_) is not None


class SpotRequests:
    """The persistent spot requests of one connection.

    Args:
        clients: EC2.
        instances: Shows what they have launched.
    """

    def __init__(self, clients: Clients, instances: Instances) -> None:
        """Ask nothing yet."""
        self._clients = clients
        self._instances = instances

    def orphans(self, instances: Collection[str]) -> Iterator[VM]:
        """Our live requests that none of these instances belongs to."""
        requests = self._raw({"tag-key": ["vmops-owner"], "state": _LIVE})
        return self._shown([r for r in requests if r.get("InstanceId") not in instances])

    def by_token(self, tokens: Sequence[str]) -> Iterator[VM]:
        """Our live requests that were made with these idempotency tokens."""
        for some in chunks(tokens):
            yield from self._shown(list(self._raw({"tag:vmops-token": some, "state": _LIVE})))

    def by_id(self, ids: Sequence[str]) -> Iterator[VM]:
        """These requests under their own ids, ended ones included."""
        for some in chunks(ids):
            requests = list(self._raw({"spot-instance-request-id": some}))
            for request, vm in zip(requests, self._shown(requests), strict=True):
                yield replace(vm, id=request["SpotInstanceRequestId"])

    def told_apart(self, vms: Sequence[VM]) -> list[VM]:
        """The VMs; one that is gone, and whose request will bring another, is a FAILED one."""
        ended = [vm for vm in vms if vm.state in _GOING and vm.info.get("spotMode") == "persistent"]
        tokens = sorted({vm.tags.token for vm in ended if vm.tags is not None})
        live = {vm.info.get("spotRequest", vm.id) for vm in self.by_token(tokens)}
        lost = {vm.id for vm in ended if vm.info.get("spotRequest") in live}
        return [replace(vm, state=State.FAILED) if vm.id in lost else vm for vm in vms]

    def end(
        self, ids: Sequence[str], own: Collection[str], claim: Callable[[str, Tags], None]
    ) -> list[str]:
        """Let requests launch nothing any more; what they have launched besides these instances.

        Args:
            ids: The requests.
            own: The instances that are known, and deleted next.
            claim: Writes tags on an instance, of which else only its request says that it is ours.
        """
        if not ids:
            return []
        for instance, tags in self._launched(ids, own):
            if tags is not None:
                claim(instance, tags)
        self._clients.call("cancel_spot_instance_requests", SpotInstanceRequestIds=list(ids))
        return [instance for instance, _ in self._launched(ids, own)]  # one more, meanwhile?

    def _launched(
        self, ids: Sequence[str], own: Collection[str]
    ) -> Iterator[tuple[str, Tags | None]]:
        """The living instances of these requests besides known ones, and the requests' tags."""
        requests = {
            request["InstanceId"]: ownership(tags_of(request), 0)
            for some in chunks(ids)
            for request in self._raw({"spot-instance-request-id": some})
            if request.get("InstanceId") and request["InstanceId"] not in own
        }
        for vm in self._instances.by_id(list(requests)):
            if vm.state not in _GOING:
                yield vm.id, requests[vm.id]

    def _raw(self, filters: Filters) -> Iterator[dict[str, Any]]:
        from botocore.exceptions import ClientError

        operation, key = "describe_spot_instance_requests", "SpotInstanceRequests"
        try:
            yield from self._clients.pages(operation, key, filters)
        except ClientError as exc:
            if exc.response["Error"]["Code"] != "UnauthorizedOperation":
                raise
            # who never asks for spot VMs need not be allowed to see requests
            _log.warning("aws: spot requests without VMs cannot be seen: %s", exc)

    def _shown(self, requests: Sequence[Mapping[str, Any]]) -> Iterator[VM]:
        """The requests as VMs, each in the state of what it has launched."""
        launched = [request["InstanceId"] for request in requests if request.get("InstanceId")]
        seen = {vm.id: vm for vm in self._instances.by_id(launched)}
        for request in requests:
            yield _vm(request, seen.get(request.get("InstanceId", "")))


def _vm(request: Mapping[str, Any], instance: VM | None) -> VM:
    if instance is not None and instance.tags is not None and instance.state not in _GOING:
        return instance
    tags = ownership(tags_of(request), 0)
    id_ = request["SpotInstanceRequestId"]
    live = request.get("State") in _LIVE
    info: dict[str, Any] = {"spotRequest": id_, "spotMode": "persistent"}
    shown = VM(
        tags.vm if tags is not None else id_,
        State.STARTING if live else State.ABSENT,
        id=id_,
        tags=tags,
        info=info,
    )
    if instance is None:  # if it is there all the same, EC2 does not show it yet
        return replace(shown, id=request.get("InstanceId") or id_) if live else shown
    if instance.state in _GOING:
        return shown
    # launched in place of one that ended: not tagged as ours
    return replace(
        shown, state=instance.state, info={**instance.info, **info, "instance": instance.id}
    )
