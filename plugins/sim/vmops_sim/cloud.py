"""The simulated cloud's API: what an SDK would offer, with all that can go wrong on order."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from vmops_sim.errors import SimError
from vmops_sim.script import AT_ONCE, OUTCOMES, Duration, FaultScript
from vmops_sim.world import Machine, SimOperation, Store, World

__all__ = ["CODES", "Behaviour", "Order", "SimCloud"]

CODES: Final = frozenset(
    {
        "AuthFailure",
        "ConnectionLost",
        "IdempotentParameterMismatch",
        "IdempotentVMTerminated",
        "IncorrectState",
        "InsufficientCapacity",
        "InternalError",
        "InvalidValue",
        "NameTaken",
        "QuotaExceeded",
        "SpotPreempted",
        "Throttling",
        "Unsupported",
        "VMNotFound",
    }
)
_ENDS: Final = {"starting": "running", "stopping": "stopped", "deleting": "absent"}
_FROM: Final[Mapping[str, frozenset[str]]] = {
    "start": frozenset({"stopped"}),
    "stop": frozenset({"running", "starting", "stopped"}),
    "restart": frozenset({"running"}),
    "deprovision": frozenset({"starting", "running", "stopping", "stopped", "failed"}),
}
_WAY: Final = {"start": "starting", "stop": "stopping", "deprovision": "deleting"}
_TOMBSTONE_SECONDS: Final = 3600.0
_SECONDS_IN_BUCKET: Final = 5.0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the cloud behaves. Durations are in seconds of the cloud's own clock."""

    seed: int = 0
    durations: Mapping[str, Duration] = field(default_factory=dict)
    visible_after: Duration = AT_ONCE
    api_seconds: Duration = AT_ONCE
    quota: int = 0
    capacity: int = 0
    calls_per_second: float = 0.0
    no_capacity: float = 0.0
    server_errors: float = 0.0
    lost_answers: float = 0.0
    fail_late: float = 0.0
    stuck: float = 0.0
    forgotten: float = 0.0
    preempt_after: float = 0.0
    unique_names: bool = False
    faults: FaultScript = field(default_factory=lambda: FaultScript({}))


@dataclass(frozen=True, slots=True)
class Order:
    """One VM to be made."""

    name: str
    tags: Mapping[str, str]
    size: str = "small"
    zone: str = "a"
    spot: bool = False
    user_data: str = ""

    @property
    def digest(self) -> str:
        """What two equal requests have in common; the name and the tags are not part of it."""
        request = f"{self.size}/{self.zone}/{self.spot}/{self.user_data}"
        return hashlib.sha256(request.encode()).hexdigest()


class SimCloud:
    """The API of one world.

    Args:
        store: Where the world is kept.
        behaviour: How it behaves.
        now: The cloud's clock, epoch seconds.
        sleep: Lets time pass, for slow API calls.
    """

    def __init__(
        self,
        store: Store,
        behaviour: Behaviour,
        now: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        """Ask nothing yet."""
        self._store = store
        self._behaviour = behaviour
        self._now = now
        self._sleep = sleep

    def calls(self) -> dict[str, int]:
        """How many API calls of each kind the cloud has seen."""
        with self._store.open() as world:
            return dict(world.calls)

    def who_am_i(self, account: str) -> str:
        """The account the caller is in."""
        with self._call("account"):
            return account

    def create(self, orders: Sequence[Order], token: str) -> list[tuple[str, str]]:
        """(VM id, operation id) of each order; all are made, or none.

        The same token finds what it made before. A token whose VM was deleted is refused.
        """
        with self._call("provision") as (world, fault):
            known = [m for m in world.machines.values() if m.token == token]
            if known:
                return self._found_again(world, orders, known)
            self._check_room(world, orders, fault)
            return [self._make(world, order, token, fault) for order in orders]

    def act(self, action: str, ids: Sequence[str], *, keep: bool = False) -> list[str | SimError]:
        """The operation id, or the refusal, for each VM: one bad VM does not fail the others."""
        with self._call(action) as (world, fault):
            return [self._act_on(world, action, id_, fault, keep=keep) for id_ in ids]

    def retag(self, id_: str, tags: Mapping[str, str]) -> None:
        """Replace the tags of a VM."""
        with self._call("retag") as (world, _):
            machine = world.machines.get(id_)
            if machine is None or machine.state == "absent":
                raise SimError("VMNotFound", f"there is no VM {id_!r}")
            machine.tags = dict(tags)

    def describe(
        self, ids: Iterable[str] | None, names: Iterable[str], tag: str = ""
    ) -> list[Machine]:
        """Machines by id or name, or all that carry a tag; one just made may not be there yet."""
        with self._call("describe") as (world, _):
            now = self._now()
            if ids is None:
                found = [m for m in world.machines.values() if tag in m.tags]
            else:
                wanted, called = set(ids), set(names)
                found = [world.machines[id_] for id_ in wanted if id_ in world.machines]
                if called:
                    found += [
                        m
                        for m in world.machines.values()
                        if m.name in called and m.id not in wanted
                    ]
            return [m for m in found if m.visible <= now]

    def operations(self, ids: Iterable[str]) -> dict[str, SimOperation]:
        """The operations of these ids that the cloud still knows."""
        with self._call("poll") as (world, _):
            known = (world.operations.get(id_) for id_ in ids)
            return {o.id: o for o in known if o is not None and not o.forgotten}

    @contextmanager
    def _call(self, kind: str) -> Iterator[tuple[World, str]]:
        """One API call: counted, limited, slow, and perhaps failing before or after its effect."""
        behaviour = self._behaviour
        pause, lost = 0.0, False
        with self._store.open() as world:
            number = world.calls[kind] = world.calls.get(kind, 0) + 1
            source = self._source(world)
            self._settle(world)
            self._throttle(world, kind)
            fault = behaviour.faults.get(kind, number)
            if not fault and behaviour.server_errors and source.random() < behaviour.server_errors:
                fault = "InternalError"
            if not fault and behaviour.lost_answers and source.random() < behaviour.lost_answers:
                fault = source.choice(["lost", "lost-applied"])
            refused = SimError(fault) if fault in CODES else None
            if fault == "lost":
                refused = SimError("ConnectionLost", "the request or its answer was lost")
            lost = fault == "lost-applied"
            pause = behaviour.api_seconds.sample(source)
            if refused is None:
                yield world, fault if fault in OUTCOMES else ""
        if pause:
            self._sleep(pause)
        if refused is not None:
            raise refused
        if lost:
            raise SimError("ConnectionLost", "the answer was lost")

    def _source(self, world: World) -> random.Random:
        """Randomness that is the same for the same seed, whichever process asks."""
        world.drawn += 1
        return random.Random(f"{self._behaviour.seed}/{world.drawn}")  # noqa: S311

    def _throttle(self, world: World, kind: str) -> None:
        rate = self._behaviour.calls_per_second
        if not rate:
            return
        now, burst = self._now(), max(rate * _SECONDS_IN_BUCKET, 1.0)
        tokens, at = world.buckets.get(kind, (burst, now))
        tokens = min(tokens + (now - at) * rate, burst)
        if tokens < 1:
            world.buckets[kind] = (tokens, now)
            raise SimError("Throttling", "too many requests", retry_after=(1 - tokens) / rate)
        world.buckets[kind] = (tokens - 1, now)

    def _settle(self, world: World) -> None:
        """Let what is due have happened."""
        now = self._now()
        for machine in list(world.machines.values()):
            if machine.goal and machine.until <= now:
                self._arrive(machine)
            if machine.spot and machine.state == "running" and self._behaviour.preempt_after:
                end = machine.started + self._behaviour.preempt_after
                if end <= now:
                    machine.state, machine.gone, machine.cause = "absent", end, "SpotPreempted"
            if machine.state == "absent" and machine.gone + _TOMBSTONE_SECONDS <= now:
                del world.machines[machine.id]

    @staticmethod
    def _arrive(machine: Machine) -> None:
        machine.state, machine.goal = machine.goal, ""
        machine.started = machine.until if machine.state == "running" else 0.0
        if machine.state == "absent":
            machine.gone = machine.until

    def _found_again(
        self, world: World, orders: Sequence[Order], known: Sequence[Machine]
    ) -> list[tuple[str, str]]:
        if len(known) != len(orders) or any(m.digest != orders[0].digest for m in known):
            raise SimError(
                "IdempotentParameterMismatch", "the token was used with other parameters"
            )
        if any(m.state == "absent" for m in known):
            raise SimError("IdempotentVMTerminated", "the token's VM has been deleted")
        by_machine = {o.machine: o.id for o in world.operations.values() if o.action == "provision"}
        return [(machine.id, by_machine.get(machine.id, "")) for machine in known]

    def _check_room(self, world: World, orders: Sequence[Order], fault: str) -> None:
        behaviour = self._behaviour
        alive = [m for m in world.machines.values() if m.state != "absent"]
        if behaviour.quota and len(alive) + len(orders) > behaviour.quota:
            raise SimError("QuotaExceeded", f"the account may have {behaviour.quota} VMs")
        in_zone = sum(m.zone == orders[0].zone for m in alive)
        full = behaviour.capacity and in_zone + len(orders) > behaviour.capacity
        if full or (not fault and self._happens(world, behaviour.no_capacity)):
            raise SimError("InsufficientCapacity", f"zone {orders[0].zone!r} has no room")
        if behaviour.unique_names:
            taken = {m.name for m in alive}.intersection(order.name for order in orders)
            if taken:
                raise SimError("NameTaken", f"there is a VM called {min(taken)!r}")

    def _make(self, world: World, order: Order, token: str, fault: str) -> tuple[str, str]:
        source, now = self._source(world), self._now()
        number = world.drawn
        machine = Machine(
            id=f"vm-{number:08x}",
            name=order.name,
            token=token,
            digest=order.digest,
            tags=dict(order.tags),
            state="starting",
            size=order.size,
            zone=order.zone,
            spot=order.spot,
            visible=now + self._behaviour.visible_after.sample(source),
            address=f"198.51.100.{number % 254 + 1}",  # RFC 5737: for documentation
        )
        world.machines[machine.id] = machine
        return machine.id, self._begin(world, machine, "provision", "running", fault)

    def _act_on(
        self, world: World, action: str, id_: str, fault: str, *, keep: bool
    ) -> str | SimError:
        machine = world.machines.get(id_)
        if machine is None or machine.state == "absent":
            return SimError("VMNotFound", f"there is no VM {id_!r}")
        if action == "stop" and machine.spot:
            return SimError("Unsupported", "a spot VM cannot be stopped")
        if machine.state not in _FROM[action]:
            return SimError("IncorrectState", f"VM {id_!r} is {machine.state}")
        if action == "stop":
            machine.holds_compute = keep
        if action == "restart":  # stays running; its boot changes when it is through
            return self._begin(world, machine, action, "running", fault)
        machine.state = _WAY[action]
        return self._begin(world, machine, action, _ENDS[machine.state], fault)

    def _begin(self, world: World, machine: Machine, action: str, goal: str, fault: str) -> str:
        """Start an operation that takes the machine to its goal, or fails, or never ends."""
        source, behaviour = self._source(world), self._behaviour
        seconds = behaviour.durations.get(action, AT_ONCE).sample(source)
        until = self._now() + seconds
        operation = SimOperation(f"op-{world.drawn:08x}", machine.id, action, until)
        if fault == "stuck" or source.random() < behaviour.stuck:
            operation.until = until = float("inf")
        elif fault == "fail-late" or source.random() < behaviour.fail_late:
            operation.fails = "InsufficientCapacity"
            goal = "failed"
            machine.cause = operation.fails
        operation.forgotten = fault == "forgotten" or source.random() < behaviour.forgotten
        machine.goal, machine.until = goal, until
        world.operations[operation.id] = operation
        if until <= self._now():
            self._arrive(machine)
        return operation.id

    def _happens(self, world: World, share: float) -> bool:
        return bool(share) and self._source(world).random() < share
