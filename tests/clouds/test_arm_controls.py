"""The ARM emulator's tokens, limits, clock and faults, and what it tells of what it was asked."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http.client import RemoteDisconnected
from typing import Any

import arm_calls
import pytest
from arm_calls import SECONDS, Arm
from arm_cloud import ArmCloud

arm, arm_server = arm_calls.arm, arm_calls.arm_server


def test_tokens(arm: Arm) -> None:
    """A request needs a token that was given, that has not expired, and that was not taken back."""
    assert arm.ask("GET", arm.group, Authorization="").code == "AuthenticationFailed"
    unknown = arm.ask("GET", arm.group, Authorization="Bearer x")
    assert (unknown.status, unknown.code) == (401, "InvalidAuthenticationToken")
    assert 'error="invalid_token"' in unknown.headers["www-authenticate"]
    old = {"Authorization": f"Bearer {arm.cloud.token()}"}
    assert arm.ask("GET", arm.group, **old).status == 200
    arm.cloud.expire_tokens()
    assert arm.ask("GET", arm.group, **old).code == "ExpiredAuthenticationToken"
    assert arm.ask("GET", arm.group).status == 200
    arm.cloud.advance(86400)
    assert arm.ask("GET", arm.group).code == "ExpiredAuthenticationToken"


def test_the_default_chain_finds_tokens(arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    """DefaultAzureCredential takes them from the emulator by the variables alone."""
    from azure.identity import DefaultAzureCredential

    for name, value in arm.cloud.environment().items():
        monkeypatch.setenv(name, value)
    with DefaultAzureCredential() as credential:
        token = credential.get_token("https://management.azure.com/.default").token
    assert arm.ask("GET", arm.group, Authorization=f"Bearer {token}").status == 200


@pytest.fixture
def limited(arm: Arm) -> Iterator[Arm]:
    """With the published limits, and hardly any refill."""
    arm.cloud.settings(rate_limits=1e-6)
    yield arm
    arm.cloud.settings(rate_limits=0)


def until_refused(arm: Arm, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """How many requests are answered, and the refusal of the next one."""
    for count in range(300):
        answer = arm.ask(method, path, body)
        if answer.status == 429:
            return count, answer
    raise AssertionError("no limit was met")


def test_limits_of_arm(limited: Arm) -> None:
    """250 reads at once, and 25 a second from then on; each answer tells how many are left."""
    shown = limited.ask("GET", limited.group).headers
    assert shown["x-ms-ratelimit-remaining-subscription-reads"] == "249"
    count, refused = until_refused(limited, "GET", limited.group)
    assert (count, refused.code) == (249, "SubscriptionRequestsThrottled")
    assert int(refused.headers["retry-after"]) > 0
    limited.cloud.settings(rate_limits=1)
    limited.cloud.advance(0.1)
    assert until_refused(limited, "GET", limited.group)[0] in range(2, 6)


def test_limits_of_writes(limited: Arm) -> None:
    """200 at once; deletions have a budget of their own."""
    assert until_refused(limited, "PATCH", limited.group, {"tags": {}})[0] == 200
    assert limited.ask("DELETE", limited.vm()).status == 204


def test_limits_of_a_vm(limited: Arm) -> None:
    """12 changes of one VM at once; another one has its own; deallocating counts as deleting."""
    count, refused = until_refused(limited, "POST", f"{limited.vm()}/start")
    assert (count, refused.code) == (12, "OperationNotAllowed")
    assert limited.ask("POST", f"{limited.vm('other')}/start").status == 404
    assert until_refused(limited, "POST", f"{limited.vm()}/deallocate")[0] == 12
    assert limited.ask("DELETE", limited.vm()).status == 429
    assert until_refused(limited, "GET", limited.vm())[0] == 36


def test_the_clock(arm: Arm) -> None:
    """Date headers, ends of operations and stamps go by a clock that tests move or speed up."""

    def now() -> float:
        return parsedate_to_datetime(arm.ask("GET", arm.group).headers["date"]).timestamp()

    arm.cloud.advance(86400 / 2)
    assert abs(now() - time.time() - 86400 / 2) < 30
    arm.cloud.settings(speed=1000.0)
    began, real = now(), time.monotonic()
    made = arm.ask("PUT", arm.vm(), arm.wanted())
    while arm.status(made) == "InProgress":
        assert time.monotonic() < real + 5
    assert now() - began >= SECONDS
    arm.cloud.settings(speed=1.0)
    assert SECONDS <= now() - began < 1000 * (time.monotonic() - real) + 2


def test_new_vms_are_unknown_for_a_while(arm: Arm) -> None:
    """With `invisible`, neither reads nor verbs know them, but If-None-Match does."""
    arm.cloud.settings(invisible=30)
    arm.ask("PUT", arm.vm(), arm.wanted())
    assert arm.state() == arm.ask("POST", f"{arm.vm()}/start").code == "ResourceNotFound"
    assert arm.ask("GET", arm.vm().rpartition("/")[0]).body["value"] == []
    assert arm.ask("PUT", arm.vm(), arm.wanted(), If_None_Match="*").status == 412
    arm.cloud.advance(30)
    assert arm.state() == "Succeeded"


def test_reads_can_lag(arm: Arm) -> None:
    """With `stale`, reads and lists show a VM as it was so many seconds ago."""
    vm = arm.running()
    arm.cloud.settings(stale=5)
    arm.ask("POST", f"{vm}/deallocate")
    assert (arm.state(), arm.power()) == ("Succeeded", "running")
    arm.cloud.advance(6)
    assert (arm.state(), arm.power()) == ("Updating", "deallocating")
    arm.cloud.advance(6)
    (listed,) = arm.ask("GET", vm.rpartition("/")[0]).body["value"]
    assert listed["properties"]["provisioningState"] == "Updating"
    arm.cloud.advance(4)
    assert (arm.state(), arm.power()) == ("Succeeded", "deallocated")


def test_a_refusal_before_and_after(arm: Arm) -> None:
    """A fault hits as often as it says what it fits; with `after`, the request is carried out."""
    fault = {"method": "PUT", "path": "/virtualMachines/vm", "status": 503, "code": "Busy"}
    arm.cloud.fault(**fault, headers={"Retry-After": "7"}, times=2)
    for _ in range(2):
        refused = arm.ask("PUT", arm.vm(), arm.wanted())
        assert (refused.status, refused.code) == (503, "Busy")
        assert refused.headers["retry-after"] == "7"
        assert arm.left() == []
    arm.cloud.fault(**fault, after=True)
    assert arm.ask("PUT", arm.vm("vm-2"), arm.wanted()).status == 503
    assert arm.state("vm-2") == "Creating"
    assert arm.ask("PUT", arm.vm(), arm.wanted()).status == 201


@pytest.mark.parametrize("after", [False, True])
def test_a_lost_answer(arm: Arm, after: bool) -> None:
    """With `drop` the connection ends in place of an answer, before or after the work."""
    arm.cloud.fault(method="PUT", drop=True, after=after)
    with pytest.raises((RemoteDisconnected, ConnectionResetError)):
        arm.ask("PUT", arm.vm(), arm.wanted())
    assert arm.state() == ("Creating" if after else "ResourceNotFound")
    assert arm.cloud.calls()[-2]["status"] == 0


def test_a_slow_answer(arm: Arm) -> None:
    """With `delay` alone an answer is right, and late; others need not wait for it."""
    arm.cloud.fault(path="resourceGroups/g", delay=0.2)
    began = time.monotonic()
    assert arm.ask("GET", arm.group).status == 200
    assert time.monotonic() - began >= 0.2


def test_the_log(arm: Arm) -> None:
    """Each call with what it asked for and what it got; no token, and none of the tests' own."""
    arm.ask("PUT", arm.vm(), arm.wanted(), If_None_Match="*")
    begun = arm.ask("POST", f"{arm.vm()}/deallocate", x_ms_client_request_id="me")
    arm.status(begun)
    arm.ask("POST", f"{arm.vm()}/start")
    calls = arm.cloud.calls()[-4:]
    assert [(one["action"], one["status"], one["code"]) for one in calls] == [
        ("PUT virtualMachines", 201, None),
        ("POST virtualMachines/deallocate", 202, None),
        ("GET operations", 200, None),
        ("POST virtualMachines/start", 409, "OperationNotAllowed"),
    ]
    assert calls[0]["headers"]["if-none-match"] == "*"
    assert calls[0]["body"]["location"] == "westeurope"
    assert calls[1]["headers"]["x-ms-client-request-id"] == "me"
    assert not any("authorization" in one["headers"] for one in calls)


def test_a_reset_is_a_new_cloud(arm: Arm) -> None:
    """Resources, faults and changed settings are gone; those of the start hold again."""
    arm.running()
    arm.cloud.fault(path="", status=500, times=9)
    arm.cloud.settings(create=0, page=1)
    arm.cloud.reset()
    assert (arm.cloud.resources(), arm.cloud.calls()) == ([], [])
    assert arm.ask("PUT", arm.group, {"location": "westeurope"}).status == 201
    found = arm.cloud.settings()
    assert (found["create"], found["page"]) == (SECONDS, 100)


def test_mistakes_of_tests_are_told(arm: Arm) -> None:
    """A setting or a fault that there is not is an error at once."""
    with pytest.raises(ValueError, match="no such setting: creat"):
        arm.cloud.settings(creat=1)
    with pytest.raises(ValueError, match="unexpected keyword argument 'state'"):
        arm.cloud.fault(state=500)


def test_it_ends_with_whoever_started_it() -> None:
    """The server leaves no process behind when its stdin is closed."""
    with ArmCloud() as cloud:
        process: subprocess.Popen[str] = cloud._process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=10) == 0
        process.stdin = None
