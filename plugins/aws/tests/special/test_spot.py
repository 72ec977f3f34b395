"""Spot VMs, their requests, and what EC2 says of VMs that end by themselves."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from vmops import State, Status
from vmops.errors import (
    AuthError,
    CloudError,
    Conflict,
    InvalidRequest,
    NoCapacity,
    NotFound,
    NotSupported,
    Preempted,
    QuotaExceeded,
)

WEB = {"vmName": "web-1"}
KEPT = {"spot": True, "spotMode": "persistent"}

FAILURES: list[tuple[str, type[Exception]]] = [
    ("Server.InsufficientInstanceCapacity", NoCapacity),
    ("Client.VolumeLimitExceeded", QuotaExceeded),
    ("Client.InvalidSnapshot.NotFound", InvalidRequest),
    ("Server.InternalError", CloudError),
]


@pytest.mark.parametrize(("code", "kind"), FAILURES, ids=[code for code, _ in FAILURES])
def test_a_launch_that_ends_before_it_runs(
    aws: Any, ops: Any, code: str, kind: type[Exception]
) -> None:
    """From pending to terminated is a failed create, for the reason that EC2 gives."""
    aws.cloud.settings(launch_failure=code)
    answer = ops.vm_provision(aws.params())
    status, result = aws.end(ops, answer)
    assert (status, type(result.error), result.error.provider_code) == (Status.FAILED, kind, code)
    assert "Instance failed to launch" in str(result.error)
    assert (aws.states(), aws.left()) == ({"web-1": "FAILED"}, {})
    aws.cloud.settings(launch_failure=None)
    aws.up(ops)
    assert aws.states() == {"web-1": "LIVE"}


def test_terminated_during_a_stop(aws: Any, ops: Any) -> None:
    """A VM that is terminated while it is stopped has not been stopped: FAILED, with the reason."""
    vm_id = aws.up(ops)
    aws.cloud.settings(stop=60)
    answer = ops.vm_stop(WEB)
    aws.api.terminate_instances(InstanceIds=[vm_id])
    status, result = aws.end(ops, answer)
    assert status is Status.FAILED
    assert result.error.provider_code == "Client.UserInitiatedShutdown"
    assert "User initiated shutdown" in str(result.error)
    assert ops.vm_deprovision(WEB)[0] is Status.SUCCEEDED
    assert (aws.states(), aws.left()) == ({"web-1": "GONE"}, {})


def test_terminated_during_a_start(aws: Any, ops: Any) -> None:
    """The same holds for a start."""
    vm_id = aws.up(ops)
    aws.wait(ops, ops.vm_stop(WEB))
    aws.cloud.settings(start=60)
    answer = ops.vm_start(WEB)
    aws.api.terminate_instances(InstanceIds=[vm_id])
    status, result = aws.end(ops, answer)
    assert (status, result.error.provider_code) == (Status.FAILED, "Client.UserInitiatedShutdown")


def test_an_interruption_is_preemption(aws: Any, ops: Any) -> None:
    """A create whose spot VM is taken away before it ran is Preempted, with EC2's code."""
    aws.cloud.settings(run=60)
    answer = ops.vm_provision(aws.params(spot=True))
    aws.cloud.preempt(aws.instances()[0]["InstanceId"])
    status, result = aws.end(ops, answer)
    assert (status, type(result.error)) == (Status.FAILED, Preempted)
    assert result.error.provider_code == "Server.SpotInstanceTermination"
    assert (aws.states(), aws.left()) == ({"web-1": "FAILED"}, {})


@pytest.mark.usefixtures("give_up")
def test_a_persistent_one_that_is_interrupted(aws: Any, ops: Any) -> None:
    """It is stopped, says why, remains, and cannot be started by us; deleting it works."""
    vm_id = aws.up(ops, **KEPT)
    aws.cloud.preempt(vm_id)
    aws.until(vm_id, "stopped")
    vm = ops.describe(WEB)
    assert (vm.state, type(vm.error)) == (State.STOPPED, Preempted)
    assert vm.error.provider_code == "Server.SpotInstanceShutdown"
    status, result = ops.vm_start(WEB)
    assert (status, result.error.provider_code) == (Status.FAILED, "IncorrectSpotRequestState")
    assert aws.states() == {"web-1": "LIVE"}
    aws.wait(ops, ops.vm_deprovision(WEB))
    assert aws.left() == {}


def test_a_start_that_is_interrupted(aws: Any, ops: Any) -> None:
    """A persistent VM that is taken away while it starts fails its start as Preempted; it stays."""
    vm_id = aws.up(ops, **KEPT)
    aws.wait(ops, ops.vm_stop(WEB))
    aws.cloud.settings(start=60)
    answer = ops.vm_start(WEB)
    aws.cloud.settings(stop=60)
    aws.cloud.preempt(vm_id)
    status, result = aws.end(ops, answer)
    assert (status, type(result.error)) == (Status.FAILED, Preempted)
    assert (result.error.remains, aws.states()) == ("VM 'web-1'", {"web-1": "LIVE"})


def test_a_one_time_vm_is_not_stopped(aws: Any, ops: Any) -> None:
    """EC2 cannot stop a one-time spot VM: NotSupported, and it is not even asked."""
    vm_id = aws.up(ops, spot=True)
    for verb, more in (("vm_stop", {}), ("vm_restart", {"restartMode": "power-cycle"})):
        status, result = getattr(ops, verb)({**WEB, **more})
        assert (status, type(result.error)) == (Status.FAILED, NotSupported)
        assert "spotMode=persistent" in result.error.hint
    assert "StopInstances" not in aws.actions()
    assert (aws.state(vm_id), aws.states()) == ("running", {"web-1": "LIVE"})


def test_one_time_vms_among_others(aws: Any, ops: Any) -> None:
    """Of many that are to stop, the one-time spot VM alone is refused, in no extra call."""
    aws.up(ops, "web-1", spot=True)
    aws.all(ops, "provision", ["web-2", "web-3"])
    answers = aws.asked(ops, "stop", ["web-1", "web-2", "web-3"])
    assert isinstance(answers.pop("web-1")[1].error, NotSupported)
    aws.ended(ops, answers)
    assert aws.actions().count("StopInstances") == 1


def test_stop_mode_keep(aws: Any, ops: Any) -> None:
    """EC2 has no stop that keeps the compute: refused without a call."""
    aws.up(ops)
    status, result = ops.vm_stop({**WEB, "stopMode": "keep"})
    assert (status, type(result.error)) == (Status.FAILED, NotSupported)
    assert "StopInstances" not in aws.actions()


def test_a_persistent_vm_stops_and_starts(aws: Any, ops: Any) -> None:
    """A persistent spot VM is stopped and started like any other, under the same request."""
    vm_id = aws.up(ops, **KEPT)
    stopped = aws.wait(ops, ops.vm_stop(WEB))
    assert (stopped["vmId"], stopped["spotMode"]) == (vm_id, "persistent")
    assert aws.wait(ops, ops.vm_start(WEB))["vmId"] == vm_id


def test_the_request_is_cancelled_before_its_vm(aws: Any, ops: Any) -> None:
    """Otherwise it would launch another one between the two calls."""
    aws.up(ops, **KEPT)
    with aws.counted() as calls:
        aws.wait(ops, ops.vm_deprovision(WEB))
    assert [c for c in calls if not c.startswith(("Describe", "Get"))] == [
        "CancelSpotInstanceRequests",
        "TerminateInstances",
    ]
    aws.cloud.advance(5)
    assert (aws.left(), aws.states()) == ({}, {"web-1": "GONE"})


def test_many_requests_are_cancelled_in_one_call(aws: Any, ops: Any) -> None:
    """Persistent VMs have a create each, and end together: one cancel, one terminate."""
    names = ["web-1", "web-2", "web-3"]
    aws.all(ops, "provision", names, **KEPT)
    assert [len(asked["TagSpecification"]) for asked in aws.requests("RunInstances")] == [4] * 3
    with aws.counted() as calls:
        aws.all(ops, "deprovision", names)
    assert calls.count("CancelSpotInstanceRequests") == calls.count("TerminateInstances") == 1
    assert aws.left() == {}


def _orphaned(aws: Any, ops: Any) -> str:
    """The id of a request whose VM somebody else has terminated, before it launches another."""
    aws.cloud.settings(relaunch=3600)
    vm_id = aws.up(ops, **KEPT)
    aws.api.terminate_instances(InstanceIds=[vm_id])
    aws.until(vm_id, "terminated")
    (request,) = aws.left()["requests"]
    return str(request)


def test_an_orphaned_request_is_listed(aws: Any, ops: Any) -> None:
    """A request that will launch again is shown as a VM on its way, under the VM's name."""
    request = _orphaned(aws, ops)
    (vm,) = ops.list_vms()
    assert (vm.name, vm.id, vm.state) == ("web-1", request, State.STARTING)
    assert (vm.tags.token, vm.info["spotMode"]) == (aws.rows()["web-1"]["token"], "persistent")


def test_an_orphaned_request_is_deprovisioned(aws: Any, ops: Any) -> None:
    """Deleting the VM cancels the request, though the VM itself is gone already."""
    _orphaned(aws, ops)
    later = aws.open()  # what a wait has just seen is forgotten
    assert later.describe(WEB).state is State.FAILED
    aws.wait(later, later.vm_deprovision(WEB))
    assert (aws.left(), aws.states()) == ({}, {"web-1": "GONE"})


@pytest.mark.parametrize("when", ["shutting down", "gone"])
def test_a_vm_ended_by_another_hand_takes_its_request_along(aws: Any, ops: Any, when: str) -> None:
    """Deleting a VM that somebody else is terminating cancels its request, in whichever state."""
    aws.cloud.settings(relaunch=3600, terminate=3600 if when == "shutting down" else 0.1)
    vm_id = aws.up(ops, **KEPT)
    aws.api.terminate_instances(InstanceIds=[vm_id])
    later = aws.open()
    assert later.vm_deprovision(WEB)[0] is Status.PENDING
    assert aws.left().get("requests", []) == []


def test_a_request_that_launches_while_it_is_cancelled(aws: Any, ops: Any) -> None:
    """What a request has launched by the time it is cancelled is terminated as well."""
    aws.cloud.settings(relaunch=0.5)
    vm_id = aws.up(ops, **KEPT)
    aws.api.terminate_instances(InstanceIds=[vm_id])
    aws.until(vm_id, "terminated")
    aws.cloud.fault("CancelSpotInstanceRequests", code="Unavailable", status=503, delay=1.0)
    later = aws.open()
    aws.wait(later, later.vm_deprovision(WEB))
    aws.cloud.advance(10)
    assert aws.left() == {}


@pytest.mark.parametrize("refused", [False, True])
def test_a_vm_replaced_a_moment_ago(aws: Any, ops: Any, refused: bool) -> None:
    """What a request has launched since is claimed; where that is refused, nothing is cancelled."""
    vm_id = aws.up(ops, **KEPT)
    aws.api.terminate_instances(InstanceIds=[vm_id])
    aws.until(vm_id, "terminated")
    aws.cloud.advance(1)  # another one runs, without tags, while ops remembers the first
    if refused:
        aws.cloud.fault("CreateTags", code="UnauthorizedOperation", status=403)
        status, result = ops.vm_deprovision(WEB)
        assert (status, type(result.error)) == (Status.FAILED, AuthError)
        assert aws.actions().count("CancelSpotInstanceRequests") == 0
        assert len(aws.left()["requests"]) == 1
    aws.wait(ops, ops.vm_deprovision(WEB))
    aws.cloud.advance(10)
    assert aws.left() == {}


def test_an_orphaned_request_is_recovered(aws: Any, ops: Any) -> None:
    """A deletion that was killed before it cancelled the request is finished by recovery."""
    _orphaned(aws, ops)
    with closing(sqlite3.connect(aws.journal)) as connection, connection:
        connection.execute("update vms set state = 'DELETING', lease_until = 0, sent = 0")
    later = aws.open()
    (found,) = later.recover()
    assert (found.vm, found.was, found.found) == ("web-1", "DELETING", "deleting")
    aws.wait(later, (Status.PENDING, {"asyncResultsUrl": found.url}))
    assert (aws.left(), aws.states()) == ({}, {"web-1": "GONE"})


def test_an_orphaned_request_holds_its_name(aws: Any, ops: Any) -> None:
    """A create under its name makes no second VM beside the one that the request will launch."""
    _orphaned(aws, ops)
    later = aws.open()
    status, result = later.vm_provision(aws.params(**KEPT))
    assert status is Status.FAILED
    assert isinstance(result.error, Conflict)
    assert aws.actions().count("RunInstances") == 1
    aws.wait(later, later.vm_deprovision(WEB))
    assert aws.left() == {}


def test_an_orphaned_request_is_reaped(aws: Any, ops: Any) -> None:
    """A request whose VM is past its time is found by reaping, and cancelled."""
    aws.cloud.settings(relaunch=3600)
    vm_id = aws.up(ops, ttl=60, **KEPT)
    aws.api.terminate_instances(InstanceIds=[vm_id])
    aws.until(vm_id, "terminated")
    (request,) = aws.left()["requests"]
    aws.cloud.advance(120)
    (found,) = ops.reap()
    assert (found.vm.id, found.reason, found.due) == (request, "expired", True)
    (done,) = ops.reap(yes=True)
    assert (done.error, aws.left()) == (None, {})
    assert aws.actions().count("CancelSpotInstanceRequests") == 1


def test_a_vm_launched_again_by_its_request(aws: Any, ops: Any) -> None:
    """What a request launches carries no tags of ours, and goes with its request all the same."""
    vm_id = aws.up(ops, **KEPT)
    aws.api.terminate_instances(InstanceIds=[vm_id])
    aws.until(vm_id, "terminated")
    aws.cloud.advance(1)
    (again,) = aws.instances()
    assert again["InstanceId"] != vm_id
    assert "Tags" not in again
    later = aws.open()
    (vm,) = later.list_vms()
    assert (vm.name, vm.state, vm.info["instance"]) == (
        *("web-1", State.RUNNING),
        again["InstanceId"],
    )
    aws.wait(later, later.vm_deprovision(WEB))
    assert aws.state(again["InstanceId"]) == "terminated"
    assert (aws.left(), aws.states()) == ({}, {"web-1": "GONE"})


def test_a_request_whose_vm_is_gone_by_another_way(aws: Any, ops: Any) -> None:
    """Verbs on a VM of which only the request is left do not send its id as an instance's."""
    _orphaned(aws, ops)
    later = aws.open()
    for verb in ("vm_stop", "vm_restart", "vm_start"):
        status, result = getattr(later, verb)(WEB)
        if status is Status.FAILED:
            assert isinstance(result.error, (Conflict, NotFound, NotSupported)), result.error
    sent = [c for c in aws.cloud.calls() if "sir-" in str(c["parameters"].get("InstanceId.1"))]
    assert sent == []
