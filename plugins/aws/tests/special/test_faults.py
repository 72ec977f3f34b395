"""Answers that are lost, cut, foreign, empty or late: what was asked for happens exactly once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from vmops import Status
from vmops.errors import TransientError, Unavailable

WEB = {"vmName": "web-1"}
ACTIONS = {
    "provision": "RunInstances",
    "start": "StartInstances",
    "stop": "StopInstances",
    "restart": "RebootInstances",
    "deprovision": "TerminateInstances",
}
SLOW = pytest.mark.slow
KINDS = ("reset_before", "lost", "cut", "garbage", "empty", "hang")
FAULTS = ["lost", "garbage", *(pytest.param(k, marks=SLOW) for k in KINDS if k[0] not in "lg")]
CARRIED_OUT = {"lost", "cut", "rewrite"}
_SET = re.compile(rb"<instancesSet>.*</instancesSet>", re.DOTALL)


def _without_ids(body: bytes) -> bytes:
    return _SET.sub(b"<instancesSet/>", body)


@pytest.fixture
def impatient(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there will be no answer, it is not waited for long."""
    if request.node.callspec.params["fault"] == "hang":
        monkeypatch.setattr("vmops_aws.client._READ_TIMEOUT", 0.6)


@pytest.fixture
def asked(proxy: Any) -> Callable[[str], list[Any]]:
    """What the proxy saw of one action: each request, and whether AWS carried it out."""
    from fault_proxy import action

    def asked(name: str) -> list[Any]:
        found: list[Any] = proxy.log(body=action(name))
        return found

    return asked


def _spoil(proxy: Any, name: str, fault: str, **more: Any) -> None:
    """Let the next call of an action meet a fault."""
    from fault_proxy import action

    if fault == "rewrite":
        more["rewrite"] = _without_ids
    proxy.add(fault, body=action(name), **more)


def _before(aws: Any, ops: Any, verb: str) -> None:
    """Bring the VM to where the verb can be tried."""
    if verb != "provision":
        aws.up(ops)
    if verb == "start":
        aws.wait(ops, ops.vm_stop(WEB))


def _do(aws: Any, ops: Any, verb: str) -> tuple[Any, Any]:
    params = aws.params() if verb == "provision" else WEB
    answer: tuple[Any, Any] = getattr(ops, f"vm_{verb}")(params)
    return answer


END = {"provision": "running", "start": "running", "stop": "stopped", "restart": "running"}


@pytest.mark.parametrize("fault", [*FAULTS, "rewrite"])
@pytest.mark.parametrize(
    "verb",
    [
        "provision",
        "deprovision",
        pytest.param("start", marks=pytest.mark.slow),
        pytest.param("stop", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_verb_is_asked_for_again(aws: Any, proxy: Any, asked: Any, verb: str, fault: str) -> None:
    """After an unknown outcome the same call leaves once more, with one effect: one VM, one end."""
    ops = aws.open()
    _before(aws, ops, verb)
    _spoil(proxy, ACTIONS[verb], fault)
    result = aws.wait(ops, _do(aws, ops, verb))
    first, second = asked(ACTIONS[verb])
    assert first.request.body == second.request.body, "the same request, its token included"
    assert (first.carried_out, second.carried_out) == (fault in CARRIED_OUT, True)
    launched = aws.api.describe_instances()["Reservations"]
    ((one,),) = (each["Instances"] for each in launched)
    assert one["InstanceId"] == result["vmId"]
    assert one["State"]["Name"] == END.get(verb, "terminated")
    assert aws.states() == {"web-1": "GONE" if verb == "deprovision" else "LIVE"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("impatient")
def test_a_reboot_is_asked_for_once(aws: Any, proxy: Any, asked: Any, fault: str) -> None:
    """A reboot that may have happened never leaves twice; the wait says it is not confirmed."""
    ops = aws.open()
    _before(aws, ops, "restart")
    _spoil(proxy, "RebootInstances", fault)
    result = aws.wait(ops, ops.vm_restart(WEB))
    assert len(asked("RebootInstances")) == 1
    assert result["restartConfirmed"] is False
    assert aws.states() == {"web-1": "LIVE"}


@pytest.mark.parametrize("fault", ["reset_before", "lost", "garbage"])
@pytest.mark.usefixtures("give_up")
def test_a_create_that_never_has_an_answer(aws: Any, proxy: Any, fault: str) -> None:
    """It is FAILED as unknown and says what may remain; a repeat makes, or finds, the one VM."""
    ops = aws.open()
    _spoil(proxy, "RunInstances", fault)
    status, result = ops.vm_provision(aws.params())
    assert (status, type(result.error)) == (Status.FAILED, Unavailable)
    expected = "NotEc2" if fault == "garbage" else "ConnectionLost"
    assert result.error.provider_code == expected
    assert "web-1" in result.error.remains
    assert aws.states() == {"web-1": "INTENT"}
    vm_id = aws.up(ops)
    tokens = {one["ClientToken"] for one in aws.requests("RunInstances")}
    assert (len(tokens), len(aws.requests("RunInstances"))) == (1, 1)
    assert [one["InstanceId"] for one in aws.instances()] == [vm_id]
    assert aws.states() == {"web-1": "LIVE"}


LOOKS = ["GetCallerIdentity", "DescribeInstances", "DescribeImages"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("impatient")
def test_what_is_read_before_a_create(aws: Any, proxy: Any, asked: Any, fault: str) -> None:
    """Account, VM, alias and image are asked for until there is an answer: a portal's is none."""
    for name in LOOKS:
        _spoil(proxy, name, fault)
    proxy.add(fault, body="debian")  # the alias, which is asked for in JSON
    ops = aws.open()
    status, result = ops.vm_provision({**WEB, "image": "debian-12"})
    assert status is Status.PENDING, result.error
    assert [len(asked(name)) for name in LOOKS] == [2, 2, 2]
    assert len(proxy.log(body="debian")) == 2
    assert len(asked("RunInstances")) == 1


@pytest.mark.parametrize("name", LOOKS)
@pytest.mark.usefixtures("give_up")
def test_an_answer_that_never_comes(aws: Any, proxy: Any, name: str) -> None:
    """Where even patience gets no answer, nothing has been made, and the error is transient."""
    from fault_proxy import FOREVER

    _spoil(proxy, name, "garbage", times=FOREVER)
    ops = aws.open()
    status, result = ops.vm_provision(aws.params())
    assert status is Status.FAILED
    assert isinstance(result.error, TransientError), repr(result.error)
    assert (aws.requests("RunInstances"), aws.rows()) == ([], {})


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("impatient")
def test_a_wait_goes_on(aws: Any, proxy: Any, asked: Any, fault: str) -> None:
    """A look that is spoilt says nothing about the operation: the next ones see its end."""
    ops = aws.open()
    answer = ops.vm_provision(aws.params())
    before = len(asked("DescribeInstances"))
    _spoil(proxy, "DescribeInstances", fault, times=2)
    result = aws.wait(ops, answer)
    assert len(asked("DescribeInstances")) > before + 2
    assert result["vmId"]
    assert aws.states() == {"web-1": "LIVE"}


def test_a_page_that_is_lost(aws: Any, proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A description whose second page is cut is no description: all of it is asked for again."""
    monkeypatch.setattr("vmops_aws.client._PAGE", 5)
    ops = aws.open()
    names = [f"web-{i}" for i in range(7)]
    aws.all(ops, "provision", names)
    proxy.add("cut", body="NextToken=")
    assert sorted(vm.name for vm in ops.list_vms()) == names


@pytest.mark.parametrize("fault", ["lost", "garbage"])
def test_a_batch_is_asked_for_again_whole(aws: Any, proxy: Any, asked: Any, fault: str) -> None:
    """Of a batch whose answer is lost, no member is made twice, and none is missing."""
    ops = aws.open()
    names = [f"web-{i}" for i in range(5)]
    _spoil(proxy, "RunInstances", fault)
    results = aws.all(ops, "provision", names)
    first, second = asked("RunInstances")
    assert first.request.body == second.request.body
    assert {one["InstanceId"] for one in aws.instances()} == {r["vmId"] for r in results.values()}
    assert aws.states() == dict.fromkeys(names, "LIVE")


def test_a_spot_request_is_cancelled_again(aws: Any, proxy: Any, asked: Any) -> None:
    """Cancelling whose answer is lost is repeated before the VM is terminated."""
    ops = aws.open()
    aws.up(ops, spot=True, spotMode="persistent")
    _spoil(proxy, "CancelSpotInstanceRequests", "lost")
    aws.wait(ops, ops.vm_deprovision(WEB))
    assert (len(asked("CancelSpotInstanceRequests")), len(asked("TerminateInstances"))) == (2, 1)
    assert aws.left() == {}
