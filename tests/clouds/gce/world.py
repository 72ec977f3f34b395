"""What there is: settings, the clock, resources, and what tests asked for."""

from __future__ import annotations

import heapq
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

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
class Fault:
    """A request that goes wrong, or with `operation` an operation that ends badly.

    Args:
        method: Of the request, as a whole.
        path: Found in path and query, or in the target of the operation, as a regular expression.
        status: Of the answer, 503 if nothing else goes wrong; of an operation RUNNING is for ever.
        code: The error's reason, or the code of the operation's error.
        reason: The same.
        message: What the error says.
        headers: Of the answer.
        after: Whether the request is carried out all the same.
        times: How often.
        delay: Seconds of real time for which the answer is held back.
        drop: Whether the connection ends in place of an answer.
        operation: The operation's type, as `insert` or `stop`.
    """

    method: str = ".*"
    path: str = ""
    status: Any = None
    code: str = ""
    reason: str = ""
    message: str = "The emulator was asked to say so."
    headers: dict[str, str] = field(default_factory=dict)
    after: bool = False
    times: int = 1
    delay: float = 0.0
    drop: bool = False
    operation: str = ""

    def __post_init__(self) -> None:
        """Nothing said is a refusal."""
        self.code = self.code or self.reason
        if self.operation:
            self.code = self.code or "INTERNAL_ERROR"
        elif self.status is None and not (self.delay or self.drop):
            self.status = 503


class World:
    """The one cloud of this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._tick = threading.Condition(self.lock)
        self._due = threading.local()  # others ask for the time without the lock
        self._ticking = False
        self.first_settings = Settings()
        self.waits: set[threading.Condition] = set()
        self.age = 0
        self.reset()

    def reset(self) -> None:
        """Forgets all but the settings it was started with."""
        self.age += 1
        self.settings = self.first_settings
        self.resources: dict[tuple[str, str], dict[str, Resource]] = defaultdict(dict)
        self.ids: dict[tuple[str, str, str], Resource] = {}
        self.operations: dict[str, dict[str, Operation]] = defaultdict(dict)
        self.requests: dict[str, tuple[str, float, Operation]] = {}
        self.faults: list[Fault] = []
        self.calls: list[dict[str, Any]] = []
        self.tokens: dict[str, float] = {}
        self.buckets: dict[tuple[str, ...], Bucket] = {}
        self.freed: dict[str, list[int]] = defaultdict(list)
        self.taken: dict[str, int] = defaultdict(lambda: 1)
        self.given = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._began = time.time(), time.monotonic()
        self._wake()

    # -- time -------------------------------------------------------------------------------------

    def now(self) -> float:
        """The cloud's clock in epoch seconds; for what comes to an end, when that was due."""
        if (due := getattr(self._due, "at", None)) is not None:
            return float(due)
        wall, ticks = self._began
        return wall + (time.monotonic() - ticks) * self.settings.speed

    def advance(self, seconds: float) -> None:
        """Moves the clock."""
        self._began = self.now() + seconds, time.monotonic()
        self._wake()

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Does something when so much time has passed."""
        self._count += 1
        at = self.now() + seconds
        if self.waits and (not self._events or at < self._events[0][0]):
            self._tick.notify_all()
        heapq.heappush(self._events, (at, self._count, act))

    def settle(self) -> None:
        """Does all that is due, each as if at its time."""
        now = self.now()
        try:
            while self._events and self._events[0][0] <= now:
                self._due.at, _, act = heapq.heappop(self._events)
                act()
        finally:
            self._due.at = None

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

    # -- settings and faults ----------------------------------------------------------------------

    def change(self, changes: dict[str, Any]) -> None:
        """Changes settings; an unknown one is an error."""
        names = {one.name for one in fields(Settings)}
        if unknown := sorted(set(changes) - names):
            raise ValueError(f"no such setting: {', '.join(unknown)}")
        self.advance(0)  # the time so far has passed at the old speed
        self.settings = replace(self.settings, **changes)
        self._wake()

    def fault(self, fits: Callable[[Fault], bool]) -> Fault | None:
        """The next fault that fits, which is one less then."""
        for fault in self.faults:
            if fault.times > 0 and fits(fault):
                fault.times -= 1
                return fault
        return None

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


world = World()
