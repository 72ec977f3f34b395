"""What the stand-in keeps beside moto: its clock, what is due, settings, faults and the log."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Settings:
    """What a test can change while the server runs; times are in seconds."""

    run: float = 0.1
    """From pending to running, after a launch."""
    start: float = 0.1
    """From pending to running, after a start."""
    stop: float = 0.1
    """From stopping to stopped."""
    terminate: float = 0.1
    """From shutting-down to terminated."""
    vanish: float = 3600
    """How long a terminated instance can still be seen."""
    relaunch: float = 0.1
    """Until a persistent spot request whose instance was terminated launches another."""
    invisible: float = 0
    """Eventual consistency: how long a new instance is unknown to all but its own launch."""
    stale: float = 0
    """Eventual consistency: how old the states are that DescribeInstances tells."""
    stopped_ends_at_once: bool = False
    """A stopped instance that is terminated skips shutting-down."""
    rate_limits: float = 0
    """1 is what AWS publishes, 0 is no limits, and 10 refills the buckets ten times as fast."""
    capacity: int | None = None
    """How many instances may be pending or running, in one region."""
    vcpus: int | None = None
    """The account's quota of vCPUs, in one region."""
    default_vpc: bool = True
    """Without one, a launch must name a subnet."""
    launch_failure: str | None = None
    """A StateReason code: new instances go from pending to terminated for this reason."""
    latency: float = 0
    """How long each answer takes, on top."""


@dataclass
class Fault:
    """An answer that the next calls of one action get in place of their own."""

    action: str
    code: str = "InternalError"
    message: str = "An internal error has occurred"
    status: int = 500
    """0 cuts the connection in place of any answer."""
    times: int = 1
    skip: int = 0
    """So many calls pass before it begins."""
    after: bool = False
    """The call takes effect, and its answer is lost."""
    delay: float = 0
    """The answer comes so much later, outside of any lock."""


@dataclass
class Home:
    """One account's instances, tokens and spot requests in one region."""

    machines: dict[str, Any] = field(default_factory=dict)
    launches: dict[Any, Any] = field(default_factory=dict)
    spots: dict[str, Any] = field(default_factory=dict)
    sequence: Any = field(default_factory=itertools.count)


class World:
    """All of it. Whoever reads or changes it holds the lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.first_settings = Settings()
        self.reset()

    def reset(self) -> None:
        """As after the start: moto's own state is reset by whoever calls this."""
        self.settings = self.first_settings
        self.faults: list[Fault] = []
        self.calls: list[dict[str, Any]] = []
        self.buckets: dict[Any, Any] = {}
        self.homes: dict[tuple[str, str], Home] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._ahead = 0.0
        self._instant: float | None = None

    def change(self, changes: dict[str, Any]) -> None:
        """Takes these settings; a name that is none of ours is a ValueError."""
        unknown = sorted(changes.keys() - {each.name for each in fields(Settings)})
        if unknown:
            raise ValueError(f"no such settings: {', '.join(unknown)}")
        self.settings = replace(self.settings, **changes)

    def home(self, backend: Any) -> Home:
        """What belongs to this moto backend, which is one account in one region."""
        return self.homes.setdefault((backend.account_id, backend.region_name), Home())

    def now(self) -> float:
        """Seconds since 1970 by the cloud's clock."""
        return time.time() + self._ahead if self._instant is None else self._instant

    def moment(self) -> datetime:
        """The same for people and for answers: UTC, in the form that moto writes."""
        return datetime.fromtimestamp(self.now(), UTC).replace(tzinfo=None)

    def advance(self, seconds: float) -> None:
        """Moves the cloud's clock forward."""
        self._ahead += seconds

    def later(self, delay: float, do: Callable[[], None]) -> None:
        """Does this when so much time has passed."""
        heapq.heappush(self._due, (self.now() + delay, next(self._order), do))

    def settle(self) -> None:
        """Does all that is due, each at its own time: a call finds the cloud as of now."""
        while self._due and self._due[0][0] <= self.now():
            self._instant, _, do = heapq.heappop(self._due)
            try:
                do()
            finally:
                self._instant = None

    def fault(self, action: str, *, after: bool) -> Fault | None:
        """The fault that hits this call, if one does."""
        for fault in self.faults:
            if fault.action != action or fault.after != after or not fault.times:
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.times -= 1
            return fault
        return None


world = World()
