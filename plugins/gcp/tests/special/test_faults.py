"""Answers that are lost, cut, foreign, empty or late: what was asked for happens exactly once."""

from __future__ import annotations

from typing import Any

import pytest
from spoilt import FAULTS, KINDS, SLOW, Requests, bring_before

from vmops import Status
from vmops.errors import TransientError, Unavailable

WEB = {"vmName": "web-1"}
REQUESTS = Requests(
    {
        "provision": ("POST", r"/instances(\?|$)"),
        "start": ("POST", r"/start(\?|$)"),
        "stop": ("POST", r"/stop(\?|$)"),
        "restart": ("POST", r"/reset(\?|$)"),
        "deprovision": ("DELETE", r"/instances/\d+(\?|$)"),
    }
)
CARRIED_OUT = {"lost", "cut"}
END = {"provision": "RUNNING", "start": "RUNNING", "stop": "TERMINATED"}
OPERATIONS = {"provision": "insert", "start": "start", "stop": "stop", "deprovision": "delete"}


@pytest.fixture
def impatient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there will be no answer, it is not waited for long."""
    if request.node.callspec.params["fault"] == "hang":
        monkeypatch.setattr("vmops_gcp.client._TIMEOUT", 0.6)


@pytest.mark.parametrize(
    ("verb", "fault"),
    [("provision", fault) for fault in KINDS]
    + [("stop", "lost"), ("deprovision", "lost")]
    + [
        pytest.param(verb, fault, marks=SLOW)
        for verb in ("start", "stop", "deprovision")
        for fault in KINDS
        if (verb, fault) not in {("stop", "lost"), ("deprovision", "lost")}
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_verb_is_asked_for_again(gcp: Any, proxy: Any, verb: str, fault: str) -> None:
    """After an unknown outcome the same request leaves once more, with one effect."""
    ops = gcp.open()
    bring_before(gcp, ops, verb)
    REQUESTS.spoil(proxy, verb, fault)
    gcp.wait(ops, getattr(ops, f"vm_{verb}")(WEB))
    first, *others = REQUESTS.asked(proxy, verb)
    assert first.carried_out == (fault in CARRIED_OUT)
    assert len(others) == 1
    assert first.request.path == others[0].request.path, "the requestId is another one"
    assert gcp.power("web-1") == END.get(verb, "")
    assert gcp.states() == {"web-1": "GONE" if verb == "deprovision" else "LIVE"}
    had = gcp.cloud.call("GET", gcp.path("operations"))[2]["items"]
    assert [one["operationType"] for one in had].count(OPERATIONS[verb]) == 1


@pytest.mark.parametrize("fault", KINDS)
@pytest.mark.usefixtures("impatient")
def test_a_reset_is_asked_for_once(gcp: Any, proxy: Any, fault: str) -> None:
    """One that may have happened never leaves twice; the wait says it is not confirmed."""
    ops = gcp.open()
    bring_before(gcp, ops, "restart")
    REQUESTS.spoil(proxy, "restart", fault)
    result = gcp.wait(ops, ops.vm_restart({**WEB, "restartMode": "reset"}))
    assert len(REQUESTS.asked(proxy, "restart")) == 1
    assert result["restartConfirmed"] is False
    assert gcp.states() == {"web-1": "LIVE"}


@pytest.mark.parametrize("fault", ["reset_before", "lost", "garbage"])
@pytest.mark.usefixtures("give_up")
def test_a_create_that_never_has_an_answer(gcp: Any, proxy: Any, fault: str) -> None:
    """It is FAILED as unknown and says what may remain; a repeat makes, or finds, the one VM."""
    ops = gcp.open()
    REQUESTS.spoil(proxy, "provision", fault)
    status, result = ops.vm_provision(gcp.params())
    assert (status, type(result.error)) == (Status.FAILED, Unavailable)
    assert result.error.provider_code == ("notGce" if fault == "garbage" else "connectionLost")
    assert "web-1" in result.error.remains
    assert gcp.states() == {"web-1": "INTENT"}
    vm_id = gcp.up(ops)
    assert gcp.model("web-1")["id"] == vm_id
    assert gcp.states() == {"web-1": "LIVE"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("impatient")
def test_what_is_read_before_a_create(gcp: Any, proxy: Any, fault: str) -> None:
    """The VM is asked for until there is an answer."""
    proxy.add(fault, method="GET", path="/instances/web-1")
    ops = gcp.open()
    status, result = ops.vm_provision(gcp.params())
    assert status is Status.PENDING, result.error
    assert len(proxy.log(method="GET", path="/instances/web-1")) >= 2
    assert len(proxy.log(method="POST", path=REQUESTS.of["provision"][1])) == 1


@pytest.mark.usefixtures("give_up")
def test_an_answer_that_never_comes(gcp: Any, proxy: Any) -> None:
    """Where even patience gets no answer, nothing has been made, and the error is transient."""
    from fault_proxy import FOREVER

    proxy.add("garbage", method="GET", path="/instances/", times=FOREVER)
    ops = gcp.open()
    status, result = ops.vm_provision(gcp.params())
    assert status is Status.FAILED
    assert isinstance(result.error, TransientError), repr(result.error)
    assert gcp.rows() == {}
    assert gcp.calls("instances.insert") == []


@pytest.mark.parametrize("fault", [kind for kind in KINDS if kind != "hang"])
def test_a_wait_goes_on(gcp: Any, proxy: Any, fault: str) -> None:
    """A poll that is spoilt says nothing about the operation: the next ones see its end."""
    ops = gcp.open()
    answer = ops.vm_provision(gcp.params())
    proxy.add(fault, path="/operations/", times=2)
    result = gcp.wait(ops, answer)
    assert len(proxy.log(path="/operations/")) > 2
    assert result["vmId"]
    assert gcp.states() == {"web-1": "LIVE"}


def test_a_page_that_is_lost(gcp: Any, proxy: Any) -> None:
    """A list whose second page is cut is no list: all of it is asked for again."""
    gcp.cloud.settings(page=5)
    ops = gcp.open()
    names = [f"web-{i}" for i in range(7)]
    gcp.all(ops, "provision", names)
    proxy.add("cut", method="GET", path="pageToken")
    assert sorted(vm.name for vm in ops.list_vms()) == names
