"""Clouds that differ in what makes a create idempotent: a token, a name, a resource id, nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from simulator.machines import Machine
from simulator.network import SdkError
from simulator.nova import Nova
from simulator.world import Cloud, Shape, World
from vmops import (
    VM,
    Failed,
    Handle,
    Next,
    Operation,
    Pending,
    Progress,
    State,
    Succeeded,
    Tags,
    Target,
    hookimpl,
)
from vmops.errors import NotFound
from vmops.semantics import POWER_CYCLE

__all__ = ["CLOUDS", "Arm", "Ec2", "Gce", "Nova", "plugin_for"]

_DAY: Final = 24 * 3600.0
_HOUR: Final = 3600.0


@dataclass(slots=True)
class _Launch:
    """What EC2 remembers of one ClientToken."""

    request: object
    machines: list[Machine]


class Ec2(Cloud):
    """No unique names; `ClientToken` is the key; what is described lags behind what there is."""

    name = "ec2"
    lag = 30.0
    stale = 15.0
    shown_for = _HOUR  # as terminated
    launches: ClassVar[dict[str, _Launch]]

    def provision(self, vm: Target[Shape], token: str) -> Handle:
        return self.provision_many([vm], token)[0]

    def provision_many(self, vms: Sequence[Target[Shape]], token: str) -> list[Handle]:
        tags = [vm.tags for vm in vms if vm.tags is not None]
        params = vms[0].params
        names = ",".join(tag.vm for tag in tags)
        return self._send("provision", names, lambda: self._run_instances(tags, params, token))

    def _run_instances(self, tags: list[Tags], params: Shape, token: str) -> list[Handle]:
        request = (params, tuple(tags))
        launch = self._remembered(token)
        if launch is None:
            there = [self.world.add(self.world.new_id("i-"), tag, self.lag) for tag in tags]
            launch = self.launches[token] = _Launch(request, there)
        elif launch.request != request:
            raise SdkError("IdempotentParameterMismatch")
        elif all(not m.alive(self.world.now) for m in launch.machines):
            raise SdkError("IdempotentInstanceTerminated")
        return [{"vmId": machine.id} for machine in launch.machines]

    def _remembered(self, token: str) -> _Launch | None:
        """The launch with this token; forgotten a day after the last of it was terminated."""
        launch = self.launches.get(token)
        if launch is None:
            return None
        now = self.world.now
        ended = max(m.changes[-1][0] for m in launch.machines)
        dead = all(m.state(now) is State.ABSENT for m in launch.machines)
        return None if dead and now - ended > _DAY else launch

    def _reboot(self, machine: Machine) -> None:
        self._turn("restart", machine, State.RUNNING, State.RUNNING)  # it never seems to be off

    def _there(self, vm: VM) -> Machine:
        machine = self.world.machines.by_id(vm.id)
        if machine is None or machine.visible > self.world.now:
            raise SdkError("NotFound")  # InvalidInstanceID.NotFound: perhaps just too young
        return machine


class _WithOperations(Cloud):
    """A cloud that keeps a record of each operation for an hour."""

    operations: ClassVar[dict[str, tuple[float, State, Machine]]]

    def _handle(self, machine: Machine, verb: str) -> Handle:
        name = self.world.new_id("operation-")
        ended, goal = machine.changes[-1]
        self.operations[name] = (max(ended, self.world.now), goal, machine)
        return {"vmId": machine.id, "operation": name}

    def poll(self, operations: Sequence[Operation], timeout: float) -> Mapping[str, Progress]:
        return self.world.network.ask("how operations stand", lambda: self._progress(operations))

    def _progress(self, operations: Sequence[Operation]) -> dict[str, Progress]:
        now, progress = self.world.now, dict[str, Progress]()
        for operation in operations:
            known = self.operations.get(operation.handle.get("operation", ""))
            if known is not None and now - known[0] < _HOUR:
                progress[operation.id] = self._stands(operation, *known)
        return progress

    def _stands(
        self, operation: Operation, ended: float, goal: State, machine: Machine
    ) -> Progress:
        if self.world.now < ended:
            return Pending()
        if goal is not State.ABSENT and machine.state(self.world.now) is State.ABSENT:
            return Failed(NotFound(f"VM {operation.vm!r} was deleted meanwhile"))
        if operation.mode == POWER_CYCLE and operation.phase == 1:
            return Next()
        return Succeeded()


class Gce(_WithOperations):
    """The name is the key; a request id is remembered for an hour, though its VM may be gone."""

    name = "gce"
    requests: ClassVar[dict[str, tuple[float, Handle]]]

    def _create(self, tags: Tags, params: Shape, token: str) -> Handle:
        since, answer = self.requests.get(token, (0.0, {}))
        if answer and self.world.now - since < _HOUR:
            return answer
        if self.world.machines.named(tags.vm, self.world.now) is not None:
            raise SdkError("alreadyExists")
        machine = self.world.add(self.world.new_id(""), tags, self.lag)
        answer = self._handle(machine, "provision")
        self.requests[token] = (self.world.now, answer)
        return answer

    def restart_phases(self, vm: Target[Shape]) -> int:
        return 2

    def _reboot(self, machine: Machine) -> None:
        self._turn("stop", machine, State.STOPPING, State.STOPPED)

    def _there(self, vm: VM) -> Machine:
        machine = self.world.machines.by_id(vm.id)
        if machine is None or machine.state(self.world.now) is State.ABSENT:
            raise SdkError("NotFound")
        return machine


class Arm(_WithOperations):
    """The name is all there is: no token, and a request that is late means whatever is there."""

    name = "arm"

    def _create(self, tags: Tags, params: Shape, token: str) -> Handle:
        if self.world.machines.named(tags.vm, self.world.now) is not None:
            raise SdkError("PreconditionFailed")  # If-None-Match: *
        machine = self.world.add(f"/vms/{tags.vm}", tags, self.lag)
        return self._handle(machine, "provision")

    def _there(self, vm: VM) -> Machine:
        machine = self.world.machines.named(vm.name, self.world.now)
        if machine is None:
            raise SdkError("NotFound")
        return machine


CLOUDS: Final[tuple[type[Cloud], ...]] = (Ec2, Gce, Arm, Nova)


@dataclass(frozen=True, slots=True)
class _Plugin:
    """What a distribution's entry point would load."""

    backend: type[Cloud]

    @hookimpl
    def vmops_backend(self) -> type[Cloud]:
        return self.backend


def plugin_for(cloud: str, world: World) -> object:
    """A plugin whose backend works in `world`."""
    base = next(cls for cls in CLOUDS if cls.name == cloud)
    memory: dict[str, Any] = {"launches": {}, "operations": {}, "requests": {}, "turns": set()}
    return _Plugin(type(base.__name__, (base,), {"world": world, **memory}))
