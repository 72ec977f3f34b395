"""Answers that are lost, spoilt, refused or late, between libcloud and a real Nova."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fault_proxy import FOREVER, Answer

from vmops import Status
from vmops.errors import Conflict, NotFound, Throttled, Unavailable

WEB = {"vmName": "web-1"}
SERVERS = r"/servers$"


def refusal(status: int, message: str, **headers: str) -> Answer:
    """An answer as Nova words it."""
    body = json.dumps({"error": {"code": status, "message": message}}).encode()
    return Answer(status, body, (("Content-Type", "application/json"), *headers.items()))


def alive(scene: Any) -> list[str]:
    """The names of the servers that there are."""
    return [one["name"] for one in scene.servers()]


@pytest.mark.parametrize("fault", ["lost", "cut", "empty", "garbage", "reset_before"])
def test_a_create_without_an_answer_makes_one_vm(scene: Any, proxy: Any, fault: str) -> None:
    """Whether it was carried out or not: it is looked for by its token, then asked for again."""
    proxy.add(fault, method="POST", path=SERVERS)
    ops = scene.open()
    vm_id = scene.up(ops)
    assert [one["id"] for one in scene.cloud.servers()] == [vm_id]
    assert scene.states() == {"web-1": "LIVE"}


def test_a_create_whose_answer_stays_out_is_recovered(
    scene: Any, proxy: Any, give_up: None
) -> None:
    """The caller gives up: recovery finds the VM by the token in its metadata."""
    proxy.add("lost", method="POST", path=SERVERS)
    ops = scene.open()
    status, result = ops.vm_provision(scene.params())
    if status is Status.FAILED:
        assert isinstance(result.error, Unavailable)
    assert len(alive(scene)) == 1
    scene.up(scene.open())
    assert len(alive(scene)) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_refusals_that_pass_are_tried_again(scene: Any, proxy: Any, status: int) -> None:
    """A list or a create that is throttled, or finds Nova unwell, is asked for again."""
    later = refusal(status, "slow down", **{"Retry-After": "0"})
    proxy.add("status", method="GET", path="/servers/detail", times=2, answer=later)
    proxy.add("status", method="POST", path=SERVERS, answer=later)
    ops = scene.open()
    scene.up(ops)
    assert alive(scene) == ["web-1"]


@pytest.mark.parametrize(
    ("status", "error"), [(409, Conflict), (404, NotFound), (429, Throttled), (502, Unavailable)]
)
def test_refusals_of_a_verb_have_their_class(
    scene: Any, proxy: Any, give_up: None, status: int, error: type[Exception]
) -> None:
    """By the status that Nova gave, and with its words."""
    ops = scene.open()
    scene.up(ops)
    answer = refusal(status, "Cannot 'stop' instance while it is in vm_state active")
    proxy.add("status", method="POST", path="/action$", times=FOREVER, answer=answer)
    told, result = ops.vm_stop({**WEB, "stopMode": "keep"})
    assert (told, type(result.error)) == (Status.FAILED, error)
    if error is not Throttled:  # libcloud has words of its own for that
        assert "vm_state" in str(result.error)


def test_looks_that_fail_fail_no_operation(scene: Any, proxy: Any) -> None:
    """A wait goes on while lists are cut, empty, lost or no JSON."""
    scene.cloud.settings(spawn_seconds=0.3)
    ops = scene.open()
    answer = ops.vm_provision(scene.params())
    for fault in ("cut", "empty", "lost", "garbage"):
        proxy.add(fault, method="GET", path="/servers/detail")
    scene.wait(ops, answer)


def test_a_vm_deleted_by_somebody_else_is_gone(scene: Any, ops: Any) -> None:
    """Waiting for a VM that vanished fails; deleting it again succeeds."""
    scene.up(ops)
    other = scene.open()
    scene.wait(other, other.vm_deprovision(WEB))
    status, _ = scene.end(ops, ops.vm_start(WEB))
    assert status is Status.FAILED
    scene.wait(ops, ops.vm_deprovision(WEB))


@pytest.mark.parametrize("verb", ["stop", "start", "deprovision"])
@pytest.mark.parametrize("fault", ["lost", "garbage", "empty"])
def test_a_verb_without_an_answer(scene: Any, proxy: Any, verb: str, fault: str) -> None:
    """It is asked for until Nova says that it has begun, and carried out once."""
    ops = scene.open()
    scene.up(ops)
    if verb == "start":
        scene.wait(ops, ops.vm_stop({**WEB, "stopMode": "keep"}))
    method, path = ("DELETE", "/servers/") if verb == "deprovision" else ("POST", "/action$")
    before = len(proxy.log(method=method, path=path))
    proxy.add(fault, method=method, path=path)
    params = {**WEB, "stopMode": "keep"} if verb == "stop" else WEB
    scene.wait(ops, getattr(ops, f"vm_{verb}")(params))
    asked = proxy.log(method=method, path=path)[before:]
    taken = [one for one in asked if one.carried_out and one.status in {202, 204, None}]
    assert len(taken) == 1 or (taken and verb == "deprovision"), asked  # which Nova takes twice
    assert scene.power() == {"stop": "SHUTOFF", "start": "ACTIVE", "deprovision": ""}[verb]


@pytest.mark.parametrize("fault", ["lost", "garbage"])
def test_a_restart_without_an_answer(scene: Any, proxy: Any, fault: str) -> None:
    """It may have happened, so it is not asked for again; the wait says that nothing tells."""
    ops = scene.open()
    scene.up(ops)
    proxy.add(fault, method="POST", path="/action$")
    result = scene.wait(ops, ops.vm_restart(WEB))
    assert result["restartConfirmed"] is False
    assert len(proxy.log(method="POST", path="/action$")) == 1


def test_a_list_that_lags(scene: Any, proxy: Any) -> None:
    """A VM that is new, and missing in a list after it was there, is not believed to be gone."""
    scene.cloud.settings(spawn_seconds=0.5)
    ops = scene.open(horizon=20)
    answer = ops.vm_provision(scene.params())
    assert [vm.name for vm in ops.list_vms()] == ["web-1"]

    def without(body: bytes) -> bytes:
        return json.dumps({**json.loads(body), "servers": []}).encode()

    hidden = proxy.add("rewrite", method="GET", path="/servers/detail", times=2, rewrite=without)
    scene.wait(ops, answer)
    assert hidden.met == 2
