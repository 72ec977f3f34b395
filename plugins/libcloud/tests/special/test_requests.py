"""Which requests are made, how many, how often, and what goes along with them."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from fault_proxy import Answer, FaultProxy

from vmops import Status, VMOps
from vmops.errors import AuthError, CloudError
from vmops.testing.settling import eventually

WEB = {"vmName": "web-1"}
CANARY = "c4n4ry"


def test_one_life(stack: Any, ops: VMOps) -> None:
    """One sign-in; a create is looked for before, sizes and images are looked up once."""
    stack.up(ops)
    count = stack.count()
    assert count["POST /v3/auth/tokens"] == 1
    assert count["GET /flavors/detail"] == 1
    assert count["POST /servers"] == 1
    with stack.counted() as made:
        stack.up(ops, "web-2")
    assert not [one for one in made if one.startswith(("GET /v2", "GET /flavors", "POST /v3"))]
    assert len([one for one in made if one != "GET /servers/detail"]) == 2


def test_many_threads_sign_in_once(stack: Any, ops: VMOps) -> None:
    """A driver for each, and one token for all of them."""
    ops.list_vms()
    names = [f"web-{i}" for i in range(6)]
    stack.all(ops, "provision", names)
    stack.all(ops, "deprovision", names)
    assert stack.count()["POST /v3/auth/tokens"] == 1
    assert stack.servers() == []


def test_libcloud_repeats_nothing(
    stack: Any, proxy: Any, monkeypatch: pytest.MonkeyPatch, give_up: None
) -> None:
    """Not even where its own switch for that is on: who repeats is the core alone."""
    monkeypatch.setenv("LIBCLOUD_RETRY_FAILED_HTTP_REQUESTS", "1")
    ops = stack.open()
    stack.up(ops)
    busy = Answer(429, b"{}", (("Content-Type", "application/json"), ("Retry-After", "0")))
    proxy.add("status", method="POST", path="/action", times=9, answer=busy)
    status, _ = ops.vm_stop(WEB)
    assert status is Status.FAILED
    assert len(proxy.log(method="POST", path="/action")) == 1


@pytest.mark.parametrize("fault", ["status", "lost", "garbage"])
def test_a_create_that_was_taken_and_not_shown(stack: Any, proxy: Any, fault: str) -> None:
    """Libcloud reads a server after it was made: a refusal of that is none of the create."""
    more = {"answer": Answer(401, b"{}", (("Content-Type", "application/json"),))}
    proxy.add(
        fault, method="GET", path=r"/servers/[-0-9a-f]{36}$", **(more if fault == "status" else {})
    )
    ops = stack.open()
    vm_id = stack.up(ops)
    assert [one["id"] for one in stack.servers()] == [vm_id]
    assert len(proxy.log(method="POST", path="/servers$")) == 1


def test_an_answer_that_never_comes(
    stack: Any, proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request waits for ever, whatever libcloud's own patience is."""
    monkeypatch.setattr("vmops_libcloud.wire._TIMEOUT", 0.5)
    proxy.add("hang", method="POST", path="/v3/auth/tokens")
    proxy.add("hang", method="GET", path="/servers/detail")
    assert stack.open().list_vms() == []


def test_a_redirect_is_not_followed(stack: Any, proxy: Any) -> None:
    """The token would go along."""
    with FaultProxy(stack.cloud.endpoint) as elsewhere:
        there = (("Location", f"{elsewhere.url}/v2.1/servers/detail"),)
        proxy.add("status", method="GET", path="/servers/detail", answer=Answer(307, b"", there))
        assert stack.open().list_vms() == []
        assert elsewhere.log() == []
    assert len(proxy.log(path="/servers/detail")) == 2


def test_a_project_that_is_not_told(stack: Any, proxy: Any) -> None:
    """Without it no absence could be believed: nothing is done."""
    refused = Answer(403, b'{"error": {"message": "no"}}', (("Content-Type", "application/json"),))
    proxy.add("status", method="GET", path="/v3/auth/tokens", times=99, answer=refused)
    status, result = stack.open().vm_provision(stack.params())
    assert status is Status.FAILED
    assert isinstance(result.error, CloudError)
    assert stack.servers() == []


def test_a_wrong_password(stack: Any) -> None:
    """AuthError, and the password is not told."""
    ops = stack.open(secret=CANARY)
    status, result = ops.vm_provision(stack.params())
    assert (status, type(result.error)) == (Status.FAILED, AuthError)
    assert CANARY not in repr(result.error)


def test_what_is_told_of_a_create(
    stack: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """User data, admin password and token are in no result, URL, journal or log."""
    caplog.set_level(logging.DEBUG)
    ops = stack.open(key=stack.cloud.user, secret=stack.cloud.password)
    params = stack.params(userData=f"#!/bin/sh\n{CANARY}", ex_admin_pass=CANARY)
    status, pending = ops.vm_provision(params)
    done = stack.wait(ops, (status, pending))
    told = "\n".join(str(record.__dict__) for record in caplog.records)
    told += f"{pending}{done}{pending['asyncResultsUrl']}{capfd.readouterr()}"
    told += stack.journal.read_bytes().decode("latin-1")
    assert CANARY not in told
    assert stack.cloud.password not in told


def test_a_vm_of_somebody_else(stack: Any, ops: VMOps) -> None:
    """A server without our metadata is started and stopped, but neither taken over nor deleted."""
    from vmops_libcloud.backend import LibcloudBackend
    from vmops_libcloud.settings import LibcloudSettings

    backend = LibcloudBackend(LibcloudSettings(provider="openstack", tick=0.1, horizon=1.0))
    size, image = (backend._drivers.call(_first(what)) for what in ("list_sizes", "list_images"))
    node = backend._drivers.call(lambda d: d.create_node(name="theirs", size=size, image=image))
    theirs = {"vmName": "theirs"}
    eventually(lambda: ops.describe(theirs).state, lambda state: state == "running", timeout=20)
    assert ops.list_vms() == []
    stack.wait(ops, ops.vm_stop(theirs))
    stack.wait(ops, ops.vm_start({"vmId": node.id}))
    for answer in (ops.vm_deprovision(theirs), ops.vm_provision(stack.params("theirs"))):
        assert (answer[0], answer[1].error.code) == (Status.FAILED, "Conflict")
    stack.wait(ops, ops.vm_deprovision({**theirs, "deleteUnowned": True}))
    backend.close()


def _first(what: str) -> Any:
    return lambda driver: getattr(driver, what)()[0]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"userData": "#!/bin/sh", "ex_userdata": "#!/bin/sh"}, "ex_userdata is given"),
        ({"location": "nova", "ex_availability_zone": "nova"}, "ex_availability_zone is what"),
        ({"ex_metadata": "team=blue"}, "ex_metadata is given"),
    ],
)
def test_what_is_given_twice(stack: Any, ops: VMOps, given: dict[str, Any], says: str) -> None:
    """By a name of ours and by the driver's: neither silently gives way; nothing is made."""
    status, result = ops.vm_provision(stack.params(**given))
    assert (status, result.error.code) == (Status.FAILED, "InvalidRequest")
    assert says in str(result.error)
    assert stack.count()["POST /servers"] == 0


def test_metadata_of_ones_own(stack: Any, ops: VMOps) -> None:
    """By the driver's name or by ours, and together: all of it is written."""
    stack.up(ops, ex_metadata={"team": "blue"}, tags={"stage": "test"})
    (server,) = stack.servers()
    assert {"team": "blue", "stage": "test"}.items() <= server["metadata"].items()


def test_a_region_that_there_is_not(stack: Any) -> None:
    """The error says what to look at."""
    with pytest.raises(CloudError, match="endpoint") as caught:
        stack.open(region="nowhere").list_vms()
    assert "check region" in caught.value.hint
