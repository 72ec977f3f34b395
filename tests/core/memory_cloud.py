"""A cloud in memory under a virtual clock: what the core's own tests drive."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, SecretStr

from vmops import (
    VM,
    Backend,
    Fault,
    Handle,
    LocalOnly,
    Params,
    Ref,
    Settings,
    State,
    StopMode,
    Tags,
    Target,
    VirtualClock,
    hookimpl,
)
from vmops.errors import (
    CloudError,
    Conflict,
    NoCapacity,
    NotFound,
    QuotaExceeded,
    Throttled,
    Unavailable,
)

_ENDS = {
    State.STARTING: State.RUNNING,
    State.STOPPING: State.STOPPED,
    State.DELETING: State.ABSENT,
}


class MemoryError_(Exception):  # noqa: N801, N818  (an SDK's exception, as SDKs name them)
    """What this cloud's 'SDK' raises."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Machine:
    """One VM."""

    name: str
    token: str
    tags: Tags | None
    state: State
    until: float
    started: float | None = None
    visible: float = 0.0
    holds_compute: bool = False
    known_as: str = ""  # its id, where it is not made of its name

    @property
    def id(self) -> str:
        return self.known_as or f"id-{self.name}"


@dataclass
class World:
    """The cloud's side: machines, calls seen, faults to come."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    account: str = "acct"
    delay: float = 10.0
    clock_ahead: float = 0.0
    lag: float = 0.0
    machines: dict[str, Machine] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    faults: dict[str, list[Callable[[], None] | Exception | str]] = field(
        default_factory=lambda: defaultdict(list)
    )
    phases: int = 2

    def enter(self, call: str) -> Callable[[], None]:
        """Count a call and meet the next fault planned for it; the rest runs after the call."""
        self.calls[call] += 1
        if not self.faults[call]:
            return lambda: None
        fault = self.faults[call].pop(0)
        if fault == "lost":
            return self._lose
        if isinstance(fault, Exception):
            raise fault
        if callable(fault):
            fault()
        return lambda: None

    @staticmethod
    def _lose() -> None:
        raise MemoryError_("ConnectionLost")

    def settle(self) -> None:
        """Let what is due have happened."""
        for machine in self.machines.values():
            if machine.state in _ENDS and machine.until <= self.clock.now():
                machine.state = _ENDS[machine.state]
                if machine.state is State.RUNNING:
                    machine.started = machine.until

    def alive(self) -> list[Machine]:
        """The machines that exist."""
        self.settle()
        return [m for m in self.machines.values() if m.state is not State.ABSENT]


class MemorySettings(Settings):
    """Where."""

    region: str = Field("here", description="Region.")
    endpoint: Annotated[str | None, LocalOnly] = Field(None, description="Where the cloud is.")


class MemoryParams(Params):
    """What."""

    vm_size: str = Field("small", description="Size.")
    user_data: SecretStr | None = Field(None, description="Data for the guest.")


class MemoryCloud(Backend[MemorySettings, MemoryParams]):
    """The backend."""

    name = "memory"
    world: World
    poll_interval = 1.0
    error_codes = {
        "Busy": Conflict,
        "ConnectionLost": Unavailable,
        "NoRoom": NoCapacity,
        "NotThere": NotFound,
        "Quota": QuotaExceeded,
        "SlowDown": Throttled,
    }

    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self.clock = self.world.clock
        self.horizon = self.world.lag

    def account(self) -> str:
        self.world.enter("account")
        return self.world.account

    def describe(self, refs: Sequence[Ref] | None) -> Iterable[VM]:
        after = self.world.enter("describe")
        seen = list(self._seen(refs))
        after()
        return seen

    def _seen(self, refs: Sequence[Ref] | None) -> Iterator[VM]:
        ids = {r.id for r in refs or () if r.id}
        names = {r.name for r in refs or () if not r.id}
        for m in self.world.alive():
            asked = refs is None or m.id in ids or m.name in names
            if m.visible <= self.world.clock.now() and asked:
                started = m.started if m.state in {State.RUNNING, State.STOPPING} else None
                yield VM(
                    m.name,
                    m.state,
                    id=m.id,
                    holds_compute=m.holds_compute,
                    started=started,
                    tags=m.tags,
                    info={"privateIp": "10.0.0.1"},
                )

    def provision(self, vm: Target[MemoryParams], token: str) -> Handle:
        after = self.world.enter("provision")
        if not any(m.token == token for m in self.world.machines.values()):
            assert vm.tags is not None
            if any(m.name == vm.name for m in self.world.alive()):
                raise MemoryError_("Busy")
            now = self.world.clock.now()
            self.world.machines[token] = Machine(
                vm.name,
                token,
                vm.tags,
                State.STARTING,
                until=now + self.world.delay,
                visible=now + self.world.lag,
            )
        after()
        return {"vmId": f"id-{vm.name}"}

    def start(self, vm: Target[MemoryParams], token: str) -> Handle:
        return self._move("start", vm, State.STOPPED, State.STARTING)

    def stop(self, vm: Target[MemoryParams], token: str, mode: StopMode) -> Handle:
        handle = self._move("stop", vm, State.RUNNING, State.STOPPING)
        self._find(vm).holds_compute = mode == "keep"
        return handle

    def restart_phases(self, vm: Target[MemoryParams]) -> int:
        return self.world.phases

    def restart(self, vm: Target[MemoryParams], token: str) -> Handle:
        return self._move("restart", vm, State.RUNNING, State.STOPPING)

    def deprovision(self, vm: Target[MemoryParams], token: str) -> Handle:
        return self._move("deprovision", vm, None, State.DELETING)

    def retag(self, vm: VM, tags: Tags) -> None:
        self.world.enter("retag")
        self._find(Target(vm, MemoryParams())).tags = tags

    def cloud_time(self) -> float:
        return self.world.clock.now() + self.world.clock_ahead

    def explain(self, error: Exception) -> Fault | None:
        if isinstance(error, MemoryError_):
            return Fault(error.code, f"the cloud says {error.code}")
        return None

    def _find(self, vm: Target[MemoryParams]) -> Machine:
        for machine in self.world.alive():
            if machine.id == vm.id or (not vm.id and machine.name == vm.name):
                return machine
        raise MemoryError_("NotThere")

    def _move(
        self, call: str, vm: Target[MemoryParams], wanted: State | None, goal: State
    ) -> Handle:
        after = self.world.enter(call)
        machine = self._find(vm)
        if wanted is not None and machine.state is not wanted:
            raise MemoryError_("Busy")
        machine.state, machine.until = goal, self.world.clock.now() + self.world.delay
        after()
        return {}


def plugin_for(world: World, name: str = "memory", **extras: Any) -> object:
    """A plugin whose backend works in `world`; `extras` become attributes of its class."""
    cls = type("Cloud", (MemoryCloud,), {"world": world, "name": name, **extras})

    class Plugin:
        @hookimpl
        def vmops_backend(self) -> type[MemoryCloud]:
            return cls

    return Plugin()


__all__ = ["CloudError", "Machine", "MemoryCloud", "MemoryError_", "World", "plugin_for"]
