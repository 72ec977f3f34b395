"""What there is: settings, the clock, resources, and what tests asked for."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import stand_in_world
from stand_in_world import Clockwork

if TYPE_CHECKING:
    from gce.limits import Bucket
    from gce.operations import Operation
    from gce.resource import Resource

PROJECT = "vmops-test"


@dataclass(frozen=True)
class Settings:
    """What tests can change; all of it holds for what begins from then on.

    Args:
        create: Seconds that a VM takes to be made; the following likewise for what they name.
        suspend: Seconds of a suspend or resume.
        labels: Seconds of each change of a VM's labels, metadata, tags and the like.
        others: Seconds of an operation on anything but a VM.
        pending: Share of an operation's seconds that it is PENDING.
        jitter: Seconds of chance added to `create`.
        invisible: Seconds for which a new VM cannot be found.
        stale: Seconds by which reads of a resource lag behind its changes.
        page: Items of a page of a list at most.
        latency: Seconds of real time that each answer takes.
        speed: How many seconds pass here in one second.
        rate_limits: Factor on the refill of the limits; 0 is no limits.
        operation_lifetime: Seconds after its end for which an operation is known.
        wait_limit: Seconds for which `wait` blocks at most.
        wait_returns_early: Whether `wait` answers at once, as it may when a cloud is busy.
        token_lifetime: Seconds for which a token is good.
        projects: Those that there are.
        cpus: vCPUs that a region's VMs may have; None is no quota.
        no_capacity: Machine types for which operations find no room.
        permissions: What the caller may do: permissions or patterns of them, as `compute.*`.
        validate_answers: Whether each answer is checked against the API's document.
        inline_done: Whether operations of no seconds are DONE when they are first answered.
    """

    create: float = 0.05
    start: float = 0.05
    stop: float = 0.05
    reset: float = 0.05
    delete: float = 0.05
    suspend: float = 0.05
    labels: float = 0.02
    others: float = 0.02
    pending: float = 0.2
    jitter: float = 0.0
    invisible: float = 0.0
    stale: float = 0.0
    page: int = 500
    latency: float = 0.0
    speed: float = 1.0
    rate_limits: float = 0.0
    operation_lifetime: float = 86400.0
    wait_limit: float = 120.0
    wait_returns_early: bool = False
    token_lifetime: float = 86400.0
    projects: tuple[str, ...] = (PROJECT,)
    cpus: int | None = None
    no_capacity: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ("*",)
    validate_answers: bool = True
    inline_done: bool = False


@dataclass
class Fault(stand_in_world.Fault):
    """A request that goes wrong, or with `operation` an operation that ends badly.

    The path may also be found in the target of the operation. The status of an answer is 503 if
    nothing else goes wrong; an operation of status RUNNING is so for ever. `reason` is another name
    for `code`.
    """

    reason: str = ""

    def __post_init__(self) -> None:
        """Nothing said is a refusal."""
        self.code = self.code or self.reason
        if self.operation:
            self.code = self.code or "INTERNAL_ERROR"
        elif self.status is None and not (self.delay or self.drop):
            self.status = 503


class World(Clockwork[Settings, Fault]):
    """The one cloud of this process."""

    def __init__(self, settings: Settings) -> None:
        self._ticking = False
        self.waits: set[threading.Condition] = set()
        self.age = 0
        super().__init__(settings)
        self._tick = threading.Condition(self.lock)

    def reset(self) -> None:
        """Forgets all but the settings it was started with."""
        super().reset()
        self.age += 1
        self.resources: dict[tuple[str, str], dict[str, Resource]] = defaultdict(dict)
        self.ids: dict[tuple[str, str, str], Resource] = {}
        self.operations: dict[str, dict[str, Operation]] = defaultdict(dict)
        self.requests: dict[str, tuple[str, float, Operation]] = {}
        self.buckets: dict[tuple[str, ...], Bucket] = {}
        self.freed: dict[str, list[int]] = defaultdict(list)
        self.taken: dict[str, int] = defaultdict(lambda: 1)
        self.given = 0
        self._wake()

    # -- time -------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Moves the clock."""
        super().advance(seconds)
        self._wake()

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Does something when so much time has passed."""
        first = self._events[0] if self._events else None
        super().later(seconds, act)
        if self.waits and self._events[0] is not first:
            self._tick.notify_all()

    def change(self, changes: dict[str, Any]) -> None:
        """Changes settings; an unknown one is an error."""
        super().change(changes)
        self._wake()

    def wait(self, condition: threading.Condition, until: float) -> None:
        """Lets go of the lock until this is notified, the clock is set, or it is so late."""
        if not self._ticking:
            self._ticking = True
            threading.Thread(target=self._settle_on, daemon=True).start()
        self.waits.add(condition)
        self._tick.notify_all()
        try:
            condition.wait(max(0.0, until - self.now()) / self.settings.speed)
        finally:
            self.waits.discard(condition)

    def _settle_on(self) -> None:
        """Settles in time, as long as somebody waits."""
        with self.lock:
            while True:
                self.settle()
                left = None
                if self.waits and self._events:
                    left = max(0.0, self._events[0][0] - self.now()) / self.settings.speed
                self._tick.wait(left)

    def _wake(self) -> None:
        if not self._ticking:
            return
        with self.lock:
            self._tick.notify_all()
            for condition in self.waits:
                condition.notify_all()

    # -- resources --------------------------------------------------------------------------------

    def add(self, resource: Resource) -> None:
        """A new resource."""
        self.resources[resource.kind, resource.place][resource.name] = resource
        self.ids[resource.kind, resource.place, resource.body["id"]] = resource

    def remove(self, resource: Resource) -> None:
        """It is gone; another one may have its name by now."""
        if self.has(resource):
            del self.resources[resource.kind, resource.place][resource.name]
            del self.ids[resource.kind, resource.place, resource.body["id"]]

    def has(self, resource: Resource) -> bool:
        """Whether this very resource exists."""
        return self.resources[resource.kind, resource.place].get(resource.name) is resource

    def find(self, kind: str, place: str, name: str) -> Resource | None:
        """A resource of a kind by its name or number."""
        found = self.resources[kind, place].get(name)
        return found or self.ids.get((kind, place, name))

    def every(self) -> Iterator[Resource]:
        """All resources of all projects that are not Google's."""
        for (_, place), some in list(self.resources.items()):
            if place.split("/")[1] in self.settings.projects:
                yield from list(some.values())


world = World(Settings())
