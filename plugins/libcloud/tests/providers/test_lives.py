"""A VM's life on the providers whose answers libcloud has recorded."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from vmops import Status
from vmops_libcloud.backend import LibcloudBackend
from vmops_libcloud.capabilities import capabilities

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0pYy5yTqQ2m7v0jN3cQ3k1rPq8Zb4mWc6JtYh9sD2x me@laptop"


def test_life(scene: Any, ops: Any, cloud: Any) -> None:
    """Made, stopped, started, restarted, deleted: each verb is one request, and is waited for."""
    status, pending = ops.vm_provision(scene.params())
    assert status is Status.PENDING
    info = scene.wait(ops, (status, pending))
    assert info["vmId"] in cloud.machines
    assert re.fullmatch(r"\d+\.\d+\.\d+\.\d+", info["publicIp"])
    for verb, more in (("stop", {"stopMode": "keep"}), ("start", {}), ("restart", {})):
        before = len(cloud.made("POST"))
        scene.wait(ops, getattr(ops, f"vm_{verb}")({"vmName": "web-1", **more}))
        assert len(cloud.made("POST")) == before + 1
    scene.wait(ops, ops.vm_deprovision({"vmName": "web-1"}))
    assert cloud.machines == {}
    assert len(cloud.made("DELETE")) == 1
    assert scene.states() == {"web-1": "GONE"}


def test_first_seen_while_it_is_made(scene: Any, ops: Any) -> None:
    """A verb returns at once: the VM is not there yet, and so nothing else can be done with it."""
    _, pending = ops.vm_provision(scene.params())
    assert [vm.state for vm in ops.list_vms()] == ["starting"]
    assert ops.vm_restart({"vmName": "web-1"})[0] is Status.FAILED
    scene.wait(ops, (Status.PENDING, pending))
    assert [vm.state for vm in ops.list_vms()] == ["running"]


def test_the_create_carries_all(scene: Any, ops: Any, cloud: Any) -> None:
    """What was asked for, and whose the VM is, leave in the one request that makes it."""
    scene.up(ops, sshPublicKey=KEY, tags={"team": "blue"}, ttl=3600)
    scene.up(ops, "web-2", userData="#!/bin/sh\necho hello\n")
    (_, _, body), (_, _, second) = cloud.made("POST", f"{cloud.vms}$")
    sent = json.dumps(body)
    assert cloud.size_and_place(body) == (cloud.defaults["vmSize"], cloud.defaults["location"])
    assert KEY in cloud.key_in(body)
    assert cloud.user_data_in(second) == "#!/bin/sh\necho hello\n"
    assert "team:blue" in sent
    for mark in ("owner", "token", "expires", "sequence", "journal"):
        assert f"vmops-{mark}:" in sent


def test_whose_it_is_is_read_back(scene: Any, ops: Any, cloud: Any) -> None:
    """Another process finds owner, token and expiry in the list; what others made is not ours."""
    cloud.add(cloud.recorded_vm())
    scene.up(ops, ttl=3600)
    (vm,) = scene.open().list_vms()
    row = scene.rows()["web-1"]
    assert vm.tags is not None
    assert vm.tags.vm == vm.name == "web-1"
    assert vm.tags.token == row["token"]
    assert vm.tags.expires > cloud.now()
    assert len(cloud.machines) == 2


def test_what_others_made(scene: Any, ops: Any, cloud: Any) -> None:
    """It can be stopped by its id, but is not deleted unless that is said."""
    vm_id = str(cloud.add(cloud.recorded_vm())["id"])
    scene.wait(ops, ops.vm_stop({"vmId": vm_id, "vmName": "other", "stopMode": "keep"}))
    status, result = ops.vm_deprovision({"vmId": vm_id, "vmName": "other"})
    assert (status, result.error.code) == (Status.FAILED, "Conflict")
    scene.wait(ops, ops.vm_deprovision({"vmId": vm_id, "vmName": "other", "deleteUnowned": True}))
    assert cloud.machines == {}


def test_one_list_for_all_who_wait(scene: Any, ops: Any, cloud: Any) -> None:
    """Twelve VMs that are waited for at once cost as many lists as one."""
    names = [f"node-{i}" for i in range(12)]
    answers = scene.asked(ops, "provision", names)
    before = len(cloud.made("GET", f"{cloud.vms}$"))
    scene.ended(ops, answers)
    assert len(cloud.made("GET", f"{cloud.vms}$")) - before < len(names)
    assert len(cloud.machines) == len(names)


def test_any_process_goes_on(scene: Any, ops: Any) -> None:
    """The result alone is waited for by a process that has never seen the VM; no key is in it."""
    _, pending = ops.vm_provision(scene.params())
    assert "a-secret-token" not in json.dumps(pending)
    assert "provider=" in pending["asyncResultsUrl"]
    other = scene.open()
    status, info = other.wait_vm_operation({"asyncResultsUrl": pending["asyncResultsUrl"]})
    assert status is Status.SUCCEEDED, info.error


def test_names_of_what_is_offered(scene: Any, ops: Any, cloud: Any) -> None:
    """What is not offered is refused with the nearest names, before anything is made."""
    for what, wrong, hint in cloud.wrong:
        status, result = ops.vm_provision(scene.params(**{what: wrong}))
        assert (status, result.error.code) == (Status.FAILED, "InvalidRequest")
        assert hint in result.error.hint
    assert cloud.made("POST") == []


def test_place_must_be_given(scene: Any, ops: Any, cloud: Any) -> None:
    """These drivers make no VM without a location: that is said before anything is made."""
    params = {k: v for k, v in scene.params().items() if k != "location"}
    status, result = ops.vm_provision(params)
    assert (status, result.error.code) == (Status.FAILED, "InvalidRequest")
    assert "location is missing" in str(result.error)
    assert cloud.made("POST") == []


def test_stop_that_releases(scene: Any, ops: Any, cloud: Any) -> None:
    """A VM that is switched off is billed all the same there, so that stop is refused unasked."""
    scene.up(ops)
    before = len(cloud.made("POST"))
    status, result = ops.vm_stop({"vmName": "web-1"})
    assert (status, result.error.code) == (Status.FAILED, "NotSupported")
    assert len(cloud.made("POST")) == before


@pytest.mark.parametrize("cloud", ["digitalocean"], indirect=True)
def test_short_names_of_images(scene: Any, ops: Any, cloud: Any) -> None:
    """An image is found by the short name that its provider has for it, too."""
    ops.vm_provision(scene.params(image="ubuntu-14-04-x64"))
    ((_, _, by_slug),) = cloud.made("POST", f"{cloud.vms}$")
    ops.vm_provision(scene.params("web-2"))
    _, (_, _, by_name) = cloud.made("POST", f"{cloud.vms}$")
    assert by_slug["image"] == by_name["image"]


def test_each_request_is_paid_for(
    scene: Any, ops: Any, cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of the budget that its provider grants for its kind, or for all."""
    paid: Counter[str] = Counter()
    monkeypatch.setattr(LibcloudBackend, "pay", lambda _, kind: paid.update([kind]))
    scene.up(ops)
    scene.wait(ops, ops.vm_deprovision({"vmName": "web-1"}))
    reads, writes = len(cloud.made("GET")), len(cloud.made("POST") + cloud.made("DELETE"))
    budgets = capabilities(cloud.provider).budgets
    expected = {"reads": reads, "writes": writes, "requests": reads + writes}
    assert paid == {kind: expected[kind] for kind in budgets if kind != "creates"}
    assert min(paid.values()) > 1


def test_a_budget_that_is_used_up(scene: Any, cloud: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request leaves before its provider grants it another one."""
    one = dict.fromkeys(capabilities(cloud.provider).budgets, (1, 0.001))
    monkeypatch.setattr(
        "vmops_libcloud.backend.capabilities",
        lambda name: replace(capabilities(name), budgets=one),
    )
    slept: list[float] = []
    monkeypatch.setattr("vmops.clock.SystemClock.sleep", lambda _, pause: slept.append(pause))
    ops = scene.open()
    for _ in range(5):
        assert ops.list_vms() == []
    assert len(slept) >= len(cloud.made("GET")) - 1
