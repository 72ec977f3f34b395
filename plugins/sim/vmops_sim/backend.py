"""The `sim` backend: `vmops_sim.cloud` as the core wants it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from vmops import (
    VM,
    Backend,
    Bucket,
    Clock,
    Failed,
    Fault,
    Handle,
    Limit,
    Next,
    Operation,
    Pending,
    Progress,
    Ref,
    State,
    StopMode,
    Succeeded,
    SystemClock,
    Tags,
    Target,
    VirtualClock,
)
from vmops.errors import (
    AuthError,
    CloudError,
    Conflict,
    InvalidRequest,
    NoCapacity,
    NotFound,
    NotSupported,
    Preempted,
    QuotaExceeded,
    Throttled,
    Unavailable,
)
from vmops_sim.cloud import CODES, Behaviour, Order, SimCloud
from vmops_sim.errors import SimError
from vmops_sim.script import Duration, FaultScript
from vmops_sim.settings import SimParams, SimSettings
from vmops_sim.world import FileStore, Machine, MemoryStore, SimOperation, Store

__all__ = ["SimBackend"]


class SimBackend(Backend[SimSettings, SimParams]):
    """A simulated cloud: nothing runs, everything can go wrong."""

    name = "sim"
    error_codes: ClassVar[Mapping[str, type[CloudError]]] = {
        "AuthFailure": AuthError,
        "ConnectionLost": Unavailable,
        "IdempotentParameterMismatch": Conflict,
        "IdempotentVMTerminated": Conflict,
        "IncorrectState": Conflict,
        "InsufficientCapacity": NoCapacity,
        "InternalError": Unavailable,
        "InvalidValue": InvalidRequest,
        "NameTaken": Conflict,
        "QuotaExceeded": QuotaExceeded,
        "SpotPreempted": Preempted,
        "Throttling": Throttled,
        "Unsupported": NotSupported,
        "VMNotFound": NotFound,
    }

    def __init__(self, settings: SimSettings) -> None:
        """Find the world; it is made if there is none of that name."""
        super().__init__(settings)
        store, self.clock = _world_of(settings)
        self.cloud = SimCloud(store, _behaviour(settings), self.clock.now, self.clock.sleep)
        longest = Duration.parse(settings.visible_after)
        self.horizon = 10 * max(longest.low, longest.high)
        self.poll_interval = settings.tick
        if settings.calls_per_second:
            rate = settings.calls_per_second
            limit = Limit(Bucket(rate * 5, rate))
            kinds = ("describe", "poll", "provision", "start", "stop", "restart", "deprovision")
            self.limits = dict.fromkeys(kinds, limit)
        if not settings.batch:
            for verb in ("provision", "start", "stop", "restart", "deprovision"):
                setattr(self, f"{verb}_many", None)  # as if it were not there

    @classmethod
    def shared_settings(cls, settings: SimSettings, folder: Path) -> dict[str, str]:
        """The settings that put a cloud of one process into a folder, where all can see it."""
        return {} if settings.state_dir else {"stateDir": str(folder)}

    def account(self) -> str:
        """The account in the settings, as the cloud confirms it."""
        return self.cloud.who_am_i(self.settings.account_id)

    def describe(self, refs: Sequence[Ref] | None) -> list[VM]:
        """The machines as the cloud shows them; a deleted one is an explicit ABSENT for a while."""
        if refs is None:
            return [_vm(m) for m in self.cloud.describe(None, (), tag="vmops-owner")]
        ids = [ref.id for ref in refs if ref.id]
        names = [ref.name for ref in refs if not ref.id]
        return [_vm(machine) for machine in self.cloud.describe(ids, names)]

    def provision(self, vm: Target[SimParams], token: str) -> Handle:
        """One create call."""
        return self._create([vm], token)[0]

    def start(self, vm: Target[SimParams], token: str) -> Handle:  # noqa: ARG002
        """One start call."""
        return _only(self._act("start", [vm]))

    def stop(self, vm: Target[SimParams], token: str, mode: StopMode) -> Handle:  # noqa: ARG002
        """One stop call."""
        return _only(self._act("stop", [vm], keep=mode == "keep"))

    def restart(self, vm: Target[SimParams], token: str) -> Handle:  # noqa: ARG002
        """One restart call, or the stop that begins a power cycle."""
        return _only(self._act("stop" if self.restart_phases(vm) > 1 else "restart", [vm]))

    def deprovision(self, vm: Target[SimParams], token: str) -> Handle:  # noqa: ARG002
        """One delete call."""
        return _only(self._act("deprovision", [vm]))

    def retag(self, vm: VM, tags: Tags) -> None:
        """One call that replaces the VM's tags."""
        self.cloud.retag(vm.id, tags.to_dict())

    def restart_phases(self, vm: Target[SimParams]) -> int:
        """2 for a power cycle."""
        return 2 if vm.params.restart_mode == "power-cycle" else 1

    def poll(self, operations: Sequence[Operation], timeout: float) -> Mapping[str, Progress]:  # noqa: ARG002
        """What the cloud says of operations, where it still knows them."""
        asked = {o.handle["op"]: o for o in operations if "op" in o.handle}
        if not self.settings.handles or not asked:
            return {}
        known = self.cloud.operations(asked)
        now = self.clock.now()
        return {o.id: _progress(o, known[op], now) for op, o in asked.items() if op in known}

    def explain(self, error: Exception) -> Fault | None:
        """What a SimError says."""
        if isinstance(error, SimError):
            return Fault(error.code, f"sim: {error.message}", retry_after=error.retry_after)
        return None

    def provision_many(self, vms: Sequence[Target[SimParams]], token: str) -> list[Handle]:
        """One create call for VMs that differ in name only."""
        return self._create(vms, token)

    def _create(self, vms: Sequence[Target[SimParams]], token: str) -> list[Handle]:
        made = self.cloud.create([_order(vm) for vm in vms], token)
        return [{**self._handle(op), "vmId": id_} for id_, op in made]

    def start_many(self, vms: Sequence[Target[SimParams]], token: str) -> list[Handle | CloudError]:  # noqa: ARG002
        """One start call."""
        return [self._told(answer) for answer in self._act("start", vms)]

    def stop_many(
        self,
        vms: Sequence[Target[SimParams]],
        token: str,  # noqa: ARG002
        mode: StopMode,
    ) -> list[Handle | CloudError]:
        """One stop call."""
        return [self._told(answer) for answer in self._act("stop", vms, keep=mode == "keep")]

    def restart_many(
        self,
        vms: Sequence[Target[SimParams]],
        token: str,  # noqa: ARG002
    ) -> list[Handle | CloudError]:
        """One restart call, or the stop that begins power cycles."""
        verb = "stop" if self.restart_phases(vms[0]) > 1 else "restart"
        return [self._told(answer) for answer in self._act(verb, vms)]

    def deprovision_many(
        self,
        vms: Sequence[Target[SimParams]],
        token: str,  # noqa: ARG002
    ) -> list[Handle | CloudError]:
        """One delete call."""
        return [self._told(answer) for answer in self._act("deprovision", vms)]

    def _act(
        self, action: str, vms: Sequence[Target[SimParams]], *, keep: bool = False
    ) -> list[Handle | SimError]:
        answers = self.cloud.act(action, [vm.id for vm in vms], keep=keep)
        return [a if isinstance(a, SimError) else self._handle(a) for a in answers]

    def _handle(self, operation: str) -> dict[str, str]:
        return {"op": operation} if self.settings.handles and operation else {}

    def _told(self, answer: Handle | SimError) -> Handle | CloudError:
        if not isinstance(answer, SimError):
            return answer
        kind = self.error_codes.get(answer.code, CloudError)
        return kind(f"sim: {answer.message}", provider_code=answer.code)


_worlds: dict[str, tuple[MemoryStore, Clock]] = {}
_worlds_lock = threading.Lock()


def _world_of(settings: SimSettings) -> tuple[Store, Clock]:
    """The store and clock of a world; those in memory are shared by all who name them."""
    if settings.state_dir is not None:
        return FileStore(settings.state_dir.absolute(), settings.world), SystemClock()
    key = f"{settings.clock}/{settings.world}"
    with _worlds_lock:
        if key not in _worlds:
            clock: Clock = VirtualClock() if settings.clock == "virtual" else SystemClock()
            _worlds[key] = MemoryStore(), clock
        return _worlds[key]


def _behaviour(settings: SimSettings) -> Behaviour:
    actions = ("provision", "start", "stop", "restart", "deprovision")
    return Behaviour(
        seed=settings.seed,
        durations={a: Duration.parse(getattr(settings, f"{a}_seconds")) for a in actions},
        visible_after=Duration.parse(settings.visible_after),
        api_seconds=Duration.parse(settings.api_seconds),
        quota=settings.quota,
        capacity=settings.capacity,
        calls_per_second=settings.calls_per_second,
        no_capacity=settings.no_capacity,
        server_errors=settings.server_errors,
        lost_answers=settings.lost_answers,
        fail_late=settings.fail_late,
        stuck=settings.stuck,
        forgotten=settings.forgotten,
        preempt_after=settings.preempt_after,
        unique_names=settings.unique_names,
        faults=FaultScript.parse(settings.faults, CODES),
    )


def _order(vm: Target[SimParams]) -> Order:
    params = vm.params
    return Order(
        name=vm.name,
        tags=vm.tags.to_dict() if vm.tags else {},
        size=params.vm_size,
        zone=params.zone,
        spot=params.spot,
        user_data=params.user_data.get_secret_value(),
    )


def _vm(machine: Machine) -> VM:
    error = None
    if machine.cause:
        kind = SimBackend.error_codes.get(machine.cause, CloudError)
        error = kind(f"sim: VM {machine.name!r}: {machine.cause}", provider_code=machine.cause)
    return VM(
        machine.name,
        State(machine.state),
        id=machine.id,
        holds_compute=machine.holds_compute,
        started=machine.started or None,
        tags=Tags.from_dict(machine.tags),
        info={"privateIp": machine.address, "vmSize": machine.size, "zone": machine.zone},
        error=error,
    )


def _progress(asked: Operation, found: SimOperation, now: float) -> Progress:
    if found.until > now:
        return Pending()
    if found.fails:
        kind = SimBackend.error_codes.get(found.fails, CloudError)
        message = f"sim: {found.action} failed: {found.fails}"
        return Failed(kind(message, provider_code=found.fails))
    # a power cycle's stop is over: the start is still to come
    return Next() if asked.mode == "power-cycle" and asked.phase == 1 else Succeeded()


def _only(answers: list[Handle | SimError]) -> Handle:
    (answer,) = answers
    if isinstance(answer, SimError):
        raise answer
    return answer
