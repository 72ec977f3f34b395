"""The `libcloud` backend: whatever libcloud has a driver for, as the core wants it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from vmops import (
    VM,
    Backend,
    Bucket,
    Check,
    Failed,
    Fault,
    Handle,
    Limit,
    Operation,
    Pending,
    Progress,
    Ref,
    StopMode,
    Tags,
    Target,
)
from vmops.errors import CloudError, NotFound, NotSupported, TransientError
from vmops_libcloud import launch
from vmops_libcloud.background import Background
from vmops_libcloud.capabilities import capabilities
from vmops_libcloud.checkup import checks
from vmops_libcloud.choices import Choices
from vmops_libcloud.dialects import dialect
from vmops_libcloud.drivers import Drivers
from vmops_libcloud.errors import CODES, CallError, as_error, may_have_begun, read, untold
from vmops_libcloud.machines import Machines
from vmops_libcloud.params import LibcloudParams
from vmops_libcloud.settings import LibcloudSettings
from vmops_libcloud.turns import turn

__all__ = ["LibcloudBackend"]

_log = logging.getLogger("vmops")

_MAKING: Final = 900.0
"""Seconds for which a VM may be in no list where the driver waits until it is made."""
_SENDING: Final = 60.0
"""Seconds that a create takes at most where it does not wait."""


class LibcloudBackend(Backend[LibcloudSettings, LibcloudParams]):
    """Virtual machines of any provider that libcloud has a driver for."""

    name = "libcloud"
    error_codes = CODES
    poll_timeout = 600.0
    confirms_restart = False

    def __init__(self, settings: LibcloudSettings) -> None:
        """Ask nothing yet."""
        super().__init__(settings)
        self._can = capabilities(settings.provider)
        self._dialect = dialect(self._can)
        self.poll_interval = settings.tick
        blocks = "provision" in self._can.blocking
        usual = max(self._dialect.horizon, _MAKING if blocks else 0.0)
        self.horizon = usual if settings.horizon is None else settings.horizon
        self.stop_modes = self._dialect.stop_modes
        self.creates_once = bool(self._can.token) or self._can.unique
        self._drivers = Drivers(settings, self._dialect, self._paid)
        self._choices = Choices(self._drivers, self._dialect, self._now)
        self._machines = Machines(self._drivers, self._dialect, self._now, self.horizon)
        self._background = Background(self._told)
        self._patience = _MAKING if blocks else _SENDING
        limits = {kind: Limit(requests=Bucket(*of)) for kind, of in self._can.budgets.items()}
        self.limits = {"provision": limits.pop("creates")} if "creates" in limits else {}
        self.own_limits = limits

    @classmethod
    def doctor(cls, settings: LibcloudSettings) -> Iterable[Check]:
        """Whether the driver is here, what it can do, and what these credentials may see."""
        return checks(cls(settings))

    def account(self) -> str:
        """Who the credentials are to the provider; where it does not tell, what stands for them."""
        key = self.settings.key.get_secret_value()
        where = f"{self.settings.endpoint_url}/{sorted(self.settings.arguments.items())}"
        unproved = hashlib.sha256(f"{self._can.provider}/{key}/{where}".encode()).hexdigest()[:16]
        try:
            return self._drivers.call(self._dialect.account) or unproved
        except CallError as exc:
            error = as_error(exc, self._can.provider)
            if error is None or isinstance(error, TransientError) or self._dialect.must_prove:
                raise
            return unproved  # they may be allowed to do with VMs what they like, and nothing else

    def cloud_time(self) -> float:
        """The provider's clock, as an answer's Date tells it."""
        return self._machines.date() or super().cloud_time()

    def describe(self, refs: Sequence[Ref] | None) -> Iterable[VM]:
        """The VMs by id or name, or all of ours, by one list."""
        self._check("list")
        return self._machines.describe(refs)

    def resolve(self, params: LibcloudParams) -> LibcloudParams:
        """Names of sizes, images, locations and networks become ids."""
        self._check("provision")
        return self._choices.resolved(params)

    def provision(self, vm: Target[LibcloudParams], token: str) -> Handle:
        """Make the VM, if there is none with this token yet."""
        self._check("provision")
        arguments = launch.request(vm, token, self._choices, self._dialect)
        return self._done("provision", lambda: self._made(token, arguments))

    def start(self, vm: Target[LibcloudParams], token: str) -> Handle:  # noqa: ARG002
        """Start it."""
        return self._asked("start", vm, self._dialect.start)

    def stop(self, vm: Target[LibcloudParams], token: str, mode: StopMode) -> Handle:  # noqa: ARG002
        """Stop it, in one of the ways that the provider has."""
        return self._asked("stop", vm, lambda d, node: self._dialect.stop(d, node, mode))

    def restart(self, vm: Target[LibcloudParams], token: str) -> Handle:  # noqa: ARG002
        """Ask it to boot again."""
        mode = vm.params.restart_mode
        return self._asked("restart", vm, lambda d, node: self._dialect.restart(d, node, mode))

    def deprovision(self, vm: Target[LibcloudParams], token: str) -> Handle:  # noqa: ARG002
        """Delete it, and whatever else its create has made by being repeated."""
        alone = vm.alone or self.creates_once
        surplus = () if alone else self._machines.surplus(vm.vm)
        handle = self._asked("deprovision", vm, self._delete)
        for node in surplus:
            self._delete_surplus(node)
        return handle

    def _delete_surplus(self, node: Any) -> None:  # noqa: ANN401
        """Delete a VM that is too much; what stays, reaping finds."""
        try:
            self._done("deprovision", partial(self._ask, "deprovision", self._delete, node))
        except CallError as exc:
            error = self._error(exc)
            if not isinstance(error, NotFound):
                _log.warning("libcloud: VM %s is too much, and stays: %s", node.id, error)
        else:
            _log.warning("libcloud: VM %s is deleted, too: the same create has made it", node.id)

    def poll(self, operations: Sequence[Operation], timeout: float) -> Mapping[str, Progress]:  # noqa: ARG002
        """Which calls go on or have failed meanwhile, of those that take long."""
        found: dict[str, Progress] = {}
        for operation in operations:
            if self._background.is_running(operation.handle):
                found[operation.id] = Pending()  # what it makes may be in no list before it ends
                continue
            failure = self._background.failure(operation.handle)
            if failure is not None and not may_have_begun(failure, operation.action):
                found[operation.id] = Failed(self._error(failure))
        return found

    def retag(self, vm: VM, tags: Tags) -> None:
        """Write the marks, where they are metadata that can be changed."""
        self._check("retag")
        node = self._machines.node(vm)
        self._drivers.call(lambda driver: self._dialect.retag(driver, node, tags.to_dict()))

    def explain(self, error: Exception) -> Fault | None:
        """What an exception of libcloud's says."""
        return read(error, self._can.provider)

    def close(self) -> None:
        """Close the drivers' sockets."""
        self._drivers.close()

    def _made(self, token: str, arguments: Mapping[str, Any]) -> Handle:
        """The VM with this token: made now, unless a list that is asked for now has it."""
        if self._can.token:
            return self._create(arguments)
        with turn(token, self._patience):
            for made in self._machines.made_with(token):
                return {"vmId": made.id}
            try:
                return self._create(arguments)
            except CallError:
                self._machines.doubt(token)
                raise

    def _create(self, arguments: Mapping[str, Any]) -> Handle:
        node, seen = self._drivers.observed(lambda d: self._dialect.created(d, arguments))
        if not getattr(node, "id", None):
            raise untold(node, seen, "does not tell the new VM's id")
        return {"vmId": str(node.id)}

    def _check(self, verb: str) -> None:
        if why := self._can.missing.get(verb):
            raise NotSupported(f"{self._can.provider}: {why}")

    def _paid(self, kind: str) -> None:
        """One request, by what the provider grants of its kind and of all."""
        for one in (kind, "requests"):
            if one in self.own_limits:
                self.pay(one)

    def _told(self, failure: Exception) -> None:
        """What a call has raised whose verb had returned by then."""
        bug = failure if as_error(failure, self._can.provider) is None else None
        _log.warning("libcloud: a call that went on failed: %s", self._error(failure), exc_info=bug)

    def _error(self, failure: Exception) -> CloudError:
        """Why a call failed, were it by a bug."""
        cause = getattr(failure, "cause", failure)
        told = CloudError(f"{self._can.provider}: {cause!r}", hint="this is a bug: please tell it")
        return as_error(failure, self._can.provider) or told

    def _now(self) -> float:
        return self.clock.now()

    def _asked(
        self, verb: str, vm: Target[LibcloudParams], act: Callable[[Any, Any], Any]
    ) -> Handle:
        """The handle of something that was asked of a VM."""
        self._check(verb)
        node = self._machines.node(vm.vm)
        return self._done(verb, partial(self._ask, verb, act, node))

    def _ask(self, verb: str, act: Callable[[Any, Any], Any], node: Any) -> Handle:  # noqa: ANN401
        answer, seen = self._drivers.observed(lambda driver: act(driver, node))
        if answer is False:
            raise untold(answer, seen, f"does not say that the {verb} has begun")
        return {}

    def _delete(self, driver: Any, node: Any) -> Any:  # noqa: ANN401
        answer = self._dialect.plain("deprovision", driver, node)
        self._machines.doom(str(node.id))
        return answer

    def _done(self, verb: str, call: Callable[[], Handle]) -> Handle:
        return self._background.begin(call) if verb in self._can.blocking else call()
