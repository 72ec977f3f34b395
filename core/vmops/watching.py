"""How operations stand: by the cloud's own records of them, else by what their VMs show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vmops.backend import Backend, Pending, Progress, Succeeded
from vmops.connection import Connection, vm_info
from vmops.errors import CloudError
from vmops.operation import Operation
from vmops.semantics import judge, on_the_way
from vmops.vm import VM, Ref, State

__all__ = ["Watcher"]

_WHOLE_LOOK: Final = 60.0
"""Seconds after which a VM that no look for changes has shown is looked at all the same."""


class Watcher:
    """Looks at the operations of one connection, in as few calls and answers as the cloud allows.

    Args:
        connection: The cloud.
    """

    def __init__(self, connection: Connection) -> None:
        """Ask nothing of the cloud yet."""
        self._connection = connection
        kind = type(connection.backend)
        self._polls = kind.poll is not Backend.poll
        self._sees_changes = kind.describe_changed is not Backend.describe_changed
        self._looked: dict[str, float] = {}

    def progress(self, operations: Sequence[Operation], timeout: float) -> dict[str, Progress]:
        """How operations stand, by id.

        Raises:
            CloudError: The cloud gave no answer, which says nothing about any operation.
        """
        self._connection.forget_old()
        progress = self._polled(operations, timeout) if self._polls else {}
        asked = [o for o in operations if _needs_look(progress.get(o.id))]
        groups: dict[frozenset[State], list[Operation]] = {}
        for operation in asked:
            known = operation.id in progress
            groups.setdefault(frozenset() if known else self._quiet(operation), []).append(
                operation
            )
        failed: dict[CloudError, list[Operation]] = {}
        for states, group in groups.items():
            try:
                found = self._changes(group, states) if states else self._whole(group, progress)
            except CloudError as exc:
                failed[exc] = group
            else:
                progress.update(found)
        if len(failed) == len(groups) and groups:
            raise next(iter(failed))
        for error, group in failed.items():  # what others have learned is not lost
            progress.update({o.id: Pending(error.retry_after) for o in group})
        self._forget([o for o in operations if not isinstance(progress[o.id], Pending)])
        return progress

    def _polled(self, operations: Sequence[Operation], timeout: float) -> dict[str, Progress]:
        """What the cloud's own records say; a VM that comes with it needs no look."""
        now = self._connection.clock.now()
        progress = dict(self._connection.poll(operations, timeout))
        for operation in operations:
            step = progress.get(operation.id)
            if isinstance(step, Succeeded) and step.vm is not None:
                known = Succeeded({**vm_info(step.vm), **step.info})
                progress[operation.id] = self._judged(operation, step.vm, now, known)
        return progress

    def _quiet(self, operation: Operation) -> frozenset[State]:
        """The states in which the VM need not be shown; none where it must be seen wholly."""
        if not (self._sees_changes and operation.vm_id):
            return frozenset()
        looked = self._looked.get(operation.id, operation.at)
        if self._connection.clock.now() - looked >= _WHOLE_LOOK:
            return frozenset()
        return on_the_way(operation)

    def _changes(self, group: Sequence[Operation], states: frozenset[State]) -> dict[str, Progress]:
        now = self._connection.clock.now()
        refs = [Ref(o.vm, o.vm_id) for o in group]
        seen = {vm.id: vm for vm in self._connection.look_for_changes(refs, states)}
        return {
            o.id: self._judged(o, seen[o.vm_id], now) if o.vm_id in seen else Pending()
            for o in group
        }

    def _whole(self, group: Sequence[Operation], known: dict[str, Progress]) -> dict[str, Progress]:
        now = self._connection.clock.now()
        progress: dict[str, Progress] = {}
        seen = self._connection.look([Ref(o.vm, o.vm_id) for o in group])
        for operation, vm in zip(group, seen, strict=True):
            step = known.get(operation.id)
            if isinstance(vm, Exception):
                if step is None:
                    raise vm
                continue  # the operation is known to have succeeded; only its extras are missing
            if self._sees_changes:
                self._looked[operation.id] = now
            progress[operation.id] = self._judged(operation, vm, now, step)
        return progress

    def _judged(
        self, operation: Operation, vm: VM | None, now: float, step: Progress | None = None
    ) -> Progress:
        step = step or judge(operation, vm, now, self._connection.backend.horizon)
        if not isinstance(step, Succeeded):
            return step
        if vm is not None:
            self._connection.remember(vm, now)
        known = {"vmId": operation.vm_id, **step.info, **(vm_info(vm) if vm else {})}
        return Succeeded({**known, "vmName": operation.vm})

    def _forget(self, ended: Sequence[Operation]) -> None:
        for operation in ended:
            self._looked.pop(operation.id, None)


def _needs_look(step: Progress | None) -> bool:
    """Whether the VM itself must be seen: to judge by its state, or for the result's extras."""
    return step is None or (isinstance(step, Succeeded) and not step.info)
