"""The `gcp` backend: Compute Engine as the core wants it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from vmops import (
    VM,
    Backend,
    Bucket,
    Check,
    Fault,
    Handle,
    Limit,
    Operation,
    Progress,
    Ref,
    StopMode,
    Tags,
    Target,
)
from vmops.errors import TransientError
from vmops_gcp import images, labels, launch
from vmops_gcp.checkup import checks
from vmops_gcp.client import Compute
from vmops_gcp.errors import CODES, NotGceError, read
from vmops_gcp.machines import Machines
from vmops_gcp.operations import Operations, Record, request_id
from vmops_gcp.settings import GcpParams, GcpSettings
from vmops_gcp.waiting import Waiting

__all__ = ["GcpBackend"]

_CLIENT: Final = "InstancesClient"
_ATTEMPTS: Final = 8
"""Operations of one token that may have failed before one more is not asked for."""
_WRITES: Final = Limit(Bucket(900, 8))
_LIMITS: Final = dict.fromkeys(("provision", "start", "stop", "restart", "deprovision"), _WRITES)
_OWN_LIMITS: Final = dict.fromkeys(("read", "list", "wait"), Limit(Bucket(300, 18)))
"""1,500 requests of a kind are allowed in a minute ("API rate quotas", Compute Engine
documentation), at whatever pace: so many may leave at once that the rest of the minute is enough
for what follows, and some are left for whoever else works in the project."""


class GcpBackend(Backend[GcpSettings, GcpParams]):
    """Virtual machines on Google Compute Engine, with application default credentials."""

    name = "gcp"
    error_codes = CODES
    horizon = 30.0
    poll_timeout = 600.0
    stop_modes = ("release",)  # a stopped VM holds no compute on GCE
    confirms_restart = False
    limits = _LIMITS
    own_limits = _OWN_LIMITS

    def __init__(self, settings: GcpSettings) -> None:
        """Import no SDK and ask nothing yet."""
        super().__init__(settings)
        self.poll_interval = settings.tick
        self._compute = Compute(settings, self.pay)
        self._machines = Machines(self._compute)
        self._operations = Operations(self._compute)
        self._waiting = Waiting(self._machines, self._operations)

    @classmethod
    def doctor(cls, settings: GcpSettings) -> Iterable[Check]:
        """Whether the SDK is here, and what these credentials may see."""
        return checks(settings)

    def account(self) -> str:
        """The project. Every request names it, so every answer proves that it was meant."""
        return self.settings.project

    def cloud_time(self) -> float:
        """GCE's clock."""
        return self._compute.now()

    def describe(self, refs: Sequence[Ref] | None) -> Iterable[VM]:
        """The VMs by id or name, or all of ours in the zone."""
        return self._machines.ours() if refs is None else self._machines.describe(refs)

    def resolve(self, params: GcpParams) -> GcpParams:
        """An alias becomes the path of an image or of a family."""
        image = images.resolved(params.image, params.vm_size, self.settings.project)
        return params.model_copy(update={"image": image})

    def provision(self, vm: Target[GcpParams], token: str) -> Handle:
        """Insert the VM; a request that GCE has had already is answered with its operation."""
        body = launch.request(vm, self.settings)
        try:
            record = self._sent("insert_unary", vm, token, instance_resource=body)
        except Exception as exc:
            fault = read(exc)
            if fault is not None and fault.code == "alreadyExists":
                made = self._machines.get(vm.name)
                if made is not None and made.tags is not None and made.tags.token == token:
                    id_ = request_id("insert_unary", f"{token}/{vm.name}")
                    return {"vmId": made.id, **self._operations.handle_of_request(id_)}
            raise
        if not record.target_id:
            raise NotGceError("the answer to a create does not tell the new VM's id")
        return record.handle()

    def start(self, vm: Target[GcpParams], token: str) -> Handle:
        """Start a VM that is TERMINATED, GCE's word for stopped."""
        return self._asked("start_unary", vm, token)

    def stop(self, vm: Target[GcpParams], token: str, mode: StopMode) -> Handle:  # noqa: ARG002
        """Stop, which releases the compute."""
        return self._asked("stop_unary", vm, token, **_discarding(vm.params))

    def restart(self, vm: Target[GcpParams], token: str) -> Handle:
        """Reset, or the stop that begins a power cycle."""
        if self.restart_phases(vm) > 1:
            return self._asked("stop_unary", vm, token, **_discarding(vm.params))
        return self._asked("reset_unary", vm, token)

    def restart_phases(self, vm: Target[GcpParams]) -> int:
        """2 for a power cycle."""
        return 2 if vm.params.restart_mode == "power-cycle" else 1

    def deprovision(self, vm: Target[GcpParams], token: str) -> Handle:
        """Delete the VM; its boot disk goes with it, and so does an address it was given."""
        return self._asked("delete_unary", vm, token)

    def poll(self, operations: Sequence[Operation], timeout: float) -> Mapping[str, Progress]:
        """What GCE's records of the operations say."""
        return self._waiting.progress(operations, self.clock.now(), timeout)

    def retag(self, vm: VM, tags: Tags) -> None:
        """Merge the labels into those of the VM and its disk."""
        labels.rewrite(self._compute, self._operations, vm, tags)

    def explain(self, error: Exception) -> Fault | None:
        """What an exception of Google's libraries says."""
        return read(error)

    def close(self) -> None:
        """Close the clients' sockets."""
        self._compute.close()

    def _asked(self, method: str, vm: Target[GcpParams], token: str, **fields: Any) -> Handle:  # noqa: ANN401
        return self._sent(method, vm, token, instance=vm.id or vm.name, **fields).handle()

    def _sent(self, method: str, vm: Target[GcpParams], token: str, **fields: Any) -> Record:  # noqa: ANN401
        """The operation that a verb has begun, and that has not failed yet.

        A token may be that of an earlier attempt, whose operation GCE answers with. Where that one
        has failed, and to ask again may help, the next request takes its id from it.
        """
        key = f"{token}/{vm.id or vm.name}"
        for attempt in range(1, _ATTEMPTS + 1):
            id_ = request_id(method, key)
            record = Record(self._compute.call(_CLIENT, method, request_id=id_, **fields))
            error = record.error(vm.name)
            if error is None:
                self._waiting.begun(record)
                return record
            again = method == "delete_unary" or isinstance(error, TransientError)
            if not again or attempt == _ATTEMPTS:
                raise error
            key = record.name
        raise AssertionError("unreachable")


def _discarding(params: GcpParams) -> dict[str, bool]:
    """A stop's option, left out where it is not wanted: GCE refuses to lose data then."""
    return {"discard_local_ssd": True} if params.discard_local_ssd else {}
