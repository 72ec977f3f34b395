"""The author's contract: what a plugin writes to add a cloud.

A backend is five verbs and one question. Verbs return at once with a handle (a few strings);
`describe` looks at many VMs in one call. Looking before acting, waiting, retrying, rate limits,
idempotency tokens, tags and the journal are the core's work, so a plugin holds none of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args

from vmops.clock import Clock, SystemClock
from vmops.errors import CloudError, NotSupported
from vmops.operation import Handle, Operation
from vmops.params import Params, Settings
from vmops.vm import VM, Ref, State, Tags

__all__ = [
    "Backend",
    "Bucket",
    "Failed",
    "Fault",
    "Limit",
    "Next",
    "Pending",
    "Progress",
    "StopMode",
    "Succeeded",
    "Target",
]

S = TypeVar("S", bound=Settings)
P = TypeVar("P", bound=Params)

StopMode = Literal["release", "keep"]


@dataclass(frozen=True, slots=True)
class Target(Generic[P]):
    """The VM that a verb acts on, with what the caller asked for.

    Args:
        vm: The VM as last described (ABSENT for a create).
        params: The caller's parameters, typed.
        tags: For a create: to be written on the VM in the same call.
        alone: For a deletion: whether this VM only is meant. Else whatever its create has made by
            being repeated goes with it, on clouds where that can happen.
    """

    vm: VM
    params: P
    tags: Tags | None = None
    alone: bool = False

    @property
    def name(self) -> str:
        """Our name for the VM."""
        return self.vm.name

    @property
    def id(self) -> str:
        """The cloud's id of the VM; empty before it exists."""
        return self.vm.id


@dataclass(frozen=True, slots=True)
class Pending:
    """The operation goes on; `retry_after` is the provider's own hint in seconds."""

    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The operation is over and done.

    Args:
        info: For the result; empty if `describe` has it.
        vm: The VM as the operation has left it, where that is known without another look: the
            result tells of it, and a verb that follows at once need not look either.
    """

    info: Mapping[str, Any] = field(default_factory=dict)
    vm: VM | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The operation is over and failed."""

    error: CloudError


@dataclass(frozen=True, slots=True)
class Next:
    """The first phase of a two-phase restart is over: the core may begin the second."""


Progress = Pending | Succeeded | Failed | Next


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket as clouds publish them: `burst` at once, then `per_second`."""

    burst: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Limit:
    """The budget of one class of calls.

    Args:
        requests: Tokens spent by a call, whatever it carries.
        items: Tokens spent by each VM in a call, where the cloud counts those too.
        batch: The most VMs one call may carry.
    """

    requests: Bucket | None = None
    items: Bucket | None = None
    batch: int = 1000


@dataclass(frozen=True, slots=True)
class Fault:
    """What a provider said when it refused, read off an SDK's exception.

    Args:
        code: The provider's own error code, looked up in `Backend.error_codes`.
        message: The provider's words, free of secrets.
        request_id: The provider's id of the request.
        retry_after: Seconds the provider asks to wait.
        vm_ids: Of a call for many VMs, those that the provider names as the reason; the others are
            asked for again without them.
        hint: The next step for the caller, where it is known.
        unsent: Whether the request certainly did not leave, as where no connection could be made:
            then even a restart may be asked for again.
    """

    code: str
    message: str
    request_id: str = ""
    retry_after: float | None = None
    vm_ids: frozenset[str] = frozenset()
    hint: str = ""
    unsent: bool = False


class Backend(ABC, Generic[S, P]):
    """One cloud, as one connection to it: subclass with your Settings and Params.

    `class MyCloud(Backend[MySettings, MyParams])` is instantiated once per distinct settings, and
    used from many threads at once. Import the SDK inside `__init__` or later, never at the top of a
    module. Let SDK exceptions pass out of every method: `explain` and `error_codes` say what
    they mean, in one place.

    Where the API takes many VMs in one call, define any of `provision_many(vms, token)`,
    `start_many(vms, token)`, `stop_many(vms, token, mode)`, `restart_many(vms, token)` and
    `deprovision_many(vms, token)` as well: each returns a handle or a CloudError per VM, in the
    order given. `provision_many` gets VMs whose requests are equal but for the name, and makes all
    of them or none. Where another verb's whole call is refused because of some VMs, raise: the core
    sends the others again, without those that `Fault.vm_ids` names, or in halves.

    Two more classmethods are optional: `doctor(cls, settings) -> Iterable[Check]` for `vmops
    doctor`, and `shared_settings(cls, settings, folder) -> dict` where a cloud within one process
    can be kept in a folder instead, for `vmops demo`.
    """

    name: ClassVar[str]
    """The backend's name: lower case, the same as its entry point."""
    settings_type: ClassVar[type[Settings]]
    params_type: ClassVar[type[Params]]
    vm_name: ClassVar[str] = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
    """Regular expression that a VM's name must match as a whole."""
    error_codes: ClassVar[Mapping[str, type[CloudError]]] = {}
    """Provider code -> our error. A code that is not here becomes a plain CloudError."""
    stop_modes: Collection[str] = ("release", "keep")
    """How a VM can be stopped; the core refuses others as NotSupported, before any call."""

    clock: Clock = SystemClock()
    horizon: float = 60.0
    """Seconds within which a VM may still be invisible after a create (eventual consistency)."""
    poll_interval: float = 1.0
    """Seconds: the shortest time between two polls of this connection."""
    poll_timeout: float = 300.0
    """Seconds a wait lasts unless `pollTimeout` says otherwise."""
    limits: Mapping[str, Limit] = {}
    """Class of calls (a verb's name, `describe` or `poll`) -> its budget."""
    own_limits: Mapping[str, Limit] = {}
    """Class of calls that the backend itself pays for, by `pay` -> its budget."""
    budget: Callable[[str], None] | None = None
    """What `pay` asks; the connection sets it."""
    creates_once: bool = True
    """Whether the same token never makes a second VM. Where it may, the core repeats a create that
    had no answer only when `horizon` has passed since, and `provision` must look for a VM with the
    token before it makes one."""
    confirms_restart: bool = True
    """Whether `VM.started` tells each boot from the one before. Where it does not, a restart in one
    phase is over once the VM is seen to run, and its result says `restartConfirmed: false`."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Read the Settings and Params off the subclass's generic arguments."""
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            arguments = [a for a in get_args(base) if isinstance(a, type)]
            for argument in arguments:
                if issubclass(argument, Settings):
                    cls.settings_type = argument
                elif issubclass(argument, Params):
                    cls.params_type = argument

    def __init__(self, settings: S) -> None:
        """Keep the settings. Nothing is asked of the cloud before the first verb."""
        self.settings = settings

    @abstractmethod
    def account(self) -> str:
        """The identity this connection proved: account, subscription, project. Cached by the core.

        A URL of another account is refused, and absence is believed only under a proved account.
        """

    @abstractmethod
    def describe(self, refs: Sequence[Ref] | None) -> Iterable[VM]:
        """These VMs as they are now, in as few calls as the cloud allows; None is all of ours.

        A VM that is left out counts as absent (or not visible yet, within the horizon). Give an
        explicit ABSENT only for a VM that the cloud says is gone.
        """

    def describe_changed(self, refs: Sequence[Ref], states: frozenset[State]) -> Iterable[VM]:
        """Those of these VMs (all with ids) that are in none of `states`.

        Define it where the cloud can filter by state, so that VMs on their way cost nothing while
        they are waited for. One that is left out is taken to be on its way; from time to time
        `describe` is asked about it all the same.
        """
        raise NotImplementedError

    def resolve(self, params: P) -> P:
        """The params of a create with all choices made that could fall otherwise another time.

        Asked before the intent is written: an image's alias becomes its id here. What cannot be
        resolved is raised as the cloud's refusal.
        """
        return params

    def provision_parts(self, names: Sequence[str], params: P) -> Iterable[Sequence[str]]:  # noqa: ARG002
        """The names of VMs with equal params, divided into what one `provision_many` can make."""
        return [names]

    @abstractmethod
    def provision(self, vm: Target[P], token: str) -> Handle:
        """Ask for a new VM, tagged with `vm.tags`, all that belongs to it deleted along with it.

        The same token must never make a second VM (else see `creates_once`). `handle["vmId"]` is
        the new VM's id.
        """

    @abstractmethod
    def start(self, vm: Target[P], token: str) -> Handle:
        """Ask a stopped VM to run."""

    @abstractmethod
    def stop(self, vm: Target[P], token: str, mode: StopMode) -> Handle:
        """Ask a VM to shut down; `release` gives its compute back, `keep` holds it."""

    @abstractmethod
    def restart(self, vm: Target[P], token: str) -> Handle:
        """Ask a running VM to boot again; with two phases, ask it to stop (`restart_phases`)."""

    @abstractmethod
    def deprovision(self, vm: Target[P], token: str) -> Handle:
        """Ask for the VM and all that was created for it to be deleted."""

    def poll(self, operations: Sequence[Operation], timeout: float) -> Mapping[str, Progress]:  # noqa: ARG002
        """How operations stand, by operation id; those left out are judged by their VM's state.

        Leave out an operation that the cloud has forgotten. Return within `timeout` seconds.
        """
        return {}

    def retag(self, vm: VM, tags: Tags) -> None:
        """Write these ownership tags on a VM and on all that belongs to it, in place of its own.

        Raises:
            NotSupported: The cloud cannot change the tags of a VM (the default).
        """
        raise NotSupported(f"{self.name} cannot change the tags of VM {vm.name!r} to {tags}")

    def idle(self, seconds: float) -> None:
        """Use up to `seconds` between two looks for what can be done later, such as naming VMs.

        Called by whoever waits. Nothing may depend on it; what it raises is logged and forgotten.
        """

    def pay(self, kind: str) -> None:
        """Return when one more call of this class, of those in `own_limits`, may be made.

        The core pays for each verb, look and poll. What makes more calls of one (pages, reads one
        by one) pays for them itself, by a class of its own.
        """
        if self.budget is not None:
            self.budget(kind)

    def cloud_time(self) -> float:
        """The cloud's own clock, epoch seconds: what a VM's time to live is measured by."""
        return self.clock.now()

    def restart_phases(self, vm: Target[P]) -> int:  # noqa: ARG002
        """2 where `restart` only stops the VM and the core must start it again, else 1."""
        return 1

    def explain(self, error: Exception) -> Fault | None:  # noqa: ARG002
        """What an SDK's exception says; None for one that is a bug and must pass through."""
        return None

    def close(self) -> None:
        """Let go of sockets and files; the connection is not used again."""
