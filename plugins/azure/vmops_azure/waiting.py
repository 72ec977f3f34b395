"""How operations stand: each asked about by itself, or many at once by a list of their VMs.

A list shows which VMs have left their transitional state; only those operations are then asked
about, so that a thousand of them cost a list a look instead of a thousand polls.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from vmops import (
    VM,
    Action,
    Operation,
    Pending,
    Progress,
    Ref,
    State,
    Succeeded,
    side_by_side,
)
from vmops_azure.errors import read
from vmops_azure.machines import FEW, Machines, provisioning_state, unique_id
from vmops_azure.operations import DONE, Operations

__all__ = ["Waiting"]

_FINAL: Final = frozenset({"succeeded", "failed", "canceled"})
_ASKED_AT_ONCE: Final = 30
"""Operations that one look asks about by themselves at most; others wait for the next one."""


class Waiting:
    """Polls the operations of one connection.

    Args:
        machines: Describes VMs.
        operations: Asks about single operations.
    """

    def __init__(self, machines: Machines, operations: Operations) -> None:
        """Ask nothing yet."""
        self._machines = machines
        self._operations = operations

    def progress(
        self, operations: Sequence[Operation], now: float, timeout: float
    ) -> dict[str, Progress]:
        """How operations stand, by id; those that ARM keeps no record of are left out."""
        recorded = [one for one in operations if self._operations.of(one)]
        early = {
            one.id: Pending(left)
            for one in recorded
            if (left := self._operations.early_by(one, now)) > 0
        }
        due = [one for one in recorded if one.id not in early]
        found: dict[str, Progress] = {**early}
        if len(due) > FEW:
            found |= self._seen_in_list(due)
            due = [one for one in due if one.id not in found]
            random.shuffle(due)  # none waits for ever behind others
            found |= {one.id: Pending() for one in due[_ASKED_AT_ONCE:]}
            due = due[:_ASKED_AT_ONCE]
        return found | self._asked(due, now, timeout)

    def _seen_in_list(self, operations: Sequence[Operation]) -> dict[str, Progress]:
        """What a list of VMs says of operations; those that it cannot tell of are left out."""
        models = {model["name"].lower(): model for model in self._machines.listed()}
        found: dict[str, Progress] = {}
        made: dict[str, Operation] = {}
        for operation in operations:
            model = models.get(operation.vm.lower())
            state = provisioning_state(model) if model else ""
            if model is None or unique_id(model) != operation.vm_id:
                continue
            if state not in _FINAL:
                found[operation.id] = Pending()
            elif state == "succeeded" and operation.action is Action.PROVISION:
                made[operation.vm_id] = operation
        running = [_running(models[one.vm.lower()]) for one in made.values()]
        for _, vm in self._machines.read(running):
            found[made[vm.id].id] = Succeeded(vm=replace(vm, name=made[vm.id].vm))
        return found

    def _asked(
        self, operations: Sequence[Operation], now: float, timeout: float
    ) -> dict[str, Progress]:
        """What ARM's records say; an operation whose record gave no answer goes on.

        Raises:
            Exception: What azure-core raises, where there was no answer about any operation.
        """

        def ask(operation: Operation) -> Progress | Exception | None:
            try:
                step = self._operations.poll(operation, now, timeout)
            except Exception as exc:
                if read(exc) is None:
                    raise
                return exc
            if step is DONE:
                return self._done(operation)
            return step  # type: ignore[return-value]

        answers = side_by_side(ask, list(operations))
        errors = [answer for answer in answers if isinstance(answer, Exception)]
        if errors and len(errors) == len(answers):
            raise errors[0]
        found: dict[str, Progress] = {}
        for operation, answer in zip(operations, answers, strict=True):
            if isinstance(answer, Exception):
                fault = read(answer)
                found[operation.id] = Pending(fault.retry_after if fault else None)
            elif answer is not None:
                found[operation.id] = answer
            if not isinstance(found.get(operation.id), Pending):
                self._operations.forget(operation)
        return found

    def _done(self, operation: Operation) -> Succeeded:
        """An operation that succeeded; what it has left is known if its VM was seen before.

        Addresses of VMs that vmops made stay; those of others may have changed by a start.
        """
        if operation.action is Action.DEPROVISION:
            return Succeeded(vm=VM(operation.vm, State.ABSENT, id=operation.vm_id))
        known = self._machines.known(operation.vm_id)
        self._machines.sighted(operation.vm_id)
        if operation.action is Action.RESTART:
            ref = Ref(operation.vm, operation.vm_id)
            seen = known or next(iter(self._machines.describe([ref])), None)
            vm = seen and replace(seen, name=operation.vm, state=State.RUNNING, error=None)
            return Succeeded({"restartConfirmed": True}, vm=vm)
        if operation.action is Action.PROVISION or known is None or known.tags is None:
            return Succeeded()
        if operation.action is Action.START and "privateIp" not in known.info:
            return Succeeded()
        state = State.RUNNING if operation.action is Action.START else State.STOPPED
        holds = state is State.STOPPED and operation.mode == "keep"
        vm = replace(known, name=operation.vm, state=state, holds_compute=holds, error=None)
        return Succeeded(vm=vm)


def _running(model: dict[str, Any]) -> dict[str, Any]:
    """A model from a list, which lacks the power state of a VM that was just made."""
    view = {"statuses": [{"code": "PowerState/running"}]}
    return {**model, "properties": {**model["properties"], "instanceView": view}}
