"""What waiting costs, what it notices, and what EC2's late view of things does to it."""

from __future__ import annotations

from typing import Any

import pytest

from vmops import Operation, Status
from vmops.errors import Conflict, NotFound

WEB = {"vmName": "web-1"}
NAMES = [f"web-{i}" for i in range(20)]


def test_one_call_a_tick_for_many(aws: Any, ops: Any) -> None:
    """Twenty waits are one call a tick, which asks for those that have left their state."""
    aws.cloud.settings(run=0.4)
    answers = aws.asked(ops, "provision", NAMES)
    with aws.counted() as calls:
        aws.ended(ops, answers)
    looks = [call for call in calls if call != "CreateTags"]  # names, while there is time
    assert set(looks) == {"DescribeInstances"}
    assert 2 <= len(looks) <= 0.4 / 0.02 + 5
    for one in aws.filters()[-len(looks) :]:
        assert one["instance-state-name"] == [
            *("running", "shutting-down", "terminated", "stopping", "stopped")
        ]


STATES: dict[str, set[str]] = {
    "provision": {"running", "shutting-down", "terminated", "stopping", "stopped"},
    "stop": {"pending", "shutting-down", "terminated", "stopped"},
    "start": {"running", "shutting-down", "terminated", "stopping", "stopped"},
    "deprovision": {"terminated"},
}


@pytest.mark.parametrize(("verb", "states"), STATES.items(), ids=STATES)
def test_looks_are_for_changes(aws: Any, ops: Any, verb: str, states: set[str]) -> None:
    """Each wait asks for the states that end it, so that a VM on its way costs nothing."""
    if verb != "provision":
        aws.up(ops)
    if verb == "start":
        aws.wait(ops, ops.vm_stop(WEB))
    answer = getattr(ops, f"vm_{verb}")(aws.params() if verb == "provision" else WEB)
    before = len(aws.filters())
    result = aws.wait(ops, answer)
    looks = aws.filters()[before:]
    assert looks
    assert all(look["instance-id"] == [result["vmId"]] for look in looks)
    assert all(set(look["instance-state-name"]) == states for look in looks)


@pytest.mark.parametrize("verb", ["provision", "stop"])
def test_a_vm_that_vanished(aws: Any, ops: Any, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """A VM of which EC2 forgot even the end is found out by the look for the whole of it."""
    if verb == "stop":
        aws.up(ops)
    aws.cloud.settings(run=60, stop=60, terminate=0, vanish=0)
    answer = ops.vm_provision(aws.params()) if verb == "provision" else ops.vm_stop(WEB)
    vm_id = Operation.from_url(answer[1]["asyncResultsUrl"]).vm_id
    aws.api.terminate_instances(InstanceIds=[vm_id])
    status, _ = aws.end(ops, answer, pollTimeout=0.1)
    assert status is Status.TIMED_OUT, "looks for changes alone never show it"
    monkeypatch.setattr("vmops.watching._WHOLE_LOOK", 0.05)
    monkeypatch.setattr("vmops_aws.backend.AwsBackend.horizon", 0.05)
    status, result = aws.end(ops, answer)
    assert (status, type(result.error)) == (Status.FAILED, NotFound)
    assert aws.filters()[-1] == {"instance-id": [vm_id]}


def test_a_deletion_that_vanished(aws: Any, ops: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A VM that is deleted and forgotten at once is gone, once the horizon is over."""
    aws.up(ops)
    aws.cloud.settings(terminate=0, vanish=0)
    answer = ops.vm_deprovision(WEB)
    monkeypatch.setattr("vmops.watching._WHOLE_LOOK", 0.05)
    monkeypatch.setattr("vmops_aws.backend.AwsBackend.horizon", 0.05)
    aws.wait(ops, answer)
    assert (aws.states(), aws.left()) == ({"web-1": "GONE"}, {})


@pytest.mark.parametrize("fresh", [False, True], ids=["same process", "another"])
@pytest.mark.parametrize("verb", ["stop", "deprovision"])
def test_a_verb_right_after_a_create(aws: Any, ops: Any, verb: str, fresh: bool) -> None:
    """A VM that EC2 does not show yet can be stopped and deleted all the same."""
    aws.cloud.settings(invisible=0.15)
    _, pending = ops.vm_provision(aws.params())
    later = aws.open() if fresh else ops
    result = aws.wait(later, getattr(later, f"vm_{verb}")(WEB))
    assert result["vmId"] == Operation.from_url(pending["asyncResultsUrl"]).vm_id
    gone = verb == "deprovision"
    assert (aws.left() == {}, aws.states()["web-1"]) == (gone, "GONE" if gone else "ACCEPTED")
    assert aws.actions().count("RunInstances") == 1


def test_a_restart_right_after_a_create(aws: Any, ops: Any) -> None:
    """A VM that is on its way cannot be restarted yet: it is not asked for."""
    aws.cloud.settings(invisible=60)
    answer = ops.vm_provision(aws.params())
    status, result = ops.vm_restart(WEB)
    assert (status, type(result.error)) == (Status.FAILED, Conflict)
    aws.cloud.advance(61)
    aws.wait(ops, answer)
    assert "RebootInstances" not in aws.actions()


@pytest.mark.parametrize("count", [1, 3])
def test_a_late_view(aws: Any, ops: Any, count: int) -> None:
    """With new VMs unknown and states told late, whole lives go well and end with nothing left."""
    aws.cloud.settings(invisible=0.1, stale=0.05)
    names = NAMES[:count]
    made = aws.all(ops, "provision", names)
    for verb in ("stop", "start", "deprovision"):
        done = aws.all(ops, verb, names)
        assert {n: r["vmId"] for n, r in done.items()} == {n: r["vmId"] for n, r in made.items()}
    assert (set(aws.states().values()), aws.left()) == ({"GONE"}, {})


def test_a_stop_that_was_undone(aws: Any, ops: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL of a stop whose VM was started again fails as superseded: it waits no longer."""
    vm_id = aws.up(ops)
    status, pending = ops.vm_stop(WEB)
    aws.until(vm_id, "stopped")
    aws.cloud.advance(5)  # launch times are in whole seconds
    aws.api.start_instances(InstanceIds=[vm_id])
    aws.until(vm_id, "running")
    monkeypatch.setattr("vmops.watching._WHOLE_LOOK", 0.05)
    status, result = aws.end(aws.open(), (status, pending))
    assert (status, type(result.error)) == (Status.FAILED, Conflict)
    assert "was started again after this stop" in str(result.error)
    assert aws.states() == {"web-1": "LIVE"}


def test_a_reboot_is_not_confirmed(aws: Any, ops: Any) -> None:
    """RebootInstances leaves no trace: the restart ends at the first look, and says so."""
    aws.up(ops)
    with aws.counted() as calls:
        result = aws.wait(ops, ops.vm_restart(WEB))
    assert result["restartConfirmed"] is False
    assert calls == ["RebootInstances", "DescribeInstances"]


@pytest.mark.parametrize("where", ["config", "params"])
def test_a_power_cycle_is_a_stop_then_a_start(aws: Any, ops: Any, where: str) -> None:
    """With restartMode=power-cycle a restart is confirmed: the VM was seen to stop, then to run."""
    mode = {"restartMode": "power-cycle"}
    vm_id = aws.up(ops)
    later = aws.open(**mode) if where == "config" else ops
    aws.cloud.advance(5)
    with aws.counted() as calls:
        answer = later.vm_restart({**WEB, **(mode if where == "params" else {})})
        result = aws.wait(later, answer)
    assert (result["vmId"], result.get("restartConfirmed", True)) == (vm_id, True)
    assert [c for c in calls if not c.startswith(("Describe", "Get"))] == [
        "StopInstances",
        "StartInstances",
    ]


def test_the_second_half_of_a_power_cycle_elsewhere(aws: Any, ops: Any) -> None:
    """Whoever waits by the URL, with the journal, starts the VM again; it is started once."""
    vm_id = aws.up(ops)
    aws.cloud.advance(5)  # launch times are in whole seconds
    answer = ops.vm_restart({**WEB, "restartMode": "power-cycle"})
    aws.until(vm_id, "stopped")
    result = aws.wait(aws.open(), answer)
    assert (result["vmId"], aws.state(vm_id)) == (vm_id, "running")
    assert aws.actions().count("StartInstances") == 1


def test_what_a_wait_saw_saves_a_look(aws: Any, ops: Any) -> None:
    """A verb right after a wait acts on what that saw: one call for the verb, none for a look."""
    aws.up(ops)
    for verb, action in (("stop", "StopInstances"), ("start", "StartInstances")):
        with aws.counted() as calls:
            answer = getattr(ops, f"vm_{verb}")(WEB)
        assert calls == [action]
        aws.wait(ops, answer)
    with aws.counted() as calls:
        answer = ops.vm_deprovision(WEB)
    assert calls == ["TerminateInstances"]
    aws.wait(ops, answer)
    assert aws.left() == {}


def test_a_whole_life_in_few_calls(aws: Any, ops: Any) -> None:
    """What one VM's life costs in calls that change something: five, one for each verb."""
    aws.up(ops)
    for verb in ("stop", "start", "restart", "deprovision"):
        aws.wait(ops, getattr(ops, f"vm_{verb}")(WEB))
    changing = [c for c in aws.actions() if not c.startswith(("Describe", "Get"))]
    assert changing == [
        *("RunInstances", "StopInstances", "StartInstances", "RebootInstances"),
        "TerminateInstances",
    ]
    assert aws.actions().count("GetCallerIdentity") == aws.actions().count("DescribeImages") == 1
