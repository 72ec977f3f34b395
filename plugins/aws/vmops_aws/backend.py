"""The `aws` backend: EC2 as the core wants it.

EC2 keeps no record of operations, so all of them are judged by their VMs' states.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from vmops import (
    VM,
    Backend,
    Bucket,
    Check,
    Fault,
    Handle,
    Limit,
    Ref,
    State,
    StopMode,
    Tags,
    Target,
)
from vmops.errors import CloudError, InvalidRequest, NotSupported
from vmops_aws import launch, names
from vmops_aws.checkup import checks
from vmops_aws.client import Clients
from vmops_aws.errors import CODES, NotEc2Error, read
from vmops_aws.images import Images
from vmops_aws.instances import Instances
from vmops_aws.labels import Labels
from vmops_aws.settings import AwsParams, AwsSettings
from vmops_aws.spot import SpotRequests, is_request

__all__ = ["AwsBackend"]

_BATCH: Final = 200
"""VMs of one RunInstances at most: all or none are made, and five such calls may leave at once."""
_IDS: Final = 1000
"""Ids of one call at most ("EC2 API pagination", EC2 developer guide)."""

_LIMITS: Final = {
    "describe": Limit(Bucket(100, 20), batch=_IDS),
    "provision": Limit(Bucket(5, 2), Bucket(1000, 2), batch=_BATCH),
    "start": Limit(Bucket(5, 2), Bucket(1000, 2), batch=_IDS),
    "stop": Limit(Bucket(50, 5), Bucket(1000, 20), batch=_IDS),
    "restart": Limit(Bucket(50, 5), batch=_IDS),
    "deprovision": Limit(Bucket(100, 5), Bucket(1000, 20), batch=_IDS),
}
"""As published: "Request throttling for the Amazon EC2 API", EC2 developer guide."""

_INSTANCE: Final = re.compile(r"i-[0-9a-f]{8,17}\Z")


class AwsBackend(Backend[AwsSettings, AwsParams]):
    """Virtual machines on Amazon EC2, with the credentials that AWS's own tools would find."""

    name = "aws"
    error_codes = CODES
    horizon = 60.0
    stop_modes = ("release",)  # a stopped VM holds no compute on EC2
    confirms_restart = False
    limits = _LIMITS

    def __init__(self, settings: AwsSettings) -> None:
        """Import no SDK and ask nothing yet."""
        super().__init__(settings)
        self.poll_interval = settings.tick
        self._clients = Clients(settings)
        self._images = Images(self._clients)
        self._instances = Instances(self._clients)
        self._labels = Labels(self._clients, self._instances)
        self._spot = SpotRequests(self._clients, self._instances)

    @classmethod
    def doctor(cls, settings: AwsSettings) -> Iterable[Check]:
        """Whether boto3 is here, and whose credentials these are."""
        return checks(settings)

    def account(self) -> str:
        """The account's twelve digits, as STS confirms them."""
        return self._clients.identity()[0]

    def cloud_time(self) -> float:
        """AWS's clock, from an answer of STS."""
        return self._clients.identity()[1]

    def describe(self, refs: Sequence[Ref] | None) -> Iterable[VM]:
        """The VMs as EC2 shows them; a terminated one is an explicit ABSENT for about an hour."""
        if refs is None:
            instances = list(self._instances.ours())
            return [*instances, *self._spot.orphans({vm.id for vm in instances})]
        seen = [*self._by_id([ref.id for ref in refs if ref.id]), *self._by_name(refs)]
        return self._spot.told_apart(seen)

    def describe_changed(self, refs: Sequence[Ref], states: frozenset[State]) -> Iterable[VM]:
        """One call for up to 200 VMs, or for up to 200 batches of VMs."""
        requests = self._spot.by_id([ref.id for ref in refs if is_request(ref.id)])
        changed = [vm for vm in requests if vm.state not in states]
        ids = [ref.id for ref in refs if _INSTANCE.match(ref.id)]
        return [*changed, *self._instances.by_id_unless_in(ids, states)]

    def resolve(self, params: AwsParams) -> AwsParams:
        """An alias becomes the AMI that it means now."""
        ami = self._images.resolve(params.image, params.vm_size)
        wants_disk = params.disk_size_gb is not None or params.disk_type is not None
        if wants_disk and not self._images.describe(ami).root:
            raise InvalidRequest(
                f"aws: {ami} has no EBS root disk", hint="leave out diskSizeGb and diskType"
            )
        return params.model_copy(update={"image": ami})

    def provision_parts(self, names_: Sequence[str], params: AwsParams) -> Iterable[Sequence[str]]:
        """What one tag can name. A persistent spot request has a VM of its own."""
        persistent = params.spot and params.spot_mode == "persistent"
        return names.parts(names_, 1 if persistent else _BATCH)

    def provision(self, vm: Target[AwsParams], token: str) -> Handle:
        """RunInstances for one VM."""
        return self.provision_many([vm], token)[0]

    def provision_many(self, vms: Sequence[Target[AwsParams]], token: str) -> list[Handle]:
        """RunInstances for VMs that differ in name only: all or none."""
        image = self._images.describe(vms[0].params.image)
        answer = self._clients.call("run_instances", **launch.request(vms, token, image))
        ids = launch.made(answer, len(vms))
        self._instances.made_together(dict(zip(ids, (vm.name for vm in vms), strict=True)), token)
        return [{"vmId": id_} for id_ in ids]

    def start(self, vm: Target[AwsParams], token: str) -> Handle:
        """StartInstances for one VM."""
        return _only(self.start_many([vm], token))

    def start_many(self, vms: Sequence[Target[AwsParams]], token: str) -> list[Handle | CloudError]:  # noqa: ARG002
        """StartInstances."""
        self._send("start_instances", "StartingInstances", [vm.id for vm in vms])
        return [{} for _ in vms]

    def stop(self, vm: Target[AwsParams], token: str, mode: StopMode) -> Handle:
        """StopInstances for one VM."""
        return _only(self.stop_many([vm], token, mode))

    def stop_many(
        self,
        vms: Sequence[Target[AwsParams]],
        token: str,  # noqa: ARG002
        mode: StopMode,  # noqa: ARG002
    ) -> list[Handle | CloudError]:
        """StopInstances, which gives the compute back."""
        refused = {vm.id: _one_time(vm) for vm in vms if vm.vm.info.get("spotMode") == "one-time"}
        for force in (False, True):
            ids = [vm.id for vm in vms if vm.id not in refused and vm.params.force is force]
            self._send(
                "stop_instances", "StoppingInstances", ids, **({"Force": True} if force else {})
            )
        return [refused.get(vm.id, {}) for vm in vms]

    def restart(self, vm: Target[AwsParams], token: str) -> Handle:
        """RebootInstances for one VM, or the stop that begins its power cycle."""
        return _only(self.restart_many([vm], token))

    def restart_many(
        self, vms: Sequence[Target[AwsParams]], token: str
    ) -> list[Handle | CloudError]:
        """RebootInstances, or the stop that begins power cycles."""
        if self.restart_phases(vms[0]) > 1:
            return self.stop_many(vms, token, "release")
        self._send("reboot_instances", "", [vm.id for vm in vms])
        return [{} for _ in vms]

    def restart_phases(self, vm: Target[AwsParams]) -> int:
        """2 for a power cycle."""
        return 2 if vm.params.restart_mode == "power-cycle" else 1

    def deprovision(self, vm: Target[AwsParams], token: str) -> Handle:
        """TerminateInstances for one VM."""
        return _only(self.deprovision_many([vm], token))

    def deprovision_many(
        self,
        vms: Sequence[Target[AwsParams]],
        token: str,  # noqa: ARG002
    ) -> list[Handle | CloudError]:
        """TerminateInstances, once no spot request can launch another in their place."""
        ids = [vm.id for vm in vms if not is_request(vm.id)]
        ids += self._spot.end(self._requests(vms), ids, self._labels.claim)
        self._send("terminate_instances", "TerminatingInstances", ids)
        for id_ in ids:
            self._instances.forget(id_)
        return [{} for _ in vms]

    def _requests(self, vms: Sequence[Target[AwsParams]]) -> list[str]:
        """The spot requests that must not outlive these VMs."""
        found = {
            vm.vm.info["spotRequest"]
            for vm in vms
            if "spotRequest" in vm.vm.info and vm.vm.info.get("spotMode") != "one-time"
        }
        # a VM that EC2 does not show yet may have a request all the same
        tokens = [vm.vm.tags.token for vm in vms if not vm.vm.info and vm.vm.tags is not None]
        unseen = self._spot.by_token(tokens)
        return sorted(found | {vm.info["spotRequest"] for vm in unseen if "spotRequest" in vm.info})

    def retag(self, vm: VM, tags: Tags) -> None:
        """CreateTags on the VM, its disks, its interfaces and its spot request."""
        self._labels.rewrite(vm, tags)

    def idle(self, seconds: float) -> None:
        """Give VMs that were made together names of their own."""
        self._labels.catch_up(seconds)

    def explain(self, error: Exception) -> Fault | None:
        """What an exception of boto3 says."""
        return read(error)

    def close(self) -> None:
        """Close the clients' sockets."""
        self._clients.close()

    def _by_id(self, ids: Sequence[str]) -> Iterator[VM]:
        yield from self._instances.by_id([id_ for id_ in ids if _INSTANCE.match(id_)])
        yield from self._spot.by_id([id_ for id_ in ids if is_request(id_)])

    def _by_name(self, refs: Sequence[Ref]) -> list[VM]:
        """By name; what a name does not show is looked for by its create's token."""
        seen = list(self._instances.by_name([ref.name for ref in refs if not ref.id]))
        tokens = {ref.token for ref in refs if ref.token and not ref.id}
        for look in (self._instances.by_token, self._spot.by_token):
            tokens -= {vm.tags.token for vm in seen if vm.tags is not None}
            seen += look(sorted(tokens))
        return seen

    def _send(self, operation: str, key: str, ids: Sequence[str], **more: object) -> None:
        """One call about these instances, whose answer must name them all."""
        if requests := [id_ for id_ in ids if is_request(id_)]:
            error = NotSupported(
                f"aws: {requests[0]} is a spot request whose VM has ended",
                hint="vm_deprovision cancels it",
            )
            error.vm_ids = frozenset(requests)
            raise error
        if not ids:
            return
        answer = self._clients.call(operation, InstanceIds=list(ids), **more)
        missing = {*ids} - {one.get("InstanceId") for one in answer.get(key, ())} if key else set()
        if missing:
            raise NotEc2Error(f"aws: {operation}: the answer does not tell of {min(missing)}")


def _one_time(vm: Target[AwsParams]) -> NotSupported:
    return NotSupported(
        f"aws: VM {vm.name!r} is a one-time spot VM, which EC2 cannot stop",
        hint="vm_deprovision it, or make it with spotMode=persistent",
    )


def _only(answers: Sequence[Handle | CloudError]) -> Handle:
    (answer,) = answers
    if isinstance(answer, CloudError):
        raise answer
    return answer
