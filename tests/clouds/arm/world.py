"""What there is: settings, the clock, resources, and what tests asked for."""

from __future__ import annotations

import marshal
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import stand_in_world
from stand_in_world import Clockwork

if TYPE_CHECKING:
    from arm.kinds import Kind
    from arm.limits import Bucket

T = TypeVar("T", dict[str, Any], list[Any])
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"


def copied(value: T) -> T:
    """A copy of JSON, down to the last of it: ten times as fast as `deepcopy`."""
    found: T = marshal.loads(marshal.dumps(value))  # noqa: S302  (our own, from a line before)
    return found


@dataclass(frozen=True)
class Settings:
    """What tests can change; all of it holds for what begins from then on.

    Args:
        create: Seconds that a VM takes to be made; the following likewise for what they name.
        jitter: Seconds of chance added to `create`.
        network: Seconds that a network resource takes.
        disk: Seconds that a disk, snapshot or image takes.
        retry_after: The Retry-After of an accepted request, as it is to stand there; none if None.
        poll_retry_after: The same for a poll of an operation that runs.
        location_only: Whether operations have a Location, but no Azure-AsyncOperation.
        operation_host: Scheme and host of operations' URLs, if not those that were asked.
        operation_lifetime: Seconds after its end for which an operation is known.
        invisible: Seconds for which a new VM cannot be read.
        stale: Seconds by which reads of a resource lag behind its changes.
        page: Items of a page of a list.
        latency: Seconds of real time that each answer takes.
        speed: How many seconds pass here in one second.
        rate_limits: Factor on the refill of the published limits; 0 is no limits.
        token_lifetime: Seconds for which a token is good.
        subscriptions: Those that there are.
        actions: What the caller may do, as a role's `actions` have it: see `roles`.
        cores: vCPUs that a region's VMs may have; None is no quota.
        sold_out: Sizes that are refused at once.
        no_capacity: Sizes for which the operation fails.
    """

    create: float = 0.05
    start: float = 0.05
    power_off: float = 0.05
    deallocate: float = 0.05
    restart: float = 0.05
    delete: float = 0.05
    network: float = 0.05
    disk: float = 0.05
    jitter: float = 0.0
    retry_after: Any = None
    poll_retry_after: Any = None
    location_only: bool = False
    operation_host: str | None = None
    operation_lifetime: float = 86400.0
    invisible: float = 0.0
    stale: float = 0.0
    page: int = 100
    latency: float = 0.0
    speed: float = 1.0
    rate_limits: float = 0.0
    token_lifetime: float = 86400.0
    subscriptions: tuple[str, ...] = (SUBSCRIPTION,)
    actions: tuple[str, ...] = ("*",)
    cores: int | None = None
    sold_out: tuple[str, ...] = ()
    no_capacity: tuple[str, ...] = ()


@dataclass
class Fault(stand_in_world.Fault):
    """A request that goes wrong, or with `operation` an operation that ends badly.

    The status of an answer is 500 if nothing else goes wrong; an operation ends as Failed or
    Canceled, or is InProgress for ever.
    """

    code: str = "InternalServerError"

    def __post_init__(self) -> None:
        """Nothing said is a refusal."""
        if self.status is None and not (self.delay or self.drop):
            self.status = "Failed" if self.operation else 500


@dataclass(eq=False)
class Resource:
    """One resource.

    Args:
        kind: What it is.
        id: As it was spelt when it was made.
        body: As it is shown, but for what `kind.view` adds.
        since: When it was made.
        hidden: What is known of it and not shown.
        etag: Another one after each change.
        past: Until when it was how, where reads lag behind.
    """

    kind: Kind
    id: str
    body: dict[str, Any]
    since: float
    hidden: dict[str, Any] = field(default_factory=dict)
    etag: str = field(default_factory=lambda: str(uuid4()))
    past: list[tuple[float, dict[str, Any], dict[str, Any]]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its last part."""
        return self.id.rpartition("/")[2]

    @property
    def properties(self) -> dict[str, Any]:
        """Its body's properties."""
        found: dict[str, Any] = self.body.setdefault("properties", {})
        return found

    @property
    def state(self) -> str:
        """Its provisioning state."""
        return str(self.properties.get("provisioningState", ""))

    @state.setter
    def state(self, state: str) -> None:
        if world.settings.stale and self.state:
            self.past.append((world.now(), copied(self.body), dict(self.hidden)))
        self.properties["provisioningState"] = state
        self.etag = str(uuid4())

    def seen(self) -> Resource:
        """It as reads show it."""
        then = world.now() - world.settings.stale
        for until, body, hidden in self.past:
            if until > then:
                return replace(self, body=body, hidden=hidden)
        return self


class World(Clockwork[Settings, Fault]):
    """The one cloud of this process."""

    def reset(self) -> None:
        """Forgets all but the settings it was started with."""
        super().reset()
        self.resources: dict[str, dict[str, Resource]] = defaultdict(dict)
        self.operations: dict[str, Any] = {}
        self.buckets: dict[tuple[str, ...], Bucket] = {}
        self.addresses = 3

    # -- resources --------------------------------------------------------------------------------

    def add(self, resource: Resource) -> None:
        """A new resource."""
        self.resources[resource.kind.key][resource.id.lower()] = resource

    def remove(self, resource: Resource) -> bool:
        """Whether it is gone by this, and was not before; another one may have its id by now."""
        if self.find(resource.kind.key, resource.id) is not resource:
            return False
        del self.resources[resource.kind.key][resource.id.lower()]
        return True

    def find(self, key: str, id_: str) -> Resource | None:
        """A resource of a kind by its id, in any case of its letters."""
        return self.resources[key].get(id_.lower())

    def below(self, key: str, prefix: str) -> Iterator[Resource]:
        """The resources of a kind whose ids begin so."""
        start = prefix.lower().rstrip("/") + "/"
        return (one for id_, one in list(self.resources[key].items()) if id_.startswith(start))

    def every(self) -> Iterator[Resource]:
        """All resources."""
        for some in list(self.resources.values()):
            yield from list(some.values())


world = World(Settings())
