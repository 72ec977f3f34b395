"""What DigitalOcean, Linode and Vultr refuse, and what goes wrong on the way to them."""

from __future__ import annotations

from typing import Any

import pytest

from vmops import Status, VMOps

WORDS = {
    "credentials": "AuthError",
    "forbidden": "AuthError",
    "conflict": "Conflict",
    "quota": "QuotaExceeded",
    "invalid": "InvalidRequest",
    "throttled": "Throttled",
    "unavailable": "Unavailable",
}


@pytest.mark.parametrize("reason", WORDS)
@pytest.mark.usefixtures("give_up")
def test_refused_create(reason: str, scene: Any, ops: Any, cloud: Any) -> None:
    """Each refusal is the error that it means, in the provider's own words; no VM is left."""
    status, body = cloud.refusals[reason]
    cloud.fail("POST", cloud.vms, status, body, times=99)
    ended, result = ops.vm_provision(scene.params())
    assert (ended, result.error.code) == (Status.FAILED, WORDS[reason])
    if reason != "throttled":  # libcloud has an error of its own for that, with other words
        assert cloud.said_in(body) in str(result.error)
    assert cloud.machines == {}


@pytest.mark.parametrize("reason", ["throttled", "unavailable"])
def test_what_passes_is_asked_again(reason: str, scene: Any, ops: Any, cloud: Any) -> None:
    """After a refusal that passes, the create is repeated, and makes one VM."""
    status, body = cloud.refusals[reason]
    cloud.fail("POST", cloud.vms, status, body, times=2, headers={"Retry-After": "0"})
    scene.up(ops)
    assert len(cloud.machines) == 1
    assert len(cloud.made("POST", f"{cloud.vms}$")) == 3


def test_credentials_that_are_wrong(scene: Any, ops: Any, cloud: Any) -> None:
    """A list that is refused is no empty list: nothing is made, and nothing believed to be gone."""
    status, body = cloud.refusals["credentials"]
    cloud.fail("GET", ".*", status, body, times=99)
    ended, result = ops.vm_provision(scene.params())
    assert (ended, result.error.code) == (Status.FAILED, "AuthError")
    ended, result = ops.vm_deprovision({"vmName": "web-1"})
    assert (ended, result.error.code) == (Status.FAILED, "AuthError")
    assert cloud.made("POST") == []


def test_lost_answer_to_a_create(scene: Any, ops: Any, cloud: Any) -> None:
    """The VM is made, and the answer lost: who asks again finds it, and makes no second one."""
    cloud.fail("POST", cloud.vms, done_first=True)
    scene.up(ops)
    assert len(cloud.machines) == 1
    assert len(cloud.made("POST", f"{cloud.vms}$")) == 1


@pytest.mark.parametrize("body", [b"<html>busy</html>", b"", b'{"dro', {"half": "an answer"}])
def test_spoilt_answer_to_a_create(body: Any, scene: Any, ops: Any, cloud: Any) -> None:
    """An answer that is not the provider's says nothing: what was made is found by its token."""
    cloud.fail("POST", cloud.vms, 200, body, done_first=True)
    scene.up(ops)
    assert len(cloud.machines) == 1


@pytest.mark.usefixtures("give_up")
def test_create_that_nobody_repeats(scene: Any, ops: Any, cloud: Any) -> None:
    """Given up with an unknown outcome, it is found by whoever asks for the same VM later."""
    cloud.fail("POST", cloud.vms, done_first=True)
    status, result = ops.vm_provision(scene.params())
    assert (status, result.error.code) == (Status.FAILED, "Unavailable")
    assert scene.states() == {"web-1": "INTENT"}
    with VMOps(scene.config, journal=scene.journal) as later:
        scene.wait(later, later.vm_provision(scene.params()))
    assert len(cloud.machines) == 1
    assert scene.states() == {"web-1": "LIVE"}


def test_vm_that_vanishes(scene: Any, ops: Any, cloud: Any) -> None:
    """A 404 in the provider's words, between the look and the verb, is NotFound."""
    scene.up(ops)
    cloud.fail("POST", f"{cloud.vms}/.*", *cloud.unknown(""), times=9)
    status, result = ops.vm_stop({"vmName": "web-1", "stopMode": "keep"})
    assert (status, result.error.code) == (Status.FAILED, "NotFound")


def test_deleted_elsewhere(scene: Any, ops: Any, cloud: Any) -> None:
    """A VM that somebody else has deleted is gone, and is deleted with no request."""
    scene.up(ops)
    cloud.machines.clear()
    later = scene.open()
    scene.wait(later, later.vm_deprovision({"vmName": "web-1"}))
    assert cloud.made("DELETE") == []
    assert scene.states() == {"web-1": "GONE"}


def test_busy_vm(scene: Any, ops: Any, cloud: Any) -> None:
    """A verb that meets another operation is refused, and the VM is as it was."""
    scene.up(ops)
    status, body = cloud.refusals["conflict"]
    cloud.fail("POST", f"{cloud.vms}/.*", status, body, times=99)
    ended, result = ops.vm_stop({"vmName": "web-1", "stopMode": "keep"})
    assert (ended, result.error.code) == (Status.FAILED, "Conflict")
    assert [vm.state for vm in ops.list_vms()] == ["running"]


@pytest.mark.parametrize("answer", [(503, {}), (200, b"<html>"), (0, None)])
def test_list_that_fails_ends_no_wait(answer: Any, scene: Any, ops: Any, cloud: Any) -> None:
    """A look that fails says nothing of the operation: the wait goes on, and the VM is found."""
    _, pending = ops.vm_provision(scene.params())
    cloud.fail("GET", cloud.vms, *answer, times=2)
    scene.wait(ops, (Status.PENDING, pending))


def test_a_list_is_not_followed_elsewhere(scene: Any, ops: Any, cloud: Any) -> None:
    """A redirect is no answer: the token does not go where it leads."""
    from recorded_clouds import CLOUDS

    with CLOUDS[cloud.provider]() as elsewhere:
        headers = {"Location": elsewhere.endpoint + cloud.vms}
        cloud.fail("GET", cloud.vms, 307, b"", headers=headers)
        scene.up(ops)
        assert elsewhere.requests == []
