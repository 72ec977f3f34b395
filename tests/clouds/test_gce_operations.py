"""The GCE emulator's operations: what they tell, waiting for them, and how they end."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any
from uuid import uuid4

import gce_calls
import pytest
from gce_calls import SECONDS, Gce

gce, gce_server = gce_calls.gce, gce_calls.gce_server


def test_a_record(gce: Gce) -> None:
    """PENDING without a start, RUNNING with one, DONE with an end, all by the cloud's clock."""
    id_ = str(uuid4())
    pending = gce.post("instances", gce.wanted(), requestId=id_)
    assert re.fullmatch(
        r"operation-1[0-9]{12}-[0-9a-f]{13}-[0-9a-f]{8}-[0-9a-f]{8}", pending["name"]
    )
    assert pending == {
        "kind": "compute#operation",
        "id": pending["id"],
        "name": pending["name"],
        "zone": "https://www.googleapis.com/compute/v1/projects/vmops-test/zones/europe-west1-b",
        "operationType": "insert",
        "clientOperationId": id_,
        "targetLink": f"https://www.googleapis.com{gce.zone}/instances/vm",
        "targetId": gce.vm()["id"],
        "status": "PENDING",
        "user": "vmops@vmops-test.iam.gserviceaccount.com",
        "progress": 0,
        "insertTime": pending["insertTime"],
        "selfLink": f"https://www.googleapis.com{gce.zone}/operations/{pending['name']}",
    }
    gce.cloud.advance(SECONDS / 2)
    running = gce.now(pending)
    assert set(running) - set(pending) == {"startTime"}
    assert (running["status"], running["progress"]) == ("RUNNING", 0)
    done = gce.end(pending)
    assert set(done) - set(running) == {"endTime"}
    assert (done["status"], done["progress"]) == ("DONE", 100)
    began, ended = (datetime.fromisoformat(done[one]) for one in ("insertTime", "endTime"))
    assert (ended - began).total_seconds() == pytest.approx(SECONDS, abs=0.1)
    assert gce.get(f"operations/{done['id']}") == done


def test_the_scopes_of_operations(gce: Gce) -> None:
    """Those of a region and global ones have lists of their own."""
    for place, field in (("global/networks", None), ("regions/europe-west1/addresses", "region")):
        operation = gce.post(f"{gce.project}/{place}", {"name": "x"})
        assert "zone" not in operation
        assert (field is None) == ("region" not in operation)
        scope = place.rpartition("/")[0]
        assert gce.names(f"{gce.project}/{scope}/operations") == [operation["name"]]
        assert gce.now(operation)["status"] == "PENDING"
        wait = f"{gce.project}/{scope}/operations/{operation['name']}/wait"
        gce.cloud.advance(SECONDS)
        assert gce.post(wait)["status"] == "DONE"
    assert gce.names("operations") == []


def test_they_are_forgotten(gce: Gce) -> None:
    """Some time after their end, or when they are deleted."""
    gce.cloud.settings(operation_lifetime=60)
    old = gce.post("instances", gce.wanted())
    assert gce.ask("DELETE", f"operations/{old['name']}").reason == "resourceNotReady"
    gce.end(old)
    gce.cloud.advance(61)
    assert gce.ask("GET", f"operations/{old['name']}").reason == "notFound"
    new = gce.end(gce.post("instances/vm/stop"))
    answer = gce.ask("DELETE", f"operations/{new['name']}")
    assert (answer.status, answer.body) == (200, None)
    assert gce.ask("POST", f"operations/{new['name']}/wait").status == 404


def test_done_at_once(gce: Gce) -> None:
    """Only if asked so: even what takes no time is PENDING when it is first answered."""
    gce.cloud.settings(create=0, stop=0)
    assert gce.post("instances", gce.wanted())["status"] == "PENDING"
    assert gce.vm()["status"] == "RUNNING"
    gce.cloud.settings(inline_done=True)
    assert gce.post("instances/vm/stop")["status"] == "DONE"
    assert gce.vm()["status"] == "TERMINATED"


# -- the same request again -----------------------------------------------------------------------


def test_a_request_id(gce: Gce) -> None:
    """The first operation as it is now; an hour later the request is another one."""
    query = {"requestId": str(uuid4())}
    first = gce.post("instances", gce.wanted(), **query)
    assert gce.post("instances", gce.wanted(), **query) == first
    assert gce.end(first)["status"] == "DONE"
    again = gce.post("instances", gce.wanted(), **query)
    assert (again["name"], again["status"]) == (first["name"], "DONE")
    assert len(gce.names()) == 1
    found = gce.get("operations", filter=f'clientOperationId="{query["requestId"]}"')["items"]
    assert found == [again]
    other = gce.ask("POST", "instances/vm/stop", query=query)
    assert (other.status, other.reason) == (400, "invalid")
    assert gce.ask("POST", "instances", gce.wanted(), uuid4_query()).reason == "alreadyExists"
    gce.cloud.advance(3601)
    assert gce.ask("POST", "instances", gce.wanted(), query).reason == "alreadyExists"


def uuid4_query() -> dict[str, str]:
    """One that nobody has used."""
    return {"requestId": str(uuid4())}


@pytest.mark.parametrize(
    "id_", ["", "x", "00000000-0000-0000-0000-000000000000", "37d7bada18954585b6cb157d1af80c9f"]
)
def test_what_is_no_request_id(gce: Gce, id_: str) -> None:
    """It must be a UUID, and not the one of zeros."""
    refused = gce.ask("POST", "instances", gce.wanted(), {"requestId": id_})
    assert (refused.status, refused.reason) == (400, "invalid")
    assert not gce.names()


# -- waiting --------------------------------------------------------------------------------------


def waiting(gce: Gce, *operations: dict[str, Any]) -> Callable[[], list[Any]]:
    """Waits for operations in the background; what that call answered."""
    pool = ThreadPoolExecutor(len(operations))
    futures = [pool.submit(gce.post, f"operations/{one['name']}/wait") for one in operations]
    while True:
        calls = gce.cloud._ask("calls")
        if sum(call["action"] == "zoneOperations.wait" for call in calls) >= len(operations):
            break
        time.sleep(0.005)

    def answers() -> list[Any]:
        found = [future.result(timeout=20) for future in futures]
        pool.shutdown()
        return found

    return answers


def test_wait_wakes_in_time(gce: Gce) -> None:
    """It blocks until the operation ends, and no longer, though nothing else is asked."""
    gce.cloud.settings(create=0.3)
    operations = [gce.post("instances", gce.wanted(f"vm-{n}")) for n in range(8)]
    answers = waiting(gce, *operations)
    began = time.monotonic()
    assert {one["status"] for one in answers()} == {"DONE"}
    assert time.monotonic() - began < 0.6


def test_wait_wakes_when_the_clock_is_moved(gce: Gce) -> None:
    """By hand, or by another speed."""
    first = waiting(gce, gce.post("instances", gce.wanted("a")))
    gce.cloud.advance(SECONDS)
    assert first()[0]["status"] == "DONE"
    second = waiting(gce, gce.post("instances", gce.wanted("b")))
    gce.cloud.settings(speed=1000)
    assert second()[0]["status"] == "DONE"


def test_wait_gives_up(gce: Gce) -> None:
    """After two minutes or at once, it answers the operation as it is."""
    gce.cloud.settings(create=1000)
    operation = gce.post("instances", gce.wanted())
    answers = waiting(gce, operation)
    gce.cloud.advance(120)
    assert answers()[0]["status"] == "PENDING"
    gce.cloud.advance(200)
    gce.cloud.settings(wait_returns_early=True)
    assert gce.post(f"operations/{operation['name']}/wait")["status"] == "RUNNING"


def test_wait_ends_with_a_reset(gce: Gce) -> None:
    """Nobody waits for what is no more."""
    operation = gce.post("instances", gce.wanted())
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(gce.ask, "POST", f"operations/{operation['name']}/wait")
        time.sleep(0.1)
        gce.cloud.reset()
        assert asked.result(timeout=10).status == 404


# -- how they fail --------------------------------------------------------------------------------


def error_of(operation: dict[str, Any]) -> Any:
    """The error of an operation that is DONE."""
    assert operation["status"] == "DONE"
    return operation["error"]["errors"][0]


def test_no_room_for_a_new_vm(gce: Gce) -> None:
    """The insertion is accepted and fails; neither VM nor disk is left."""
    gce.cloud.settings(no_capacity=["e2-small"])
    failed = gce.end(gce.post("instances", gce.wanted()))
    assert failed["httpErrorStatusCode"] == 503
    error = error_of(failed)
    assert error["code"] == "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"
    details = {key: value for one in error["errorDetails"] for key, value in one.items()}
    assert details["errorInfo"]["metadatas"]["vmType"] == "e2-small"
    assert gce.ask("GET", "instances/vm").status == 404
    assert gce.ask("GET", "disks/vm").status == 404


def test_no_room_for_a_start(gce: Gce) -> None:
    """The VM is then as it was: stopped."""
    gce.running()
    gce.end(gce.post("instances/vm/stop"))
    gce.cloud.settings(no_capacity=["e2-small"])
    starting = gce.post("instances/vm/start")
    assert "ZONE_RESOURCE_POOL_EXHAUSTED" in error_of(gce.end(starting))["code"]
    assert gce.vm()["status"] == "TERMINATED"


def test_a_quota(gce: Gce) -> None:
    """VMs of a region that are not stopped count; what would be too much fails."""
    gce.cloud.settings(cpus=5)
    gce.running("a")
    gce.running("b")
    failed = gce.end(gce.post("instances", gce.wanted("c")))
    assert failed["httpErrorStatusCode"] == 403
    error = error_of(failed)
    assert error["code"] == "QUOTA_EXCEEDED"
    assert error["message"] == "Quota 'CPUS' exceeded.  Limit: 5.0 in region europe-west1."
    info = error["errorDetails"][0]["quotaInfo"]
    assert (info["metricName"], info["limit"]) == ("compute.googleapis.com/cpus", 5)
    shown = gce.get(f"{gce.project}/regions/europe-west1")["quotas"]
    assert {"metric": "CPUS", "limit": 5.0, "usage": 4.0} in shown
    gce.end(gce.post("instances/a/stop"))
    gce.running("c")
    assert "QUOTA_EXCEEDED" in error_of(gce.end(gce.post("instances/a/start")))["code"]


def test_faults_of_operations(gce: Gce) -> None:
    """One that is asked for ends so, and nothing has changed by it."""
    gce.running()
    gce.cloud.fault(operation="stop", code="INTERNAL_ERROR", message="so it is")
    failed = gce.end(gce.post("instances/vm/stop"))
    assert error_of(failed) == {"code": "INTERNAL_ERROR", "message": "so it is"}
    assert (failed["httpErrorStatusCode"], gce.vm()["status"]) == (500, "RUNNING")
    gce.cloud.fault(operation="delete", path="/instances/other", status="RUNNING")
    gce.cloud.fault(operation="reset", status="RUNNING")
    endless = gce.post("instances/vm/reset")
    gce.cloud.advance(10_000)
    assert gce.now(endless)["status"] == "RUNNING"


def test_a_warning(gce: Gce) -> None:
    """A disk larger than its image is made, with a word about it."""
    body = gce.wanted()
    body["disks"][0]["initializeParams"]["diskSizeGb"] = "20"
    warning = gce.post("instances", body)["warnings"][0]
    assert warning["code"] == "DISK_SIZE_LARGER_THAN_IMAGE_SIZE"
