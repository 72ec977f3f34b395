"""A driver that waits, has no tags, and start and stop by other names only."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest
from libcloud.common.exceptions import BaseHTTPError
from libcloud.compute.types import NodeState

from vmops import VM, State, Status
from vmops.errors import InvalidParams, InvalidRequest, QuotaExceeded, Unavailable
from vmops_libcloud.capabilities import capabilities
from vmops_libcloud.errors import as_error, untold
from vmops_libcloud.wire import Exchange

TOKEN = r"web-1-[a-z2-7]{40}"


@pytest.mark.usefixtures("plain")
def test_its_row() -> None:
    """What is read off it is what it has."""
    row = capabilities("plain")
    assert (row.methods["start"], row.methods["stop"]) == ("ex_start", "ex_stop")
    assert row.blocking == {"provision", "start", "stop", "deprovision"}
    assert row.ownership == "name"
    assert "restart" in row.missing


def test_life(scene: Any, ops: Any, plain: Any) -> None:
    """Made, stopped, started and deleted, by the methods that it has."""
    scene.up(ops, ex_note="hello")
    for verb, more in (("stop", {"stopMode": "keep"}), ("start", {}), ("deprovision", {})):
        scene.wait(ops, getattr(ops, f"vm_{verb}")({"vmName": "web-1", **more}))
    assert plain.asked == ["create small debian hello", "stop", "start", "delete"]
    assert plain.nodes == {}


def test_its_name_marks_it(scene: Any, ops: Any, plain: Any) -> None:
    """The cloud shows name, owner and token as one name; vmops reads them off it again."""
    scene.up(ops)
    (node,) = plain.nodes.values()
    assert re.fullmatch(TOKEN, node.name)
    (vm,) = scene.open().list_vms()
    assert vm.name == "web-1"
    assert vm.tags is not None
    assert vm.tags.token == scene.rows()["web-1"]["token"]


def test_names_that_only_look_like_ours(scene: Any, ops: Any, plain: Any) -> None:
    """A name of the same form that somebody else has made up is nobody's mark."""
    scene.up(ops)
    (node,) = plain.nodes.values()
    node.name = f"{node.name[:-2]}{'ab' if node.name[-2:] != 'ab' else 'ba'}"
    assert scene.open().list_vms() == []


def test_name_that_is_too_long(scene: Any, ops: Any, plain: Any) -> None:
    """The marks must have room in it; how long it may be is said, and nothing made."""
    status, result = ops.vm_provision(scene.params("a" * 40))
    assert (status, result.error.code) == (Status.FAILED, "InvalidRequest")
    assert "22 characters at most" in result.error.hint
    assert plain.asked == []


def test_no_time_to_live(scene: Any, ops: Any, plain: Any) -> None:
    """A name has no room for a ttl, which would never end: it is refused, and nothing is made."""
    status, result = ops.vm_provision(scene.params(ttl=60))
    assert (status, result.error.code) == (Status.FAILED, "InvalidRequest")
    assert "has no room for a ttl" in str(result.error)
    assert plain.asked == []


def test_verbs_return_at_once(scene: Any, ops: Any, plain: Any) -> None:
    """A method that waits does so in a thread of its own; the operation is seen by its VM."""
    plain.gate.clear()
    before = time.monotonic()
    status, pending = ops.vm_provision(scene.params())
    assert status is Status.PENDING
    assert time.monotonic() - before < 2
    assert plain.nodes == {}
    plain.gate.set()
    info = scene.wait(ops, (status, pending))
    assert info["vmId"] in plain.nodes


def test_creates_with_one_token_take_turns(
    scene: Any, plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at once make one VM: the second looks when the first has made it."""
    from vmops import Tags, Target
    from vmops_libcloud.backend import LibcloudBackend
    from vmops_libcloud.params import LibcloudParams
    from vmops_libcloud.settings import LibcloudSettings

    backend = LibcloudBackend(LibcloudSettings(provider="plain", key="k"))
    monkeypatch.setattr(backend._background, "_patience", 30.0)
    params = backend.resolve(LibcloudParams(vm_size="small", image="debian"))
    token = "ab" * 16
    vm = Target(VM("web-1", State.ABSENT), params, Tags("cd" * 8, "web-1", token))
    plain.gate.clear()
    made: list[Any] = []
    threads = [
        threading.Thread(target=lambda: made.append(backend.provision(vm, token))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    while not plain.asked:
        time.sleep(0.01)
    time.sleep(0.2)  # the second has come to its turn by now, or to its own create
    plain.gate.set()
    for thread in threads:
        thread.join(30)
    assert len(plain.nodes) == 1
    assert made == [{"vmId": next(iter(plain.nodes))}] * 2


def test_refusal_that_comes_late(scene: Any, ops: Any, plain: Any) -> None:
    """What a method raises after its verb has returned ends the wait, with the reason."""
    scene.up(ops)
    plain.gate.clear()
    status, pending = ops.vm_stop({"vmName": "web-1", "stopMode": "keep"})
    assert status is Status.PENDING
    plain.refusal.append(BaseHTTPError(409, "the VM is locked"))
    plain.gate.set()
    ended, result = scene.end(ops, (status, pending))
    assert (ended, result.error.code) == (Status.FAILED, "Conflict")
    assert "the VM is locked" in str(result.error)


@pytest.mark.parametrize(
    ("failure", "code"),
    [(BaseHTTPError(503, "try later"), "Unavailable"), (ZeroDivisionError("a bug"), "CloudError")],
    ids=["503", "bug"],
)
def test_failures_that_come_late(
    scene: Any, ops: Any, plain: Any, failure: Exception, code: str
) -> None:
    """One that says that nothing was done, or a bug, ends the wait at once, with the reason."""
    scene.up(ops)
    plain.gate.clear()
    answer = ops.vm_stop({"vmName": "web-1", "stopMode": "keep"})
    plain.refusal.append(failure)
    plain.gate.set()
    ended, result = scene.end(ops, answer)
    assert (ended, result.error.code) == (Status.FAILED, code)
    assert str(failure.args[-1]) in str(result.error)


def test_an_answer_that_is_lost_late(
    scene: Any, ops: Any, plain: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it was carried out, the VM tells; what went wrong is told meanwhile."""
    scene.up(ops)
    plain.gate.clear()
    answer = ops.vm_stop({"vmName": "web-1", "stopMode": "keep"})
    (node,) = plain.nodes.values()
    plain.refusal.append(ConnectionError("cut off"))
    plain.gate.set()
    status, _ = scene.end(ops, answer, pollTimeout=0.2)
    assert status is Status.TIMED_OUT
    assert "cut off" in caplog.text
    node.state = NodeState.STOPPED
    scene.wait(ops, answer)


def test_refusal_that_comes_at_once(scene: Any, ops: Any, plain: Any) -> None:
    """What a method raises while its verb waits for it is the verb's own failure."""
    scene.up(ops)
    plain.refusal.append(BaseHTTPError(409, "the VM is locked"))
    status, result = ops.vm_stop({"vmName": "web-1", "stopMode": "keep"})
    assert (status, result.error.code) == (Status.FAILED, "Conflict")
    assert "the VM is locked" in str(result.error)


def test_what_it_cannot_do(scene: Any, ops: Any, plain: Any) -> None:
    """A verb that the driver has no method for is refused with that reason, and not tried."""
    scene.up(ops)
    asked = list(plain.asked)
    status, result = ops.vm_restart({"vmName": "web-1"})
    assert (status, result.error.code) == (Status.FAILED, "NotSupported")
    assert "has no method to restart a VM" in str(result.error)
    status, result = ops.renew({"vmName": "web-1", "ttl": 60})
    assert (status, result.error.code) == (Status.FAILED, "NotSupported")
    assert plain.asked == asked


def test_arguments_by_prefix(scene: Any, ops: Any, plain: Any) -> None:
    """Only what create_node takes is passed through; the nearest name is told."""
    with pytest.raises(InvalidParams, match="ex_note"):
        ops.vm_provision(scene.params(ex_notes="hello"))
    assert plain.asked == []


def test_many_at_once(scene: Any, ops: Any, plain: Any) -> None:
    """No two threads ever have one driver; each VM is made once."""
    names = [f"n-{i}" for i in range(8)]
    plain.gate.clear()
    answers = scene.asked(ops, "provision", names)
    plain.gate.set()
    scene.ended(ops, answers)
    assert len(plain.nodes) == len(names)
    assert len(plain.asked) == len(names)
    scene.all(ops, "deprovision", names)
    assert plain.nodes == {}


def test_provider_that_makes_none(scene: Any) -> None:
    """Where what is made could not be found again, provisioning is refused unasked."""
    ops = scene.open(provider="dummy", key="0")
    status, result = ops.vm_provision(scene.params())
    assert (status, result.error.code) == (Status.FAILED, "NotSupported")
    assert "create_node takes no name" in str(result.error)


def test_a_refusal_that_is_returned() -> None:
    """Some drivers return what was refused, as if nothing were wrong: it has its class."""
    refused = {"Errors": [{"Code": "9010", "Details": "The quota was exceeded."}]}
    for seen in ([], [Exchange("POST", status=400)]):
        error = as_error(untold(refused, seen, "has no id"), "outscale")
        assert type(error) is QuotaExceeded
        assert "The quota was exceeded" in str(error)
    refused["Errors"][0]["Details"] = "The image is unknown."
    assert type(as_error(untold(refused, [], "has no id"), "outscale")) is InvalidRequest
    html = untold("<html>", [Exchange("POST", status=400)], "has no id")
    assert type(as_error(html, "outscale")) is InvalidRequest
    spoilt = as_error(untold(None, [Exchange("POST", status=200)], "has no id"), "outscale")
    assert type(spoilt) is Unavailable
