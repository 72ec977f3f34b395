"""Provisioning as a VMEnv means it: afterwards the VM is the one that this trial asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from mlos_bench.environments.status import Status

from vmops.clock import Clock
from vmops.errors import CloudError, Conflict, InvalidParams, JournalError, Unavailable
from vmops.facade import VMOps
from vmops.integrations.mlos_bench.answers import Answer, failed
from vmops.integrations.mlos_bench.environment import Environment
from vmops.integrations.mlos_bench.options import ServiceOptions
from vmops.vm import State

__all__ = ["Provisioning"]

_log = logging.getLogger("vmops")

_PATIENCE: Final = 300.0
"""Seconds, where no `pollTimeout` is given."""
_DELETE: Final = {"deprovisionMode": "delete"}


class Provisioning:
    """Makes a VM, or finds it as it should be; otherwise makes it anew.

    Args:
        ops: Makes and deletes.
        options: What becomes of a VM that should be another; who logs in with which key.
        environment: Knows which params are for what, and the config's.
    """

    def __init__(self, ops: VMOps, options: ServiceOptions, environment: Environment) -> None:
        """Read the public key."""
        self._ops = ops
        self._on_change = options.on_change
        self._environment = environment
        self._login = {
            "sshPublicKey": options.ssh_public_key,
            "adminUsername": options.ssh_username,
        }
        self._made: dict[str, dict[str, Any]] = {}
        self._told: set[str] = set()

    def provision(self, params: Mapping[str, Any]) -> Answer:
        """The answer to `vm_provision`, of a VM with these params.

        Raises:
            InvalidParams: They are wrong.
            CloudError: The cloud cannot be asked.
        """
        ours, changes = self._compared(self._environment.to_make(params))
        use, name = self._environment.to_use(ours), self._environment.given("vmName", ours)
        found = self._ops.find(use)
        state = found.vm.state
        if state is State.DELETING:  # perhaps by a run of mlos_bench that was killed
            self._ops.wait_vm_deployment(False, {**use, **_DELETE})  # noqa: FBT003
            state, changes = State.ABSENT, None
        differ = [] if state is State.ABSENT and not changes else self._known(name, ours, changes)
        if differ and self._on_change != "keep":
            refusal = self._deleted(name, ours, differ)
            if refusal is not None:
                return refusal
        elif state in {State.RUNNING, State.STOPPED}:
            self._keep_alive(ours)
        if not self._environment.given("ttl", ours):
            self._tell("no ttl is given: a VM that a killed mlos_bench leaves is never reaped")
        status, result = self._patiently(ours, found.clock)
        if status is not Status.FAILED:
            self._made[name] = self._environment.shape(ours)
        return status, result

    def _patiently(self, ours: dict[str, Any], clock: Clock) -> Answer:
        """The answer to `vm_provision`, once nothing can come any more of what was asked before."""
        patience = self._environment.given("pollTimeout", ours)
        deadline = clock.now() + (_PATIENCE if patience is None else float(patience))
        while True:
            status, result = self._ops.vm_provision(ours)
            pause = getattr(result.error, "retry_after", None) or 0.0
            if not (isinstance(result.error, Conflict) and 0 < pause < deadline - clock.now()):
                return status, result
            clock.sleep(pause)

    def _known(self, name: str, ours: dict[str, Any], changes: list[str] | None) -> list[str]:
        """What differs from what a VM was made with, as far as it is known."""
        if changes is not None:
            return changes
        before, shape = self._made.get(name), self._environment.shape(ours)
        if before is None:
            self._tell(f"VM {name!r} was there; with which params it was made, nobody knows")
            return []
        return sorted(k for k in before.keys() | shape.keys() if before.get(k) != shape.get(k))

    def _compared(self, given: dict[str, Any]) -> tuple[dict[str, Any], list[str] | None]:
        """The params with the login's, and which of them differ from those the VM was made with.

        A VM that takes no key, such as one without SSH, is made without.
        """
        login = {k: v for k, v in self._login.items() if v and not self._environment.given(k, {})}
        whole = self._environment.to_make({**login, **given})
        try:
            return whole, self._changes(whole)
        except InvalidParams:
            if whole == given:
                raise
            changes = self._changes(given)
            self._tell("the VM takes no user or key from the service config, and gets none")
            return given, changes

    def _changes(self, ours: dict[str, Any]) -> list[str] | None:
        try:
            return self._ops.changes(ours)
        except (CloudError, JournalError):
            return None  # provisioning meets the same obstacle, and tells of it

    def _deleted(self, name: str, ours: dict[str, Any], differ: list[str]) -> Answer | None:
        """Delete a VM that was made with other params; the answer where that cannot be."""
        differs = f"VM {name!r} was made with other params ({', '.join(differ)})"
        if self._on_change == "fail":
            hint = "give onChange=replace to make it anew, or keep to use it as it is"
            return failed("provision_host", Conflict(differs, hint=hint))
        _log.warning("%s: it is deleted and made anew", differs)
        status, result = self._ops.vm_deprovision({**self._environment.to_use(ours), **_DELETE})
        if status is Status.PENDING:
            status, result = self._ops.wait_vm_deployment(False, {**result, **_DELETE})  # noqa: FBT003
        if status is Status.TIMED_OUT and result.error is None:
            slow = f"{differs}, and is still being deleted"
            return failed("provision_host", Unavailable(slow, hint="give it a longer pollTimeout"))
        return None if status is Status.SUCCEEDED else (Status.FAILED, result)

    def _keep_alive(self, ours: dict[str, Any]) -> None:
        """Let the `ttl` of a VM that is there begin anew; a failure is logged."""
        if ttl := self._environment.given("ttl", ours):
            self._ops.renew({**self._environment.to_use(ours), "ttl": ttl})

    def _tell(self, warning: str) -> None:
        """Log a warning, once."""
        if warning not in self._told:
            self._told.add(warning)
            _log.warning("%s", warning)
