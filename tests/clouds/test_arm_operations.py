"""The ARM emulator's long-running operations: their URLs, their records, and how they end."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import arm_calls
import pytest
from arm_calls import SECONDS, Arm

arm, arm_server = arm_calls.arm, arm_calls.arm_server


def test_a_record_of_compute(arm: Arm) -> None:
    """It tells when the operation began and, at its end, when that was, whoever asks how late."""

    def seconds(stamp: str) -> float:
        return datetime.fromisoformat(stamp[:26]).timestamp()

    url = arm.ask("PUT", arm.vm(), arm.wanted()).headers["azure-asyncoperation"]
    running = arm.follow(url).body
    assert set(running) == {"startTime", "status", "name"}
    arm.cloud.advance(3 * SECONDS)
    ended = arm.follow(url).body
    assert set(ended) == {"startTime", "endTime", "status", "name"}
    assert ended["startTime"] == running["startTime"]
    took = seconds(ended["endTime"]) - seconds(ended["startTime"])
    assert abs(took - SECONDS) < 0.001
    assert f"/operations/{ended['name']}?" in url


def test_a_record_of_network(arm: Arm) -> None:
    """It tells how the operation stands and nothing else."""
    url = arm.ask("PUT", arm.vnet, arm.network()).headers["azure-asyncoperation"]
    assert arm.follow(url).body == {"status": "InProgress"}
    arm.cloud.advance(SECONDS)
    assert arm.follow(url).body == {"status": "Succeeded"}


def test_a_location(arm: Arm) -> None:
    """The same URL with `monitor=true`: 202 without a body while it runs, then 200."""
    begun = arm.ask("POST", f"{arm.running()}/powerOff").headers
    location, record = begun["location"], begun["azure-asyncoperation"]
    assert location.replace("monitor=true&", "") == record
    waiting = arm.follow(location)
    assert (waiting.status, waiting.body, waiting.headers["location"]) == (202, None, location)
    arm.cloud.advance(SECONDS)
    assert arm.follow(location)[::2] == (200, None)


def test_urls_are_signed(arm: Arm) -> None:
    """A query of more than a kilobyte has to come back byte for byte."""
    url = arm.ask("PUT", arm.vm(), arm.wanted()).headers["azure-asyncoperation"]
    path, _, query = url.partition("?")
    assert len(query) > 1024
    names = [part.partition("=")[0] for part in query.split("&")]
    assert names == ["p", "api-version", "t", "c", "s", "h"]
    for other in (query[:-1], query.replace("%2B", "+"), query.replace("%3D", "%3d"), query + "&x"):
        assert arm.follow(f"{path}?{other}").status == 403
    assert arm.follow(url).status == 200


def test_operations_are_forgotten(arm: Arm) -> None:
    """Some time after its end an operation is unknown, like one that never was."""
    url = arm.ask("PUT", arm.vm(), arm.wanted()).headers["azure-asyncoperation"]
    arm.cloud.settings(operation_lifetime=60)
    arm.cloud.advance(SECONDS)
    assert arm.follow(url).status == 200
    arm.cloud.advance(61)
    assert arm.follow(url).status == 404
    assert arm.follow(url.replace("/operations/", "/operations/x")).status == 404


@pytest.mark.parametrize("status", ["Failed", "Canceled", "InProgress"])
def test_how_the_next_operation_ends(arm: Arm, status: str) -> None:
    """A fault names its kind: it hits the next of that kind, and InProgress is for ever."""
    vm = arm.running()
    arm.cloud.fault(operation="deallocate", status=status, code="InternalOperationError")
    spared = arm.ask("POST", f"{vm}/powerOff")
    arm.cloud.advance(SECONDS)
    hit = arm.ask("POST", f"{vm}/deallocate")
    arm.cloud.advance(100 * SECONDS)
    record = arm.follow(hit.headers["azure-asyncoperation"]).body
    assert (arm.status(spared), record["status"]) == ("Succeeded", status)
    assert record.get("error", {}).get("code") == (
        None if status == "InProgress" else "InternalOperationError"
    )


def test_when_to_ask_again(arm: Arm) -> None:
    """Retry-After on what is accepted and on polls of what runs, where the settings say so."""
    silent = arm.ask("PUT", arm.vm(), arm.wanted()).headers
    assert "retry-after" not in silent
    arm.cloud.settings(retry_after=10, poll_retry_after=30)
    begun = arm.ask("DELETE", arm.vm()).headers
    assert begun["retry-after"] == "10"
    assert arm.follow(begun["azure-asyncoperation"]).headers["retry-after"] == "30"
    arm.cloud.advance(SECONDS)
    assert "retry-after" not in arm.follow(begun["azure-asyncoperation"]).headers


def test_operations_without_a_record(arm: Arm) -> None:
    """With `location_only` there is a Location alone."""
    arm.cloud.settings(location_only=True)
    begun = arm.ask("PUT", arm.vm(), arm.wanted())
    assert "azure-asyncoperation" not in begun.headers
    assert arm.follow(begun.headers["location"]).status == 202
    arm.cloud.advance(SECONDS)
    assert arm.follow(begun.headers["location"]).status == 200


def test_operations_of_another_host(arm: Arm) -> None:
    """With `operation_host` their URLs lead elsewhere."""
    arm.cloud.settings(operation_host="https://elsewhere.example.com")
    begun = arm.ask("PUT", arm.vm(), arm.wanted()).headers
    assert begun["azure-asyncoperation"].startswith("https://elsewhere.example.com/subscriptions/")


def test_outputs(arm: Arm) -> None:
    """What a command printed, or the way into a disk, stands in the record and at the Location."""
    disk = f"{arm.group}/providers/Microsoft.Compute/disks/d"
    wanted = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 8}
    arm.ask("PUT", disk, {"location": "westeurope", "properties": wanted})
    arm.cloud.advance(SECONDS)
    access = {"access": "Read", "durationInSeconds": 60}
    for path, body, member in (
        (f"{arm.running()}/runCommand", {"commandId": "RunShellScript"}, "value"),
        (f"{disk}/beginGetAccess", access, "accessSAS"),
    ):
        begun = arm.ask("POST", path, body).headers
        arm.cloud.advance(SECONDS)
        output: Any = arm.follow(begun["azure-asyncoperation"]).body["properties"]["output"]
        assert member in output
        assert arm.follow(begun["location"]).body == output


def test_a_group_goes_with_all_that_is_in_it(arm: Arm) -> None:
    """Its Location alone says when; until then nothing new can be made in it."""
    arm.running()
    gone = arm.ask("DELETE", arm.group)
    assert (gone.status, "azure-asyncoperation" in gone.headers) == (202, False)
    assert arm.ask("PUT", arm.vm("new"), arm.wanted()).code == "ResourceGroupBeingDeleted"
    assert arm.follow(gone.headers["location"]).status == 202
    arm.cloud.advance(SECONDS)
    assert arm.follow(gone.headers["location"]).status == 200
    assert arm.cloud.resources() == []
    assert arm.ask("GET", arm.vm()).code == "ResourceGroupNotFound"
