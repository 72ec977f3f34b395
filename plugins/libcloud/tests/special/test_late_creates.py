"""A create that a proxy has given up on, and that reaches Nova later: nothing is left of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from fault_proxy import Answer

from vmops import Status
from vmops.clock import SystemClock
from vmops.testing.settling import eventually
from vmops_libcloud.backend import LibcloudBackend
from vmops_libcloud.params import LibcloudParams
from vmops_libcloud.settings import LibcloudSettings

WEB = {"vmName": "web-1"}
GAVE_UP = Answer(504, b"<html>Gateway Time-out</html>", (("Content-Type", "text/html"),))
HORIZON = 5.0


@pytest.fixture
def given_up(proxy: Any) -> Any:
    """What the proxy keeps: the next create, which is answered for Nova."""
    return proxy.add("status", method="POST", path="/servers$", answer=GAVE_UP)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The long pauses, which take no time."""
    found: list[float] = []
    sleep = SystemClock.sleep

    def short(clock: SystemClock, seconds: float) -> None:
        if seconds > HORIZON / 2:
            found.append(seconds)
        else:
            sleep(clock, seconds)

    monkeypatch.setattr(SystemClock, "sleep", short)
    return found


def _arrives(proxy: Any) -> None:
    (first, *_) = proxy.log(method="POST", path="/servers$")
    assert proxy.deliver(first).status == 202


def _lease_ends(stack: Any) -> None:
    """As after a minute: until then somebody may be at work on the VM."""
    with closing(sqlite3.connect(stack.journal)) as connection, connection:
        connection.execute("update vms set lease_until = 0")


def test_it_arrives_before_it_is_repeated(
    stack: Any, proxy: Any, given_up: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repeat waits for as long as a new VM may be missing in the list, and then finds it."""
    sleep = SystemClock.sleep

    def meanwhile(clock: SystemClock, seconds: float) -> None:
        if seconds > HORIZON / 2:
            _arrives(proxy)
        else:
            sleep(clock, seconds)

    monkeypatch.setattr(SystemClock, "sleep", meanwhile)
    ops = stack.open(horizon=HORIZON)
    vm_id = stack.up(ops)
    assert given_up.met == 1
    assert [one["id"] for one in stack.servers()] == [vm_id]
    assert len(proxy.log(method="POST", path="/servers$")) == 1


@pytest.mark.usefixtures("given_up")
def test_it_arrives_while_the_other_lives(stack: Any, proxy: Any, pauses: list[float]) -> None:
    """Two VMs have one token then: what deletes the one deletes the other."""
    ops = stack.open(horizon=HORIZON)
    stack.up(ops)
    (pause,) = pauses
    assert pause <= HORIZON
    _arrives(proxy)
    assert len(stack.servers("web-1")) == 2
    _lease_ends(stack)
    (surplus,) = [one for one in ops.reap() if one.due]
    assert surplus.reason == "older"
    stack.wait(ops, ops.vm_deprovision(WEB))
    assert eventually(stack.servers, lambda left: not left, 10) == []


@pytest.mark.usefixtures("given_up", "pauses")
@pytest.mark.parametrize("how", ["reaped", "by id"])
def test_it_is_deleted_alone(stack: Any, proxy: Any, how: str) -> None:
    """Reaping, or a deletion by its id, takes the one that is too much, and leaves the other."""
    ops = stack.open(horizon=HORIZON)
    vm_id = stack.up(ops)
    _arrives(proxy)
    _lease_ends(stack)
    (other,) = [one["id"] for one in stack.servers() if one["id"] != vm_id]
    if how == "reaped":
        (found,) = ops.reap(yes=True)
        assert (found.vm.id, found.error) == (other, None)
    else:
        stack.wait(ops, ops.vm_deprovision({"vmId": other}))
    left = eventually(stack.servers, lambda left: len(left) == 1, 10)
    assert [one["id"] for one in left] == [vm_id]
    assert ops.vm_provision(stack.params())[0] is Status.SUCCEEDED  # it is held as before


@pytest.mark.usefixtures("given_up", "pauses")
def test_it_arrives_when_all_is_over(stack: Any, proxy: Any) -> None:
    """Reaping finds it by its token, with which nobody works any more."""
    ops = stack.open(horizon=HORIZON)
    stack.up(ops)
    stack.wait(ops, ops.vm_deprovision(WEB))
    _arrives(proxy)
    _lease_ends(stack)
    (found,) = ops.reap(yes=True)
    assert (found.due, found.error) == (True, None)
    stack.wait(ops, ops.wait_vm_operation({"asyncResultsUrl": found.url}))
    assert stack.servers() == []


@pytest.mark.usefixtures("given_up", "pauses")
def test_a_surplus_that_somebody_else_deletes(stack: Any, proxy: Any) -> None:
    """Its deletion finds nothing, and the VM's own goes on."""
    ops = stack.open(horizon=HORIZON)
    vm_id = stack.up(ops)
    _arrives(proxy)
    gone = Answer(404, b"{}", (("Content-Type", "application/json"),))
    (other,) = [one["id"] for one in stack.servers() if one["id"] != vm_id]
    rule = proxy.add("status", method="DELETE", path=other, answer=gone)
    stack.wait(ops, ops.vm_deprovision(WEB))
    assert rule.met == 1
    assert [one["id"] for one in stack.servers()] == [other]


@pytest.mark.usefixtures("given_up", "pauses")
def test_a_surplus_that_cannot_be_deleted(
    stack: Any, proxy: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The VM is deleted all the same, and which one stays is told; reaping finds it."""
    ops = stack.open(horizon=HORIZON)
    vm_id = stack.up(ops)
    _arrives(proxy)
    locked = Answer(409, b"{}", (("Content-Type", "application/json"),))
    (other,) = [one["id"] for one in stack.servers() if one["id"] != vm_id]
    proxy.add("status", method="DELETE", path=other, answer=locked)
    stack.wait(ops, ops.vm_deprovision(WEB))
    assert f"VM {other} is too much, and stays" in caplog.text
    _lease_ends(stack)
    (found,) = ops.reap(yes=True)
    assert (found.vm.id, found.reason, found.error) == (other, "finished", None)


@pytest.mark.parametrize("change", [{"name": "forensics"}, {"vmops-owner": "f" * 16}])
def test_copies_of_our_marks(stack: Any, ops: Any, change: dict[str, str]) -> None:
    """A server made with our metadata under a name of its own, or another install's, stays."""
    stack.up(ops)
    (mine,) = stack.servers()
    backend = LibcloudBackend(LibcloudSettings(provider="openstack", tick=0.2))
    params = LibcloudParams(vm_size=stack.cloud.size, image=stack.cloud.image)
    arguments = backend._choices.arguments(backend.resolve(params))
    name = change.pop("name", "web-1")
    marks = {**mine["metadata"], **change}
    copy = backend._drivers.call(lambda d: d.create_node(name=name, ex_metadata=marks, **arguments))
    backend.close()
    stack.wait(ops, ops.vm_deprovision(WEB))
    left = eventually(stack.servers, lambda left: len(left) == 1, 10)
    assert [one["id"] for one in left] == [copy.id]
