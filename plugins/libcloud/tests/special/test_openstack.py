"""What is special about OpenStack: shelving, tokens, one list for all, arguments by prefix."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from vmops import State, Status
from vmops.errors import AuthError, InvalidParams
from vmops_libcloud.backend import LibcloudBackend
from vmops_libcloud.settings import LibcloudSettings

WEB = {"vmName": "web-1"}
LIST = "GET /servers/detail"


def test_life(scene: Any, ops: Any) -> None:
    """Each verb is one request besides the list, and its wait ends in the state it means."""
    vm_id = scene.up(ops)
    for verb, more, state, asked in (
        ("stop", {"stopMode": "keep"}, State.STOPPED, 1),
        ("start", {}, State.RUNNING, 1),
        ("stop", {}, State.STOPPED, 1),
        ("start", {}, State.RUNNING, 1),
        ("restart", {}, State.RUNNING, 1),
    ):
        with scene.counted() as calls:
            info = scene.wait(ops, getattr(ops, f"vm_{verb}")({**WEB, **more}))
        assert info["vmId"] == vm_id
        seen = ops.describe(WEB)
        assert seen.state is state
        assert calls.count("POST /servers/{id}/action") == asked, (verb, calls)
        assert set(calls) <= {LIST, "POST /servers/{id}/action", "GET /servers/{id}"}, verb
    scene.wait(ops, ops.vm_deprovision(WEB))
    assert scene.cloud.alive() == []
    assert scene.states() == {"web-1": "GONE"}


def test_shelving_gives_the_compute_back(scene: Any, ops: Any) -> None:
    """A server that is only stopped keeps its place; one that is released is shelved away."""
    scene.up(ops)
    scene.wait(ops, ops.vm_stop({**WEB, "stopMode": "keep"}))
    assert ops.describe(WEB).holds_compute
    scene.wait(ops, ops.vm_stop(WEB))
    assert not ops.describe(WEB).holds_compute
    (server,) = scene.cloud.servers()
    assert server["status"] == "SHELVED_OFFLOADED"


def test_names_of_sizes_and_images_are_checked_before_the_create(scene: Any, ops: Any) -> None:
    """Nothing is asked of Nova but lists."""
    for wrong in ({"vmSize": "m1.enormous"}, {"image": "plan9"}):
        status, result = ops.vm_provision(scene.params(**wrong))
        assert status is Status.FAILED
        assert next(iter(wrong.values())) in str(result.error)
    assert not [action for action in scene.actions() if action.startswith("POST /servers")]


def test_a_token_that_is_refused_is_replaced(scene: Any, ops: Any) -> None:
    """In the middle of a wait as well as before a verb, and for all threads once."""
    scene.cloud.settings(spawn_seconds=0.3)
    answer = ops.vm_provision(scene.params())
    scene.cloud.expire_tokens()
    scene.wait(ops, answer)
    scene.cloud.expire_tokens()
    scene.wait(ops, ops.vm_deprovision(WEB))
    assert scene.actions().count("POST /v3/auth/tokens") <= 6


def test_wrong_credentials_are_told(
    scene: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """AuthError, without the password."""
    monkeypatch.setenv("OS_PASSWORD", "wr0ng-secret")
    status, result = scene.open().vm_provision(scene.params())
    assert (status, type(result.error)) == (Status.FAILED, AuthError)
    assert "wr0ng-secret" not in str(result.error) + caplog.text


def test_many_waiters_share_one_list(scene: Any, ops: Any) -> None:
    """One list a tick shows all VMs to all who wait: never a request for each."""
    scene.cloud.settings(spawn_seconds=0.5)
    names = [f"web-{i}" for i in range(6)]
    answers = scene.asked(ops, "provision", names)
    ends: list[Status] = []
    with scene.counted() as calls:
        threads = [
            threading.Thread(target=lambda a=a: ends.append(scene.end(ops, a)[0]))
            for a in answers.values()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert ends == [Status.SUCCEEDED] * 6
    assert set(calls) <= {LIST, "GET /servers/{id}"}
    assert calls.count("GET /servers/{id}") == 0
    scene.all(ops, "deprovision", names)


def test_no_driver_is_shared_by_threads(scene: Any, ops: Any) -> None:
    """Drivers of libcloud keep one connection's state: each thread has its own."""
    scene.up(ops)
    drivers = ops._dispatcher.wait_line(WEB)[0].connection.backend._drivers
    meet = threading.Barrier(4)
    used: list[tuple[int, int]] = []

    def use(driver: Any) -> None:
        meet.wait(10)
        used.append((threading.get_ident(), id(driver)))

    threads = [threading.Thread(target=lambda: drivers.call(use)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({thread for thread, _ in used}) == len({driver for _, driver in used}) == 4


def test_arguments_of_the_driver_are_passed_through(scene: Any, proxy: Any) -> None:
    """By their own names, into the one request that makes the VM, with whose it is."""
    ops = scene.open()
    scene.up(ops, ex_config_drive=True, ttl=3600, tags={"team": "blue"})
    (create,) = proxy.log(method="POST", path=r"/servers$")
    body = create.request.body.decode()
    assert '"config_drive": "True"' in body  # as libcloud writes it
    for mark in ("owner", "vm", "token", "expires", "sequence", "journal"):
        assert f'"vmops-{mark}"' in body
    assert '"team"' in body


def test_arguments_that_the_driver_lacks_are_refused(scene: Any, ops: Any) -> None:
    """Before any call, with the name that was meant."""
    with pytest.raises(InvalidParams, match="ex_config_drive"):
        ops.vm_provision(scene.params(ex_config_driv=True))
    assert scene.actions() == []


def test_renewal_keeps_what_others_wrote(scene: Any, ops: Any) -> None:
    """Metadata that was written since the last list is still there after a renewal."""
    scene.up(ops, ttl=600)
    before = ops.describe(WEB)
    backend = LibcloudBackend(LibcloudSettings(provider="openstack", tick=0.2))
    (vm,) = backend.describe(None)
    driver = backend._drivers
    node = backend._machines.node(vm)
    driver.call(
        lambda d: d.connection.request(
            f"/servers/{node.id}/metadata", method="POST", data={"metadata": {"team": "blue"}}
        )
    )
    scene.wait(ops, ops.renew({**WEB, "ttl": 3600}))
    backend.close()
    (server,) = scene.cloud.servers()
    assert server["metadata"]["team"] == "blue"
    assert int(server["metadata"]["vmops-expires"]) > before.tags.expires
