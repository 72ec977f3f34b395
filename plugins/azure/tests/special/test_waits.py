"""Waiting for operations of ARM: what the incumbent's waiter ends wrongly ends rightly here."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from vmops import Operation, Status, VMOps
from vmops.errors import AuthError, InvalidURL, NoCapacity
from vmops_azure.machines import FEW

_OPERATION = r"/operations/"
_OTHER = "11111111-1111-1111-1111-111111111111"


def handle(result: dict[str, Any]) -> dict[str, str]:
    """The handle in a result's URL."""
    return dict(Operation.from_url(result["asyncResultsUrl"]).handle)


def with_handle(result: dict[str, Any], **changes: str) -> dict[str, Any]:
    """The result as somebody has forged it."""
    operation = Operation.from_url(result["asyncResultsUrl"])
    forged = {**operation.handle, **changes}
    url = replace(operation, handle={k: v for k, v in forged.items() if v}).to_url()
    return {"asyncResultsUrl": url, "pollTimeout": 10}


# -- the seven situations ------------------------------------------------------------------------


def test_a_slow_reply_ends_no_wait(azure: Any, proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll that is not answered in time says nothing about the operation."""
    monkeypatch.setattr("vmops_azure.client._READ_TIMEOUT", 0.2)
    ops = azure.open()
    proxy.add("hang", method="GET", path=_OPERATION, times=2)
    assert azure.wait(ops, ops.vm_provision(azure.params()))["vmName"] == "web-1"
    assert len(azure.polls()) >= 1


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}])
def test_throttled_polls_go_on(ops: VMOps, azure: Any, headers: dict[str, str]) -> None:
    """429 with and without Retry-After."""
    azure.cloud.fault(
        method="GET", path=_OPERATION, status=429, code="TooManyRequests", headers=headers, times=2
    )
    azure.wait(ops, ops.vm_provision(azure.params()))
    assert [call["status"] for call in azure.polls()][:2] == [429, 429]


def test_a_throttled_poll_is_repeated_when_arm_says(ops: VMOps, azure: Any) -> None:
    """No poll is sent before the time that Retry-After names."""
    azure.cloud.fault(
        method="GET", path=_OPERATION, status=429, code="Busy", headers={"Retry-After": "1"}
    )
    azure.wait(ops, ops.vm_provision(azure.params()))
    times = [call["time"] for call in azure.polls()]
    assert times[1] - times[0] >= 1.0


@pytest.mark.parametrize("status", [500, 503])
def test_server_errors_go_on(ops: VMOps, azure: Any, status: int) -> None:
    """5xx on a poll."""
    azure.cloud.fault(
        method="GET", path=_OPERATION, status=status, code="InternalServerError", times=2
    )
    azure.wait(ops, ops.vm_provision(azure.params()))


def test_an_expired_token_is_renewed(ops: VMOps, azure: Any) -> None:
    """401 in mid-wait: the next poll carries a fresh token, and the wait ends well."""
    azure.cloud.settings(create=0.3)
    status, result = ops.vm_provision(azure.params())
    assert status is Status.PENDING
    azure.cloud.expire_tokens()
    azure.wait(ops, (status, result))
    assert 401 in [call["status"] for call in azure.cloud.calls()]


def test_a_verb_with_an_expired_token_is_sent_again(ops: VMOps, azure: Any) -> None:
    """401 on a verb: nothing was done, so it is simply repeated."""
    azure.up(ops)
    azure.cloud.expire_tokens()
    azure.wait(ops, ops.vm_stop({"vmName": "web-1"}))
    assert azure.power("web-1") == "deallocated"


def test_a_restart_with_an_expired_token_is_asked_for_again(ops: VMOps, azure: Any) -> None:
    """401 is no unknown outcome: the restart leaves with a fresh token, and is confirmed."""
    azure.up(ops)
    azure.cloud.fault(
        method="POST", path="/restart", status=401, code="ExpiredAuthenticationToken", times=1
    )
    assert azure.wait(ops, ops.vm_restart({"vmName": "web-1"}))["restartConfirmed"] is True
    sent = [call["status"] for call in azure.cloud.calls() if call["path"].endswith("/restart")]
    assert sent == [401, 202]


def test_a_token_that_is_refused_twice_is_bad(ops: VMOps, azure: Any) -> None:
    """Then the error says so, and nothing is asked for ever."""
    azure.up(ops)
    azure.cloud.fault(
        method="POST", path="/restart", status=401, code="InvalidAuthenticationToken", times=2
    )
    status, result = ops.vm_restart({"vmName": "web-1"})
    assert (status, type(result.error)) == (Status.FAILED, AuthError)


def test_teardown_is_waited_for(ops: VMOps, azure: Any) -> None:
    """`wait_vm_deployment(False)` ends when the VM is gone, and not before."""
    azure.up(ops)
    azure.cloud.settings(delete=0.3)
    _, result = ops.vm_deprovision({"vmName": "web-1"})
    assert ops.wait_vm_deployment(False, {**result, "pollTimeout": 0})[0] is Status.TIMED_OUT
    assert azure.model("web-1")
    assert ops.wait_vm_deployment(False, {**result, "pollTimeout": 10})[0] is Status.SUCCEEDED
    assert azure.left() == []


def test_teardown_of_what_is_gone_has_ended(ops: VMOps, azure: Any) -> None:
    """After the resource and even the operation's record are gone, the wait succeeds at once."""
    azure.up(ops)
    _, result = ops.vm_deprovision({"vmName": "web-1"})
    azure.wait(ops, (Status.PENDING, result))
    azure.cloud.settings(operation_lifetime=0)
    azure.cloud.advance(3600)
    status, _ = ops.wait_vm_deployment(False, {**result, "pollTimeout": 40})
    assert status is Status.SUCCEEDED


def test_location_style_operations_end_rightly(ops: VMOps, azure: Any) -> None:
    """202 is running, whatever the body says; 200 or 204 is the end."""
    azure.cloud.settings(location_only=True, create=0.2, deallocate=0.2)
    _, result = ops.vm_provision(azure.params())
    assert set(handle(result)) == {"vmId", "location"}
    azure.wait(ops, (Status.PENDING, result))
    azure.wait(ops, ops.vm_stop({"vmName": "web-1"}))
    assert azure.power("web-1") == "deallocated"
    assert 202 in [call["status"] for call in azure.polls()]


# -- the rest of ARM's contract ------------------------------------------------------------------


def test_retry_after_is_obeyed(ops: VMOps, azure: Any) -> None:
    """Neither the first poll nor the next is sent before ARM wants it."""
    azure.cloud.settings(retry_after=1, poll_retry_after=1, create=1.5)
    azure.wait(ops, ops.vm_provision(azure.params()))
    made = next(
        c["time"] for c in azure.cloud.calls() if c["method"] == "PUT" and "web-1" in c["path"]
    )
    times = [made, *(call["time"] for call in azure.polls())]
    assert all(after - before >= 0.95 for before, after in pairwise(times))


def test_only_three_states_are_final(ops: VMOps, azure: Any, proxy: Any) -> None:
    """ARM may call a running operation what it likes."""
    ops = azure.open()
    azure.cloud.settings(create=0.2)
    proxy.add(
        "rewrite",
        method="GET",
        path=_OPERATION,
        times=1000,
        rewrite=lambda body: body.replace(b"InProgress", b"Resolving"),
    )
    azure.wait(ops, ops.vm_provision(azure.params()))


@pytest.mark.parametrize("status", ["Failed", "Canceled"])
def test_a_failed_operation_tells_why(ops: VMOps, azure: Any, status: str) -> None:
    """The error in the operation's record is the result's."""
    azure.cloud.fault(operation="create", status=status, code="AllocationFailed", message="full")
    end, result = azure.end(ops, ops.vm_provision(azure.params()))
    assert (end, dict(result)) == (Status.FAILED, {})
    assert isinstance(result.error, NoCapacity)
    assert "full" in str(result.error)


def test_a_failed_create_leaves_what_deprovision_deletes(ops: VMOps, azure: Any) -> None:
    """The VM stays in Failed with its disk and interface; one deletion takes all of it away."""
    azure.cloud.fault(operation="create", status="Failed", code="AllocationFailed")
    azure.end(ops, ops.vm_provision(azure.params()))
    assert azure.left() != []
    azure.wait(ops, ops.vm_deprovision({"vmName": "web-1"}))
    assert azure.left() == []


def test_a_forgotten_operation_is_judged_by_its_vm(ops: VMOps, azure: Any) -> None:
    """404 on the operation's record: the VM's own state tells."""
    azure.up(ops)
    _, result = ops.vm_stop({"vmName": "web-1"})
    azure.until("web-1", "deallocated")
    azure.cloud.settings(operation_lifetime=0)
    azure.cloud.advance(3600)
    azure.wait(ops, (Status.PENDING, result))
    assert 404 in [call["status"] for call in azure.polls()]


def test_an_operation_on_another_host_is_dropped(ops: VMOps, azure: Any) -> None:
    """Its URL never gets into the handle; the VM's state tells how it stands."""
    azure.cloud.settings(operation_host="https://evil.example.com")
    _, result = ops.vm_provision(azure.params())
    assert set(handle(result)) == {"vmId"}
    assert "evil" not in result["asyncResultsUrl"]
    azure.wait(ops, (Status.PENDING, result))
    assert azure.polls() == []


@pytest.mark.parametrize(
    "path",
    [
        "/subscriptions/{other}/providers/Microsoft.Compute/operations/1?api-version=1",
        "//evil.example.com/subscriptions/x/providers/Microsoft.Compute/operations/1",
        "https://evil.example.com/operations/1",
        "{own}/{{endpoint.__class__}}/operations/1?api-version=1",
        "{own}/operations/1?api-version={{endpoint.__class__}}",
        "{own}/../../operations/1?api-version=1",
        "{own}/virtualMachines/web-1?api-version=1",
    ],
)
def test_a_forged_handle_is_never_requested(ops: VMOps, azure: Any, path: str) -> None:
    """A URL selects an operation of our own subscription, or is judged by its VM."""
    _, result = ops.vm_provision(azure.params())
    own = f"/subscriptions/{azure.cloud.subscription}/providers/Microsoft.Compute"
    forged = with_handle(result, operation=path.format(own=own, other=_OTHER))
    before = len(azure.cloud.calls())
    assert ops.wait_vm_operation(forged)[0] is Status.SUCCEEDED
    asked = [call["path"] for call in azure.cloud.calls()[before:]]
    assert asked
    assert not [one for one in asked if "operations" in one or "evil" in one or "__" in one]


def test_the_query_comes_back_byte_for_byte(ops: VMOps, azure: Any) -> None:
    """The emulator refuses a signature of which one byte was changed, as ARM does."""
    _, result = ops.vm_provision(azure.params())
    path = handle(result)["operation"]
    assert re.search(r"[?&]s=[^&]{20,}", path), path
    azure.wait(ops, (Status.PENDING, result))
    assert {call["status"] for call in azure.polls()} == {200}


def test_an_operation_is_resumed_from_its_url_alone(azure: Any) -> None:
    """Another process, without journal, with credentials."""
    azure.cloud.settings(create=0.2)
    with azure.open() as first:
        _, result = first.vm_provision(azure.params())
    with VMOps(azure.config, journal=None) as other:
        status, info = other.wait_vm_operation({"asyncResultsUrl": result["asyncResultsUrl"]})
    assert (status, info["vmName"]) == (Status.SUCCEEDED, "web-1")
    assert info["privateIp"]


def test_a_url_of_another_subscription_is_refused(ops: VMOps, azure: Any) -> None:
    """The account in a URL must be the one that is configured."""
    _, result = ops.vm_provision(azure.params())
    other = result["asyncResultsUrl"].replace(
        azure.cloud.subscription, "1" * 8 + "-1111-1111-1111-" + "1" * 12
    )
    with pytest.raises(InvalidURL):
        ops.wait_vm_operation({"asyncResultsUrl": other})


@pytest.mark.parametrize("after", ["0.5", "Thu, 26 Nov 2026 00:00:00 GMT"])
def test_a_retry_after_that_is_no_whole_number_is_no_error(
    ops: VMOps, azure: Any, after: str
) -> None:
    """The SDK reads the header as an int, after the request was accepted."""
    azure.cloud.settings(retry_after=after)
    azure.wait(ops, ops.vm_provision(azure.params()))
    azure.wait(ops, ops.vm_stop({"vmName": "web-1"}))


# -- many ----------------------------------------------------------------------------------------


def test_many_operations_cost_lists(ops: VMOps, azure: Any) -> None:
    """Sixty creates are waited for by lists of VMs; only the last few are polled one by one."""
    azure.cloud.settings(create=1.0, page=25)
    names = [f"web-{i}" for i in range(60)]
    found = azure.all(ops, "provision", names)
    assert len({info["privateIp"] for info in found.values()}) == 60
    assert len(azure.polls()) < 2 * FEW
    single = [c for c in azure.cloud.calls() if re.search(r"virtualMachines/web-\d+$", c["path"])]
    methods = Counter(call["method"] for call in single)
    assert (methods["PUT"], methods["GET"] < 2 * FEW) == (60, True)


def test_many_that_fail_tell_why(ops: VMOps, azure: Any) -> None:
    """What leaves its transitional state otherwise than well is asked about by itself."""
    azure.cloud.settings(create=0.5)
    azure.cloud.fault(operation="create", status="Failed", code="AllocationFailed", times=3)
    names = [f"web-{i}" for i in range(30)]
    answers = azure.asked(ops, "provision", names)
    pending = [{**answers[name][1], "pollTimeout": 20} for name in names]
    ends = [(status, result) for _, status, result in ops.wait_many(pending)]
    failed = [result.error for status, result in ends if status is Status.FAILED]
    assert len(failed) == 3
    assert all(isinstance(error, NoCapacity) for error in failed)


def test_many_stops_and_deletions_end_rightly(ops: VMOps, azure: Any) -> None:
    """Lists tell which may have ended; their own records tell that they have."""
    names = [f"web-{i}" for i in range(30)]
    azure.all(ops, "provision", names)
    azure.cloud.settings(deallocate=0.4, delete=0.4)
    azure.all(ops, "stop", names)
    assert {azure.power(name) for name in names} == {"deallocated"}
    azure.all(ops, "deprovision", names)
    assert azure.left() == []
