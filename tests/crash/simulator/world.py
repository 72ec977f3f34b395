"""One simulated cloud and all that its kinds have in common: states, durations, records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import ClassVar, Final, TypeVar

from simulator.machines import Machine, Machines
from simulator.network import Network, SdkError
from simulator.scheduler import Clock, Scheduler, current
from vmops import (
    VM,
    Backend,
    Fault,
    Handle,
    Params,
    Ref,
    Settings,
    State,
    StopMode,
    Tags,
    Target,
)
from vmops.errors import Conflict, NotFound, Throttled, Unavailable

__all__ = ["HORIZON", "SKEW", "Cloud", "Place", "Shape", "World"]

T = TypeVar("T")

HORIZON: Final = 120.0
"""Seconds after which a VM that was asked for shows, or never will."""
SKEW: Final = 10.0
"""Of those, the seconds by which two clocks may differ."""

_DURATIONS: Final = {
    "provision": (5.0, 60.0),
    "start": (3.0, 20.0),
    "stop": (3.0, 20.0),
    "restart": (3.0, 20.0),
    "deprovision": (5.0, 30.0),
}


class Place(Settings):
    """Where."""


class Shape(Params):
    """What."""

    size: str = "small"


@dataclass(slots=True)
class World:
    """The cloud's side of one run.

    Args:
        scheduler: Virtual time, and chance.
        sent: When a create with this token was last made durable; None for an unknown token.
        sent_by: When this process last did so.
        deleting: Told of every deletion when it is sent; what it returns, when it arrives.
        made: Told of every new VM.
        latest: Seconds after which no request is under way any more.
    """

    scheduler: Scheduler
    sent: Callable[[str], float | None]
    sent_by: Callable[[str, str], float]
    deleting: Callable[[], Callable[[Machine], None]]
    made: Callable[[Machine], None]
    latest: float
    network: Network = field(init=False)
    clock: Clock = field(init=False)
    machines: Machines = field(default_factory=Machines)
    reboots: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    serial: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        self.network = Network(self.scheduler, self.latest)
        self.clock = Clock(self.scheduler)

    @property
    def now(self) -> float:
        return self.scheduler.now

    def duration(self, verb: str) -> float:
        return self.scheduler.fate.delay(*_DURATIONS[verb])

    def new_id(self, prefix: str) -> str:
        return f"{prefix}{next(self.serial)}"

    def add(self, id_: str, tags: Tags, lag: float) -> Machine:
        """A new VM, of which descriptions may say nothing for a while."""
        sent = self.sent(tags.token)
        late = sent is not None and self.now - sent > HORIZON - lag - SKEW
        visible = self.now + self.scheduler.fate.delay(0.0, lag)
        machine = Machine(id_, tags.vm, [(self.now, tags)], visible, late)
        machine.turn(self.now, State.STARTING, State.RUNNING, self.duration("provision"))
        self.machines.add(machine, self.now)
        self.made(machine)
        return machine


class Cloud(Backend[Place, Shape]):
    """A backend onto a World; its kinds say what names, tokens and ids mean."""

    world: ClassVar[World]
    lag: ClassVar[float] = 0.0
    """Seconds for which a description may not show a new VM."""
    stale: ClassVar[float] = 0.0
    """Seconds by which a description may be out of date."""
    shown_for: ClassVar[float] = 0.0
    """Seconds for which a description goes on to show a VM that is gone, as gone."""

    horizon = HORIZON
    poll_interval = 2.0
    poll_timeout = 120.0
    error_codes = {
        "ConnectionLost": Unavailable,
        "IdempotentInstanceTerminated": Conflict,
        "IdempotentParameterMismatch": Conflict,
        "IncorrectState": Conflict,
        "InternalError": Unavailable,
        "NotFound": NotFound,
        "PreconditionFailed": Conflict,
        "SlowDown": Throttled,
        "alreadyExists": Conflict,
    }

    def __init__(self, settings: Place) -> None:
        super().__init__(settings)
        self.clock = self.world.clock

    def account(self) -> str:
        return "account"

    def cloud_time(self) -> float:
        return self.world.network.ask("the time", lambda: self.world.now)

    def explain(self, error: Exception) -> Fault | None:
        if isinstance(error, SdkError):
            return Fault(error.code, f"the cloud says {error.code}")
        return None

    def describe(self, refs: Sequence[Ref] | None) -> Iterable[VM]:
        what = "for all VMs" if refs is None else f"for {[r.id or r.name for r in refs]}"
        return self.world.network.ask(what, lambda: self._described(refs))

    def _described(self, refs: Sequence[Ref] | None) -> list[VM]:
        at = self.world.now - self.world.scheduler.fate.delay(0.0, self.stale)
        names = {ref.name for ref in refs or () if not ref.id}
        ids = {ref.id for ref in refs or () if ref.id}
        return [
            self._shown(machine, at)
            for machine in self.world.machines.recent(self.world.now, self.shown_for)
            if machine.visible <= at
            and (refs is None or machine.id in ids or machine.name in names)
        ]

    def _shown(self, machine: Machine, at: float) -> VM:
        return VM(
            machine.name,
            machine.state(at),
            id=machine.id,
            holds_compute=machine.holds_compute,
            started=machine.booted(at),
            tags=machine.tags_at(at),
            info={"privateIp": "10.0.0.1"},
        )

    def provision(self, vm: Target[Shape], token: str) -> Handle:
        assert vm.tags is not None
        tags = vm.tags
        return self._send("provision", tags.vm, lambda: self._create(tags, vm.params, token))

    def _create(self, tags: Tags, params: Shape, token: str) -> Handle:
        raise NotImplementedError

    def start(self, vm: Target[Shape], token: str) -> Handle:
        def starts(machine: Machine) -> None:
            if machine.state(self.world.now) is State.STOPPED:
                self._turn("start", machine, State.STARTING, State.RUNNING)
            elif machine.state(self.world.now) not in {State.STARTING, State.RUNNING}:
                raise SdkError("IncorrectState")

        return self._act("start", vm, starts)

    def stop(self, vm: Target[Shape], token: str, mode: StopMode) -> Handle:
        def stops(machine: Machine) -> None:
            if machine.state(self.world.now) is State.RUNNING:
                self._turn("stop", machine, State.STOPPING, State.STOPPED)
                machine.holds_compute = mode == "keep"
            elif machine.state(self.world.now) not in {State.STOPPING, State.STOPPED}:
                raise SdkError("IncorrectState")

        return self._act("stop", vm, stops)

    def restart(self, vm: Target[Shape], token: str) -> Handle:
        call, serial = current().activity, next(self.world.serial)

        def restarts(machine: Machine) -> None:
            if machine.state(self.world.now) is not State.RUNNING:
                raise SdkError("IncorrectState")
            self.world.reboots[call].add(serial)
            self._reboot(machine)

        return self._act("restart", vm, restarts)

    def _reboot(self, machine: Machine) -> None:
        self._turn("restart", machine, State.STARTING, State.RUNNING)

    def deprovision(self, vm: Target[Shape], token: str) -> Handle:
        arrives = self.world.deleting()

        def deletes(machine: Machine) -> None:
            arrives(machine)
            if machine.alive(self.world.now):
                self._turn("deprovision", machine, State.DELETING, State.ABSENT)

        return self._act("deprovision", vm, deletes)

    def retag(self, vm: VM, tags: Tags) -> None:
        def retags() -> None:
            self._there(vm).retag(tags, self.world.now)

        self._send("retag", vm.name, retags)

    def _act(self, verb: str, vm: Target[Shape], change: Callable[[Machine], None]) -> Handle:
        def acts() -> Handle:
            machine = self._there(vm.vm)
            change(machine)
            return self._handle(machine, verb)

        return self._send(verb, vm.name, acts)

    def _there(self, vm: VM) -> Machine:
        """The machine that a request means, by what this cloud goes by."""
        raise NotImplementedError

    def _handle(self, machine: Machine, verb: str) -> Handle:
        return {"vmId": machine.id}

    def _turn(self, verb: str, machine: Machine, via: State, goal: State) -> None:
        machine.turn(self.world.now, via, goal, self.world.duration(verb))

    def _send(self, verb: str, name: str, act: Callable[[], T]) -> T:
        return self.world.network.send(f"{verb} {name}", act)
