"""Waiting for operations of GCE: what Google's own future ends wrongly ends rightly here."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from vmops import Operation, Status, VMOps
from vmops.errors import AuthError, InvalidRequest, InvalidURL, NoCapacity, QuotaExceeded
from vmops_gcp.held import MOST

WEB = {"vmName": "web-1"}
WAIT = "/wait"


def handle(result: dict[str, Any]) -> dict[str, str]:
    """The handle in a result's URL."""
    return dict(Operation.from_url(result["asyncResultsUrl"]).handle)


def with_handle(result: dict[str, Any], **changes: str) -> dict[str, Any]:
    """The result as somebody has forged it."""
    operation = Operation.from_url(result["asyncResultsUrl"])
    forged = {**operation.handle, **changes}
    url = replace(operation, handle={k: v for k, v in forged.items() if v}).to_url()
    return {"asyncResultsUrl": url, "pollTimeout": 10}


def of_another(result: dict[str, Any], vm: str, **changes: str) -> dict[str, Any]:
    """The same, about a VM of another name."""
    url = with_handle(result, **changes)["asyncResultsUrl"]
    return {"asyncResultsUrl": replace(Operation.from_url(url), vm=vm).to_url()}


# -- the seven situations ------------------------------------------------------------------------


def test_a_slow_reply_ends_no_wait(gcp: Any, proxy: Any) -> None:
    """A wait that is not answered in time says nothing about the operation."""
    ops = gcp.open()
    proxy.add("hang", path=WAIT, times=1)
    answer = ops.vm_provision(gcp.params())
    assert gcp.wait(ops, answer, pollTimeout=1.5)["vmName"] == "web-1"
    assert [call["action"] for call in gcp.polls()] == ["zoneOperations.get"]


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "0"}])
def test_throttled_waits_go_on(ops: VMOps, gcp: Any, headers: dict[str, str]) -> None:
    """A 403 with the reason of a rate limit, with and without Retry-After."""
    gcp.cloud.fault(path=WAIT, status=403, reason="rateLimitExceeded", headers=headers, times=2)
    gcp.wait(ops, ops.vm_provision(gcp.params()))
    assert [call["status"] for call in gcp.polls()][:2] == [403, 403]


def test_a_throttled_wait_is_repeated_when_gce_says(ops: VMOps, gcp: Any) -> None:
    """Not before the time that Retry-After names."""
    gcp.cloud.fault(path=WAIT, status=403, reason="rateLimitExceeded", headers={"Retry-After": "1"})
    gcp.wait(ops, ops.vm_provision(gcp.params()))
    times = [call["time"] for call in gcp.polls()]
    assert times[1] - times[0] >= 1.0


@pytest.mark.parametrize("status", [500, 502, 503])
def test_server_errors_go_on(ops: VMOps, gcp: Any, status: int) -> None:
    """5xx on a wait."""
    gcp.cloud.fault(path=WAIT, status=status, reason="backendError", times=2)
    gcp.wait(ops, ops.vm_provision(gcp.params()))


def test_an_expired_token_is_renewed(ops: VMOps, gcp: Any) -> None:
    """401 in mid-wait: it leaves again with a fresh token, and the wait ends well."""
    gcp.cloud.settings(create=0.3)
    answer = ops.vm_provision(gcp.params())
    gcp.cloud.expire_tokens()
    gcp.wait(ops, answer)
    assert 401 in [call["status"] for call in gcp.cloud.calls()]


def test_a_restart_with_an_expired_token_is_asked_for_again(ops: VMOps, gcp: Any) -> None:
    """401 is no unknown outcome: the reset leaves with a fresh token, once."""
    gcp.up(ops)
    gcp.cloud.expire_tokens()
    gcp.wait(ops, ops.vm_restart({**WEB, "restartMode": "reset"}))
    assert [call["status"] for call in gcp.calls("instances.reset")] == [401, 200]


def test_a_token_that_is_always_refused_is_bad(ops: VMOps, gcp: Any) -> None:
    """Then the error says so, and nothing is asked for ever."""
    gcp.up(ops)
    gcp.cloud.fault(method="POST", path="/stop", status=401, reason="authError", times=50)
    status, result = ops.vm_stop(WEB)
    assert (status, type(result.error)) == (Status.FAILED, AuthError)
    assert len([c for c in gcp.cloud.calls() if c["path"].endswith("/stop")]) <= 3


def test_teardown_is_waited_for(ops: VMOps, gcp: Any) -> None:
    """`wait_vm_deployment(False)` ends when the VM is gone, and not before."""
    gcp.up(ops)
    gcp.cloud.settings(delete=0.5)
    _, result = ops.vm_deprovision(WEB)
    assert ops.wait_vm_deployment(False, {**result, "pollTimeout": 0})[0] is Status.TIMED_OUT
    assert gcp.model("web-1")
    assert ops.wait_vm_deployment(False, {**result, "pollTimeout": 10})[0] is Status.SUCCEEDED
    assert gcp.left() == []


# -- the rest of GCE's contract ------------------------------------------------------------------


def test_a_wait_costs_one_call(ops: VMOps, gcp: Any) -> None:
    """GCE holds it until the operation is done; looks that return before find it still held."""
    gcp.cloud.settings(create=1.5)
    answer = ops.vm_provision(gcp.params())
    began = time.monotonic()
    gcp.wait(ops, answer)
    assert time.monotonic() - began < 2.0
    assert [call["action"] for call in gcp.polls()] == ["zoneOperations.wait"]


def test_a_wait_that_returns_early_is_repeated(ops: VMOps, gcp: Any) -> None:
    """GCE holds it as best it can, and no longer than two minutes."""
    gcp.cloud.settings(create=1.0, wait_limit=0.3)
    gcp.wait(ops, ops.vm_provision(gcp.params()))
    assert 2 <= len(gcp.polls()) <= 5


def test_one_look_does_not_wait(ops: VMOps, gcp: Any) -> None:
    """`pollTimeout=0` asks how it is now."""
    gcp.cloud.settings(create=5.0)
    _, result = ops.vm_provision(gcp.params())
    began = time.monotonic()
    assert ops.wait_vm_operation({**result, "pollTimeout": 0})[0] is Status.TIMED_OUT
    assert time.monotonic() - began < 1.0
    assert [call["action"] for call in gcp.polls()] == ["zoneOperations.get"]


def test_who_joins_is_not_held_up(ops: VMOps, gcp: Any) -> None:
    """A short operation ends for its caller while GCE holds a long one for another."""
    gcp.up(ops, "web-2")
    gcp.cloud.settings(create=6.0)
    answer = ops.vm_provision(gcp.params())
    waiter = threading.Thread(target=lambda: gcp.wait(ops, answer))
    waiter.start()
    time.sleep(0.3)
    began = time.monotonic()
    gcp.wait(ops, ops.vm_stop({"vmName": "web-2"}))
    assert time.monotonic() - began < 2.0
    gcp.cloud.advance(10)
    waiter.join()


def test_a_process_that_ends_waits_for_nothing(gcp: Any) -> None:
    """What GCE holds does not keep a Python process alive."""
    import json
    import os
    import subprocess
    import sys

    gcp.cloud.settings(create=60.0)
    script = (
        "import json, sys\n"
        "from vmops import VMOps\n"
        "with VMOps(json.loads(sys.argv[1]), journal=None) as ops:\n"
        "    _, result = ops.vm_provision({'vmName': 'web-1'})\n"
        "    print(ops.wait_vm_operation({**result, 'pollTimeout': 2})[0])\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(gcp.config)],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        timeout=60,
        check=True,
    )
    assert "TIMED_OUT" in done.stdout
    assert time.monotonic() - began < 25


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ZONE_RESOURCE_POOL_EXHAUSTED", NoCapacity),
        ("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", NoCapacity),
        ("QUOTA_EXCEEDED", QuotaExceeded),
    ],
)
def test_a_failed_create_tells_why_and_leaves_nothing(
    ops: VMOps, gcp: Any, code: str, kind: type[Exception]
) -> None:
    """DONE with an error is FAILED; the next create is another request."""
    gcp.cloud.fault(operation="insert", code=code, message="full")
    end, result = gcp.end(ops, ops.vm_provision(gcp.params()))
    assert (end, dict(result), type(result.error)) == (Status.FAILED, {}, kind)
    assert result.error.provider_code == code
    assert "full" in str(result.error)
    assert gcp.left() == []
    gcp.up(ops)


def test_a_failure_that_is_told_at_once(ops: VMOps, gcp: Any) -> None:
    """An answer that is DONE with an error already is a refusal."""
    gcp.cloud.settings(inline_done=True, create=0)
    gcp.cloud.fault(operation="insert", code="ZONE_RESOURCE_POOL_EXHAUSTED", message="full")
    status, result = ops.vm_provision(gcp.params())
    assert (status, type(result.error)) == (Status.FAILED, NoCapacity)


def test_no_room_to_start_a_stopped_vm(ops: VMOps, gcp: Any) -> None:
    """The operation tells; the VM stays, and stays ours."""
    gcp.up(ops)
    gcp.wait(ops, ops.vm_stop(WEB))
    gcp.cloud.settings(no_capacity=("e2-medium",))
    end, result = gcp.end(ops, ops.vm_start(WEB))
    assert (end, type(result.error)) == (Status.FAILED, NoCapacity)
    assert gcp.power("web-1") == "TERMINATED"


@pytest.mark.parametrize("way", ["forgotten", "forbidden"])
def test_an_operation_without_a_record_is_judged_by_its_vm(ops: VMOps, gcp: Any, way: str) -> None:
    """404, or 403 without a rate limit: the VM's own state tells."""
    gcp.up(ops)
    _, result = ops.vm_stop(WEB)
    gcp.until("web-1", "TERMINATED")
    if way == "forgotten":
        gcp.cloud.settings(operation_lifetime=0)
        gcp.cloud.advance(3600)
    else:
        gcp.cloud.fault(path="/operations/", status=403, reason="forbidden", times=99)
    gcp.wait(ops, (Status.PENDING, result))


def test_the_deletion_of_what_is_gone_has_succeeded(ops: VMOps, gcp: Any) -> None:
    """Its operation fails because there is nothing to delete: that is what was wanted."""
    gcp.up(ops)
    gcp.cloud.fault(operation="delete", code="RESOURCE_NOT_FOUND", message="gone")
    _, result = ops.vm_deprovision(WEB)
    status, _ = ops.wait_vm_operation({**result, "pollTimeout": 10})
    assert status is Status.SUCCEEDED


@pytest.mark.parametrize(
    "name",
    [
        "https://evil.example.com/x",
        "..",
        "../../instances/web-1",
        "operation-1/wait?x=1",
        "{x}",
        "Operation-1",
    ],
)
def test_a_forged_handle_is_never_requested(ops: VMOps, gcp: Any, name: str) -> None:
    """What is no operation's name is judged by the VM."""
    _, result = ops.vm_provision(gcp.params())
    forged = with_handle(result, operation=name)
    before = len(gcp.cloud.calls())
    assert ops.wait_vm_operation(forged)[0] is Status.SUCCEEDED
    asked = [call["path"] for call in gcp.cloud.calls()[before:]]
    assert asked
    assert not [one for one in asked if "operation" in one.lower() or "evil" in one]


def test_an_operation_is_resumed_from_its_url_alone(gcp: Any) -> None:
    """Another process, without journal, with credentials; project and zone are in the URL."""
    gcp.cloud.settings(create=0.3)
    with gcp.open() as first:
        _, result = first.vm_provision(gcp.params())
    config = {key: value for key, value in gcp.config.items() if key != "zone"}
    with VMOps(config, journal=None) as other:
        status, info = other.wait_vm_operation({"asyncResultsUrl": result["asyncResultsUrl"]})
    assert (status, info["vmName"]) == (Status.SUCCEEDED, "web-1")
    assert info["privateIp"]


def test_a_url_of_another_project_is_refused(ops: VMOps, gcp: Any) -> None:
    """The account in a URL must be the one that is configured."""
    _, result = ops.vm_provision(gcp.params())
    other = result["asyncResultsUrl"].replace(gcp.cloud.project, "evil-project")
    with pytest.raises(InvalidURL):
        ops.wait_vm_operation({"asyncResultsUrl": other})


# -- many ----------------------------------------------------------------------------------------


def test_many_operations_cost_lists(ops: VMOps, gcp: Any) -> None:
    """Sixty creates are waited for by lists of what is done; only the last few by themselves."""
    gcp.cloud.settings(create=1.0, page=25)
    names = [f"web-{i}" for i in range(60)]
    found = gcp.all(ops, "provision", names)
    assert len({info["privateIp"] for info in found.values()}) == 60
    assert len(gcp.calls("zoneOperations.wait", "zoneOperations.get")) <= 2 * MOST
    assert len(gcp.calls("zoneOperations.list")) <= 20
    assert len(gcp.calls("instances.get")) <= 2 * MOST
    queries = {call["query"] for call in gcp.calls("zoneOperations.list")}
    assert all("status" in query and "creationTimestamp" in query for query in queries)


def test_many_that_fail_tell_why(ops: VMOps, gcp: Any) -> None:
    """A list tells the error of each, too."""
    gcp.cloud.settings(create=0.5)
    gcp.cloud.fault(operation="insert", code="ZONE_RESOURCE_POOL_EXHAUSTED", times=3)
    names = [f"web-{i}" for i in range(30)]
    answers = gcp.asked(ops, "provision", names)
    pending = [{**answers[name][1], "pollTimeout": 20} for name in names]
    ends = [(status, result) for _, status, result in ops.wait_many(pending)]
    failed = [result.error for status, result in ends if status is Status.FAILED]
    assert len(failed) == 3
    assert all(isinstance(error, NoCapacity) for error in failed)


def test_many_whose_operations_are_forgotten(
    ops: VMOps, gcp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no list shows is asked about by itself in the end, and judged by its VM."""
    monkeypatch.setattr("vmops_gcp.waiting._OVERDUE", 0.5)
    names = [f"web-{i}" for i in range(20)]
    answers = gcp.asked(ops, "provision", names)
    gcp.until("web-19", "RUNNING")
    gcp.cloud.settings(operation_lifetime=0)
    gcp.cloud.advance(3600)
    assert len(gcp.ended(ops, answers)) == 20


def test_many_stops_and_deletions_end_rightly(ops: VMOps, gcp: Any) -> None:
    """Each end is read off its operation."""
    names = [f"web-{i}" for i in range(30)]
    gcp.all(ops, "provision", names)
    gcp.cloud.settings(stop=0.4, delete=0.4)
    gcp.all(ops, "stop", names)
    assert {gcp.power(name) for name in names} == {"TERMINATED"}
    gcp.all(ops, "deprovision", names)
    assert gcp.left() == []


# -- what a stranger found -----------------------------------------------------------------------


def test_a_deletion_that_failed_can_be_repeated(ops: VMOps, gcp: Any) -> None:
    """The requestId of the next one is another: GCE would answer with the failed operation."""
    gcp.up(ops)
    for _ in range(2):
        gcp.cloud.fault(operation="delete", code="INTERNAL_ERROR")
        status, _ = gcp.end(ops, ops.vm_deprovision(WEB))
        assert status is Status.FAILED
    gcp.wait(ops, ops.vm_deprovision(WEB))
    assert gcp.left() == []


def test_an_operation_of_another_vm_is_not_believed(ops: VMOps, gcp: Any) -> None:
    """A URL that names two VMs is judged by its VM alone."""
    gcp.up(ops, "web-1")
    gcp.up(ops, "web-2")
    gcp.cloud.settings(stop=30.0)
    _, stopped = ops.vm_stop({"vmName": "web-1"})
    _, deleted = ops.vm_deprovision({"vmName": "web-2"})
    gcp.wait(ops, (Status.PENDING, deleted))
    forged = with_handle(stopped, operation=handle(deleted)["operation"])
    assert ops.wait_vm_operation({**forged, "pollTimeout": 1.5})[0] is Status.TIMED_OUT


@pytest.mark.parametrize("number", ["", "own"])
def test_a_deletion_of_another_vm_is_not_believed(ops: VMOps, gcp: Any, number: str) -> None:
    """A URL whose operation is another VM's is judged by its own VM, be that numbered or not."""
    own = gcp.up(ops, "web-1")
    gcp.up(ops, "web-2")
    _, deleted = ops.vm_deprovision({"vmName": "web-2"})
    gcp.wait(ops, (Status.PENDING, deleted))
    forged = of_another(deleted, "web-1", vmId=number and own)
    assert ops.wait_vm_operation({**forged, "pollTimeout": 1.5})[0] is Status.TIMED_OUT
    assert gcp.power("web-1") == "RUNNING"


@pytest.mark.parametrize("verb", ["provision", "deprovision"])
@pytest.mark.parametrize("way", ["seen", "unseen", "unrecorded"])
def test_a_name_that_is_not_the_numbers_is_refused(
    ops: VMOps, gcp: Any, verb: str, way: str
) -> None:
    """A URL with one VM's name and another's number says nothing of either."""
    answer = ops.vm_provision(gcp.params("web-2"))
    gcp.wait(ops, answer)
    if verb == "deprovision":
        gcp.cloud.settings(delete=30.0)
        answer = ops.vm_deprovision({"vmName": "web-2"})
    forged = of_another(answer[1], "web-1", **({"operation": ""} if way == "unrecorded" else {}))
    asker = ops if way == "seen" else VMOps(gcp.config, journal=None)
    status, result = asker.wait_vm_operation({**forged, "pollTimeout": 5})
    asker.close()
    assert (status, type(result.error)) == (Status.FAILED, InvalidRequest)
    assert "is 'web-2', and the operation's URL calls it 'web-1'" in str(result.error)


def test_one_look_at_many_is_a_look(ops: VMOps, gcp: Any) -> None:
    """`pollTimeout=0` lists at once, however short a time ago the last list was."""
    names = [f"web-{i}" for i in range(12)]
    pending = [
        {**answer[1], "pollTimeout": 0} for answer in gcp.asked(ops, "provision", names).values()
    ]
    list(ops.wait_many(pending))
    gcp.until("web-11", "RUNNING")
    assert {status for _, status, _ in ops.wait_many(pending)} == {Status.SUCCEEDED}


def test_an_empty_answer_is_no_empty_list(ops: VMOps, gcp: Any, proxy: Any) -> None:
    """Whoever answered `{}` was not GCE."""
    from fault_proxy import Answer

    other = gcp.open()
    gcp.up(other)
    nothing = Answer(200, b"{}", (("Content-Type", "application/json"),))
    proxy.add("status", method="GET", path=r"/instances\?", answer=nothing)
    assert [vm.name for vm in other.list_vms()] == ["web-1"]


def test_a_page_of_a_proxy_is_no_absence(ops: VMOps, gcp: Any, proxy: Any) -> None:
    """A 404 without GCE's reason says nothing of the VM."""
    from fault_proxy import Answer

    gcp.up(gcp.open())
    page = Answer(404, b"<html>no such page</html>", (("Content-Type", "text/html"),))
    proxy.add("status", method="GET", path="/instances/", answer=page, times=2)
    other = gcp.open()
    gcp.wait(other, other.vm_deprovision(WEB))
    assert gcp.left() == []


def test_who_may_not_list_operations_waits_by_the_vms(ops: VMOps, gcp: Any) -> None:
    """403 for the list of many operations: their VMs tell."""
    gcp.cloud.fault(method="GET", path=r"/operations\?", status=403, reason="forbidden", times=99)
    assert len(gcp.all(ops, "provision", [f"web-{i}" for i in range(12)])) == 12


def test_a_restart_right_after_a_start_is_a_whole_one(ops: VMOps, gcp: Any) -> None:
    """What a start left tells nothing of its boot, by which a restart without records is judged."""
    gcp.up(ops)
    gcp.wait(ops, ops.vm_stop(WEB))
    gcp.wait(ops, ops.vm_start(WEB))
    gcp.cloud.fault(path="/operations/", status=403, reason="forbidden", times=99)
    with gcp.counted() as made:
        gcp.wait(ops, ops.vm_restart(WEB))
    assert made.count("instances.stop") == made.count("instances.start") == 1
    assert gcp.power("web-1") == "RUNNING"


def test_a_reset_with_a_record_is_confirmed(ops: VMOps, gcp: Any) -> None:
    """The operation's own record says that it happened."""
    gcp.up(ops)
    result = gcp.wait(ops, ops.vm_restart({**WEB, "restartMode": "reset"}))
    assert result["restartConfirmed"] is True
    assert result["privateIp"]
