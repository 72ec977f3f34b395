"""Two tables that hold for every cloud: what to do about a VM in a state, and when an act is done.

`decide` is asked before anything is sent ("look before you act"); `judge` is asked while waiting,
for operations of which the cloud keeps no record. Nothing else in vmops branches on states.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from vmops.backend import Failed, Next, Pending, Progress, Succeeded
from vmops.errors import CloudError, Conflict, NotFound
from vmops.operation import Action, Operation
from vmops.vm import VM, State

__all__ = [
    "POWER_CYCLE",
    "TABLE",
    "UNCONFIRMED",
    "UNSEEN",
    "Decision",
    "boot_id",
    "decide",
    "judge",
    "on_the_way",
]

POWER_CYCLE: Final = "power-cycle"
"""The mode of a restart that is a stop, then a start that the core asks for."""

UNCONFIRMED: Final = "unconfirmed"
"""The mode of a restart that leaves no trace in what the cloud tells of the VM."""

UNSEEN: Final = "unseen"
"""The mode of a deletion of which nothing could be sent: no VM was to be seen yet."""


class Decision(enum.StrEnum):
    """What to do with an action on a VM in some state."""

    DONE = "done at once"
    JOIN = "join"
    CALL = "call"
    START = "call start"
    NOT_FOUND = "NotFound"
    CONFLICT = "Conflict"


_D = Decision
TABLE: Final[Mapping[Action, Mapping[State, Decision]]] = {
    Action.PROVISION: {
        State.RUNNING: _D.DONE,
        State.STARTING: _D.JOIN,
        State.ABSENT: _D.CALL,
        State.STOPPED: _D.START,
    },
    Action.START: {State.RUNNING: _D.DONE, State.STARTING: _D.JOIN, State.STOPPED: _D.CALL},
    Action.STOP: {
        State.STOPPED: _D.DONE,
        State.STOPPING: _D.JOIN,
        State.RUNNING: _D.CALL,
        State.STARTING: _D.CALL,
    },
    Action.RESTART: {State.RUNNING: _D.CALL},
    Action.DEPROVISION: {
        State.ABSENT: _D.DONE,
        State.DELETING: _D.JOIN,
        State.STARTING: _D.CALL,
        State.RUNNING: _D.CALL,
        State.STOPPING: _D.CALL,
        State.STOPPED: _D.CALL,
        State.FAILED: _D.CALL,
    },
}


def decide(action: Action, vm: VM, mode: str = "") -> Decision:
    """What to do about `action` on a VM as it is now; a cell not in TABLE is a refusal."""
    refusal = _D.NOT_FOUND if vm.state is State.ABSENT else _D.CONFLICT
    decision = TABLE[action].get(vm.state, refusal)
    if decision is _D.DONE and action is Action.STOP and not _released(vm, mode):
        return _D.CALL
    return decision


def on_the_way(operation: Operation) -> frozenset[State]:
    """The states in which an operation's VM has nothing new to tell; none if any may end it."""
    if operation.action is Action.RESTART:
        return _RESTARTS.get((operation.mode, operation.phase), frozenset())
    return frozenset() if operation.mode == UNSEEN else _ON_THE_WAY[operation.action]


_ON_THE_WAY: Final = {
    Action.PROVISION: frozenset({State.STARTING}),
    Action.START: frozenset({State.STARTING}),
    Action.STOP: frozenset({State.RUNNING, State.STOPPING}),
    Action.DEPROVISION: frozenset(State) - {State.ABSENT},
}
_RESTARTS: Final = {
    (POWER_CYCLE, 1): _ON_THE_WAY[Action.STOP],
    (POWER_CYCLE, 2): _ON_THE_WAY[Action.START],
}


def judge(operation: Operation, vm: VM | None, now: float, horizon: float) -> Progress:
    """How an operation stands by its VM's state alone.

    Args:
        operation: The operation that is waited for.
        vm: Its VM, or None where the cloud shows none.
        now: Epoch seconds.
        horizon: Seconds after the operation was sent within which a missing VM proves nothing.
    """
    settled = now - operation.at >= horizon
    tombstone = vm is not None and vm.state is State.ABSENT and vm.id != operation.vm_id
    if (vm is None or tombstone) and not settled:  # nothing, or what had the name before
        return Pending()
    if vm is None or (vm.id and operation.vm_id and vm.id != operation.vm_id):
        vm = VM(operation.vm, State.ABSENT)  # another VM that took over the name is not ours
    return _JUDGES[operation.action](operation, vm, settled)


def _judge_running(operation: Operation, vm: VM, settled: bool) -> Progress:  # noqa: FBT001
    if vm.state is State.RUNNING:
        return Succeeded(vm.info)
    if vm.state is State.STOPPED and not settled:
        return Pending()
    if vm.state in {State.STOPPED, State.STOPPING, State.DELETING}:
        return Failed(_ended(operation, vm, "before it was running"))
    return _pending_unless_lost(operation, vm)


def _judge_stopped(operation: Operation, vm: VM, settled: bool) -> Progress:  # noqa: ARG001, FBT001
    if vm.state is State.STOPPED and _released(vm, operation.mode):
        return Succeeded(vm.info)
    if vm.state is State.RUNNING and _booted_since(operation, vm):
        return Failed(Conflict(f"VM {vm.name!r} was started again after this {operation.action}"))
    return _pending_unless_lost(operation, vm)


def _judge_restarted(operation: Operation, vm: VM, settled: bool) -> Progress:  # noqa: FBT001
    if vm.state is State.RUNNING and operation.mode == UNCONFIRMED:
        return Succeeded({**vm.info, "restartConfirmed": _booted_since(operation, vm)})
    if vm.state is State.RUNNING and _booted_since(operation, vm):
        return Succeeded(vm.info)
    if vm.state is State.STOPPED and operation.phase == 1 and operation.mode == POWER_CYCLE:
        return Next()
    if vm.state is State.STOPPED and operation.phase > 1 and not settled:
        return Pending()  # the start may not be shown yet
    if vm.state is State.STOPPED:
        return Failed(_ended(operation, vm, "instead of booting again"))
    return _pending_unless_lost(operation, vm)


def _judge_gone(operation: Operation, vm: VM, settled: bool) -> Progress:  # noqa: ARG001, FBT001
    if operation.mode == UNSEEN and vm.state in {State.RUNNING, State.STOPPED, State.FAILED}:
        appeared = f"VM {vm.name!r} has appeared: its create was under way when it was deleted"
        return Failed(Conflict(appeared, remains=f"VM {vm.name!r}", hint="repeat vm_deprovision"))
    return Succeeded(vm.info) if vm.state is State.ABSENT else Pending()


_JUDGES: Final = {
    Action.PROVISION: _judge_running,
    Action.START: _judge_running,
    Action.STOP: _judge_stopped,
    Action.RESTART: _judge_restarted,
    Action.DEPROVISION: _judge_gone,
}


def _pending_unless_lost(operation: Operation, vm: VM) -> Progress:
    if vm.state is State.ABSENT:
        return Failed(
            vm.error or NotFound(f"VM {vm.name!r} is gone; {operation.action} cannot finish")
        )
    if vm.state is State.FAILED:
        return Failed(_ended(operation, vm, "in a failed state"))
    return Pending()


def _ended(operation: Operation, vm: VM, how: str) -> CloudError:
    return vm.error or CloudError(
        f"VM {vm.name!r} is {vm.state} {how} ({operation.action})",
        remains=f"VM {vm.name!r}",
        hint="vm_start tries again, vm_deprovision deletes it",
    )


def _released(vm: VM, mode: str) -> bool:
    return mode == "keep" or not vm.holds_compute


def _booted_since(operation: Operation, vm: VM) -> bool:
    # the boot seen before the act is in the handle, so that no two clocks are ever compared
    before = operation.handle.get("boot")
    return before is not None and vm.started is not None and boot_id(vm) != before


def boot_id(vm: VM) -> str:
    """What tells this boot of a VM from every other; empty where the cloud does not say."""
    return "" if vm.started is None else f"{vm.started:.3f}"
