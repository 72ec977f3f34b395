"""The two tables: what to do about a VM, and when an act is over."""

from __future__ import annotations

import pytest

from vmops import VM, Action, Failed, Next, Operation, Pending, Progress, State, Succeeded
from vmops.errors import Conflict, NotFound
from vmops.semantics import POWER_CYCLE, Decision, boot_id, decide, judge

# action -> what it does from: absent, starting, running, stopping, stopped, deleting, failed
EXPECTED = {
    "provision": "call join done-at-once Conflict call-start Conflict Conflict",
    "start": "NotFound join done-at-once Conflict call Conflict Conflict",
    "stop": "NotFound call call join done-at-once Conflict Conflict",
    "restart": "NotFound Conflict call Conflict Conflict Conflict Conflict",
    "deprovision": "done-at-once call call call call join call",
}


@pytest.mark.parametrize("action", list(Action), ids=str)
def test_decisions(action: Action) -> None:
    """The table is the design's, cell by cell."""
    found = [decide(action, VM("a", state)).value.replace(" ", "-") for state in State]
    assert found == EXPECTED[action.value].split()


def test_a_stop_releases_what_is_held() -> None:
    """A stopped VM that holds compute is stopped again to release it, unless it may keep it."""
    held = VM("a", State.STOPPED, holds_compute=True)
    assert decide(Action.STOP, held, "release") is Decision.CALL
    assert decide(Action.STOP, held, "keep") is Decision.DONE


def operation(action: Action, mode: str = "", phase: int = 1, **handle: str) -> Operation:
    """An operation asked for at 1000."""
    return Operation("x", "a", action, "1", 1000.0, handle=handle, mode=mode, phase=phase)


def at(state: State, started: float | None = None, **extras: object) -> VM:
    """The VM in a state."""
    return VM("a", state, id="i-1", started=started, **extras)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "vm", "expected"),
    [
        (operation(Action.PROVISION), at(State.STARTING), Pending),
        (operation(Action.PROVISION), at(State.RUNNING), Succeeded),
        (operation(Action.PROVISION), at(State.STOPPED), Failed),
        (operation(Action.PROVISION), at(State.FAILED), Failed),
        (operation(Action.PROVISION), at(State.DELETING), Failed),
        (operation(Action.START), at(State.RUNNING), Succeeded),
        (operation(Action.START), at(State.STOPPED), Failed),
        (operation(Action.STOP, "release"), at(State.STOPPING), Pending),
        (operation(Action.STOP, "release"), at(State.RUNNING, 5.0), Pending),
        (operation(Action.STOP, "release", boot="5.000"), at(State.RUNNING, 5.0), Pending),
        (operation(Action.STOP, "release", boot="5.000"), at(State.RUNNING, 6.0), Failed),
        (operation(Action.STOP, "release"), at(State.STOPPED), Succeeded),
        (operation(Action.STOP, "release"), at(State.STOPPED, holds_compute=True), Pending),
        (operation(Action.STOP, "keep"), at(State.STOPPED, holds_compute=True), Succeeded),
        (operation(Action.RESTART, boot="5.000"), at(State.RUNNING, 5.0), Pending),
        (operation(Action.RESTART, boot="5.000"), at(State.RUNNING, 6.0), Succeeded),
        (operation(Action.RESTART, boot="5.000"), at(State.STOPPED), Failed),
        (operation(Action.RESTART, POWER_CYCLE, boot="5.000"), at(State.STOPPED), Next),
        (operation(Action.RESTART, POWER_CYCLE, 2, boot="5.000"), at(State.STOPPED), Failed),
        (operation(Action.RESTART, POWER_CYCLE, 2, boot="5.000"), at(State.STARTING), Pending),
        (operation(Action.DEPROVISION), at(State.DELETING), Pending),
        (operation(Action.DEPROVISION), at(State.RUNNING), Pending),
        (operation(Action.DEPROVISION), at(State.ABSENT), Succeeded),
        (operation(Action.DEPROVISION, vmId="i-0"), at(State.RUNNING), Succeeded),
        (operation(Action.PROVISION, vmId="i-0"), at(State.RUNNING), Failed),
    ],
)
def test_judgements(asked: Operation, vm: VM, expected: type[Progress]) -> None:
    """An operation is over when its VM's state says so, and only then."""
    assert isinstance(judge(asked, vm, now=2000.0, horizon=60.0), expected)


@pytest.mark.parametrize("action", list(Action), ids=str)
def test_absence_proves_nothing_within_the_horizon(action: Action) -> None:
    """A VM that is not shown may not be visible yet, until the horizon has passed."""
    asked = operation(action)
    assert isinstance(judge(asked, None, now=1059.0, horizon=60.0), Pending)
    settled = judge(asked, None, now=1060.0, horizon=60.0)
    assert isinstance(settled, Succeeded if action is Action.DEPROVISION else Failed)


def test_stale_stopped_after_a_start_is_believed_only_later() -> None:
    """Right after a start, `stopped` may be what the cloud showed before."""
    asked = operation(Action.START)
    assert isinstance(judge(asked, at(State.STOPPED), now=1001.0, horizon=60.0), Pending)


def test_why_is_told() -> None:
    """Failures say what happened: the cloud's own reason first."""
    gone = judge(operation(Action.STOP), None, now=2000.0, horizon=0.0)
    assert isinstance(gone, Failed)
    assert isinstance(gone.error, NotFound)
    cause = Conflict("taken away")
    told = judge(operation(Action.START), at(State.FAILED, error=cause), now=2000.0, horizon=0.0)
    assert isinstance(told, Failed)
    assert told.error is cause


def test_boot_ids() -> None:
    """A boot is told by when it began, as text; nothing where the cloud does not say."""
    assert boot_id(at(State.RUNNING, 5.0)) == "5.000"
    assert boot_id(at(State.RUNNING)) == ""
