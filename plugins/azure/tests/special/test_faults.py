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
        "provision": ("PUT", "/virtualMachines/web-1"),
        "start": ("POST", "/start"),
        "stop": ("POST", "/deallocate"),
        "restart": ("POST", "/restart"),
        "deprovision": ("DELETE", "/virtualMachines/web-1"),
    }
)
CARRIED_OUT = {"lost", "cut", "rewrite"}
BODILESS = [fault for fault in KINDS if fault != "cut"]
"""Where ARM's answer has no body, there is nothing to cut."""
END = {"provision": "running", "start": "running", "stop": "deallocated", "restart": "running"}


@pytest.fixture
def impatient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there will be no answer, it is not waited for long."""
    if request.node.callspec.params["fault"] == "hang":
        monkeypatch.setattr("vmops_azure.client._READ_TIMEOUT", 0.6)


@pytest.mark.parametrize(
    ("verb", "fault"),
    [("provision", fault) for fault in KINDS]
    + [("deprovision", "lost")]
    + [
        pytest.param(verb, fault, marks=SLOW)
        for verb in ("start", "stop", "deprovision")
        for fault in BODILESS
        if (verb, fault) != ("deprovision", "lost")
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_verb_is_asked_for_again(azure: Any, proxy: Any, verb: str, fault: str) -> None:
    """After an unknown outcome the same request leaves once more, with one effect."""
    ops = azure.open()
    bring_before(azure, ops, verb)
    REQUESTS.spoil(proxy, verb, fault)
    azure.wait(ops, getattr(ops, f"vm_{verb}")(WEB))
    first, *others = REQUESTS.asked(proxy, verb)
    assert first.carried_out == (fault in CARRIED_OUT)
    assert len(others) == 1
    assert first.request.path == others[0].request.path
    assert azure.power("web-1") == END.get(verb, "")
    assert azure.states() == {"web-1": "GONE" if verb == "deprovision" else "LIVE"}
    made = [call for call in azure.cloud.calls() if call["action"] == "PUT virtualMachines"]
    assert sum(call["status"] < 300 for call in made) == 1, "one VM"


@pytest.mark.parametrize("fault", BODILESS)
@pytest.mark.usefixtures("impatient")
def test_a_restart_is_asked_for_once(azure: Any, proxy: Any, fault: str) -> None:
    """A restart that may have happened never leaves twice; the wait says it is not confirmed."""
    ops = azure.open()
    bring_before(azure, ops, "restart")
    REQUESTS.spoil(proxy, "restart", fault)
    result = azure.wait(ops, ops.vm_restart(WEB))
    assert len(REQUESTS.asked(proxy, "restart")) == 1
    assert result["restartConfirmed"] is False
    assert azure.states() == {"web-1": "LIVE"}


def test_a_restart_with_a_record_is_confirmed(azure: Any, ops: Any) -> None:
    """The operation's own record says that it happened."""
    azure.up(ops)
    assert azure.wait(ops, ops.vm_restart(WEB))["restartConfirmed"] is True


@pytest.mark.parametrize("fault", ["reset_before", "lost", "garbage"])
@pytest.mark.usefixtures("give_up")
def test_a_create_that_never_has_an_answer(azure: Any, proxy: Any, fault: str) -> None:
    """It is FAILED as unknown and says what may remain; a repeat makes, or finds, the one VM."""
    ops = azure.open()
    REQUESTS.spoil(proxy, "provision", fault)
    status, result = ops.vm_provision(azure.params())
    assert (status, type(result.error)) == (Status.FAILED, Unavailable)
    assert result.error.provider_code == ("NotArm" if fault == "garbage" else "ConnectionLost")
    assert "web-1" in result.error.remains
    assert azure.states() == {"web-1": "INTENT"}
    vm_id = azure.up(ops)
    assert azure.model("web-1")["properties"]["vmId"] == vm_id
    assert azure.states() == {"web-1": "LIVE"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("impatient")
def test_what_is_read_before_a_create(azure: Any, proxy: Any, fault: str) -> None:
    """The VM and the network are asked for until there is an answer: a portal's is none."""
    reads = (r"/virtualMachines/web-1\?", r"/subnets/")
    for path in reads:
        proxy.add(fault, method="GET", path=path)
    ops = azure.open()
    status, result = ops.vm_provision(azure.params())
    assert status is Status.PENDING, result.error
    assert all(len(proxy.log(method="GET", path=path)) >= 2 for path in reads)
    assert len(proxy.log(method="PUT", path="/virtualMachines/")) == 1


@pytest.mark.parametrize("fault", ["lost", "garbage", "reset_before"])
@pytest.mark.parametrize(
    "kind", ["resourcegroups/vmops", "networkSecurityGroups", "virtualNetworks"]
)
def test_a_network_that_is_made_twice_is_one(azure: Any, proxy: Any, kind: str, fault: str) -> None:
    """A PUT whose answer is lost is repeated, or found done."""
    proxy.add(fault, method="PUT", path=rf"(?i){kind}[^/]*(/vmops-westeurope)?\?")
    ops = azure.open()
    azure.up(ops)
    found = [id_ for id_ in azure.cloud.resources() if "/virtualnetworks/" in id_.lower()]
    assert len({id_.lower().partition("/subnets/")[0] for id_ in found}) == 1


@pytest.mark.parametrize("path", ["/virtualMachines/", "/subnets/"])
@pytest.mark.usefixtures("give_up")
def test_an_answer_that_never_comes(azure: Any, proxy: Any, path: str) -> None:
    """Where even patience gets no answer, nothing has been made, and the error is transient."""
    from fault_proxy import FOREVER

    proxy.add("garbage", method="GET", path=path, times=FOREVER)
    ops = azure.open()
    status, result = ops.vm_provision(azure.params())
    assert status is Status.FAILED
    assert isinstance(result.error, TransientError), repr(result.error)
    assert azure.rows() == {}
    assert not [c for c in azure.cloud.calls() if c["action"] == "PUT virtualMachines"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("impatient")
def test_a_wait_goes_on(azure: Any, proxy: Any, fault: str) -> None:
    """A poll that is spoilt says nothing about the operation: the next ones see its end."""
    ops = azure.open()
    answer = ops.vm_provision(azure.params())
    proxy.add(fault, method="GET", path="/operations/", times=2)
    result = azure.wait(ops, answer)
    assert len(proxy.log(method="GET", path="/operations/")) > 2
    assert result["vmId"]
    assert azure.states() == {"web-1": "LIVE"}


def test_a_page_that_is_lost(azure: Any, proxy: Any) -> None:
    """A list whose second page is cut is no list: all of it is asked for again."""
    azure.cloud.settings(page=5)
    ops = azure.open()
    names = [f"web-{i}" for i in range(7)]
    azure.all(ops, "provision", names)
    proxy.add("cut", method="GET", path="skiptoken")
    assert sorted(vm.name for vm in ops.list_vms()) == names
