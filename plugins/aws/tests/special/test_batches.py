"""Many VMs at once: how few calls it takes, how members are told apart, what one bad one spoils."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from aws_scene import tags_for

from vmops import State, Status
from vmops.errors import Conflict, NoCapacity, NotFound

LOOKS = ("GetCallerIdentity", "DescribeInstances", "DescribeImages")


def _names(count: int) -> list[str]:
    return [f"web-{i}" for i in range(count)]


def _verbs(calls: list[str]) -> list[str]:
    return [call for call in calls if call not in LOOKS and call != "CreateTags"]


def test_two_hundred_are_one_call(aws: Any, ops: Any) -> None:
    """Equal requests leave as one RunInstances, all or none, and one tag holds their names."""
    names = _names(200)
    answers = aws.asked(ops, "provision", names)
    (asked,) = aws.requests("RunInstances")
    assert (asked["MinCount"], asked["MaxCount"]) == ("200", "200")
    tags = tags_for(asked)
    assert (tags["vmops-vm"], tags["Name"]) == ("web-{0..199}", "web-{0..199}")
    first = min(row["sequence"] for row in aws.rows().values())
    assert tags["vmops-sequence"] == str(first)
    assert {status for status, _ in answers.values()} == {Status.PENDING}
    assert len(aws.actions()) <= 5, aws.actions()
    found = {i["InstanceId"]: i["AmiLaunchIndex"] for i in aws.instances()}
    for name, row in aws.rows().items():
        assert (row["batch"], f"web-{row['member']}") == (200, name)
        assert found[row["vm_id"]] == row["member"]
    with aws.counted() as calls:
        results = aws.ended(ops, answers)
    assert len({result["vmId"] for result in results.values()}) == 200
    assert set(calls) <= {"DescribeInstances", "CreateTags"}
    assert calls.count("DescribeInstances") <= 8


def test_members_are_found_in_every_way(aws: Any, ops: Any, tmp_path: Path) -> None:
    """By name, by id, from another vmops without the journal, and in the listing."""
    results = aws.all(ops, "provision", _names(12))
    stranger = aws.open(journal=tmp_path / "other" / "journal.db")
    for name in ("web-0", "web-7", "web-11"):
        vm_id = results[name]["vmId"]
        for seen in (
            ops.describe({"vmName": name}),
            ops.describe({"vmId": vm_id}),
            stranger.describe({"vmName": name}),
            stranger.describe({"vmId": vm_id}),
        ):
            assert (seen.name, seen.id, seen.state) == (name, vm_id, State.RUNNING)
            assert seen.tags.sequence == aws.rows()[name]["sequence"]
    assert sorted(vm.name for vm in stranger.list_vms()) == sorted(_names(12))
    assert stranger.describe({"vmName": "web-12"}).state is State.ABSENT
    assert stranger.describe({"vmName": "web"}).state is State.ABSENT


def test_unequal_requests_are_not_one_call(aws: Any, ops: Any) -> None:
    """Sizes, disks and times to live tell requests apart; each kind is a call of its own."""
    kinds = [{}, {"vmSize": "t3.small"}, {"diskSizeGb": 20}, {"ttl": 600}]
    params = [aws.params(f"web-{i}", **kinds[i % 4]) for i in range(8)]
    assert all(status is Status.PENDING for _, status, _ in ops.run_many("provision", params))
    asked = aws.requests("RunInstances")
    assert sorted(tags_for(one)["vmops-vm"] for one in asked) == [
        *("web-{0,4}", "web-{1,5}", "web-{2,6}", "web-{3,7}")
    ]
    assert len({one["ClientToken"] for one in asked}) == 4


def test_names_without_a_common_stem(aws: Any, ops: Any) -> None:
    """Names that one tag cannot hold are divided among calls."""
    names = ["web-1", "web-2", "db-1", "cache"]
    aws.all(ops, "provision", names)
    held = [tags_for(one)["vmops-vm"] for one in aws.requests("RunInstances")]
    assert sorted(held) == ["cache", "db-1", "web-{1..2}"]
    assert sorted(vm.name for vm in ops.list_vms()) == sorted(names)


def test_a_batch_without_room(aws: Any, ops: Any) -> None:
    """All or none: where one does not fit, none is made, and each says why after one call."""
    aws.cloud.settings(capacity=4)
    answers = aws.asked(ops, "provision", _names(5))
    assert {type(result.error) for _, result in answers.values()} == {NoCapacity}
    assert (_verbs(aws.actions()), aws.left()) == (["RunInstances"], {})
    assert set(aws.states().values()) == {"FAILED"}


VERBS = {"stop": "StopInstances", "start": "StartInstances", "deprovision": "TerminateInstances"}
STATES = {"stop": "stopped", "start": "running", "deprovision": "terminated"}


def _ready(aws: Any, ops: Any, verb: str, count: int) -> dict[str, str]:
    """Ids by name of VMs that the verb can be tried on."""
    results = aws.all(ops, "provision", _names(count))
    if verb == "start":
        aws.all(ops, "stop", _names(count))
    return {name: result["vmId"] for name, result in results.items()}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_on_many_is_one_call(aws: Any, ops: Any, verb: str) -> None:
    """Whatever is asked of many VMs at once leaves as one call with all their ids."""
    ids = _ready(aws, ops, verb, 9)
    before = len(aws.requests(VERBS[verb]))
    aws.all(ops, verb, list(ids))
    (asked,) = aws.requests(VERBS[verb])[before:]
    assert sorted(asked["InstanceId"]) == sorted(ids.values())
    assert {aws.state(id_) for id_ in ids.values()} == {STATES[verb]}


@pytest.mark.parametrize("verb", VERBS)
def test_one_that_is_unknown(
    aws: Any, ops: Any, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """One id that EC2 does not know spoils the call; the others leave again, without it, at once.

    It was seen, so it would be asked for again later; then it is NotFound, or has gone by itself.
    """
    ids = _ready(aws, ops, verb, 5)
    monkeypatch.setattr("vmops.submission._ATTEMPTS", 1)
    before = len(aws.requests(VERBS[verb]))
    bad = ids["web-2"]
    message = f"The instance ID '{bad}' does not exist"
    aws.cloud.fault(VERBS[verb], code="InvalidInstanceID.NotFound", status=400, message=message)
    answers = aws.asked(ops, verb, list(ids))
    status, result = answers.pop("web-2")
    if verb == "deprovision":
        assert status is Status.PENDING
    else:
        assert (status, type(result.error)) == (Status.FAILED, NotFound)
        assert result.error.provider_code == "InvalidInstanceID.NotFound"
    aws.ended(ops, answers)
    first, second = aws.requests(VERBS[verb])[before:]
    assert len(first["InstanceId"]) == 5
    assert sorted(second["InstanceId"]) == sorted(id_ for id_ in ids.values() if id_ != bad)


def test_one_in_a_wrong_state(aws: Any, ops: Any) -> None:
    """A VM that changed behind our back alone is refused: two calls, and one more look at it."""
    ids = _ready(aws, ops, "start", 4)
    aws.cloud.settings(terminate=60)
    aws.api.terminate_instances(InstanceIds=[ids["web-3"]])
    with aws.counted() as calls:
        answers = aws.asked(ops, "start", list(ids))
    status, result = answers.pop("web-3")
    assert (status, type(result.error)) == (Status.FAILED, Conflict)
    aws.ended(ops, answers)
    assert _verbs(calls) == ["StartInstances", "StartInstances"]


def test_one_that_is_protected(aws: Any, ops: Any) -> None:
    """Termination protection keeps one VM of many; the others go, and its row says it lives."""
    ids = _ready(aws, ops, "deprovision", 4)
    aws.api.modify_instance_attribute(
        InstanceId=ids["web-1"], DisableApiTermination={"Value": True}
    )
    answers = aws.asked(ops, "deprovision", list(ids))
    status, result = answers.pop("web-1")
    assert (status, result.error.provider_code) == (Status.FAILED, "OperationNotPermitted")
    aws.ended(ops, answers)
    assert [one["InstanceId"] for one in aws.instances()] == [ids["web-1"]]
    assert aws.states() == {**dict.fromkeys(ids, "GONE"), "web-1": "LIVE"}


def test_descriptions_are_by_filter(aws: Any, ops: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """DescribeInstances never names ids outright, as one unknown one would fail the whole call."""
    names = _names(6)
    aws.all(ops, "provision", names)
    aws.all(ops, "stop", names)
    ops.describe({"vmId": "i-0123456789abcdef0"})
    ops.list_vms()
    aws.all(ops, "deprovision", names)
    asked = aws.requests("DescribeInstances")
    mine = [one for one in asked if one.get("MaxResults") == "1000"]
    assert len(mine) > 5
    assert all("Filter" in one and "InstanceId" not in one for one in mine)


def test_filters_of_250(aws: Any, ops: Any) -> None:
    """No call has more filter values than EC2 takes; as many VMs take as many calls as needed."""
    names = _names(250)
    results = aws.all(ops, "provision", names)
    assert len(aws.requests("RunInstances")) == 2
    fresh = aws.open()
    with aws.counted() as calls:
        answers = aws.asked(fresh, "stop", names)
    assert _verbs(calls) == ["StopInstances"]
    assert 1 <= calls.count("DescribeInstances") <= 2
    values = [sum(map(len, one.values())) for one in aws.filters()]
    assert max(values) <= 200
    assert not [call for call in aws.cloud.calls() if call["code"] == "FilterLimitExceeded"]
    assert {answers[name][0] for name in names} == {Status.PENDING}
    assert len({result["vmId"] for result in results.values()}) == 250


def test_pages(aws: Any, ops: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptions are read to their last page, whichever way they are asked for."""
    monkeypatch.setattr("vmops_aws.client._PAGE", 5)
    names = _names(12)
    results = aws.all(ops, "provision", names)
    with aws.counted() as calls:
        assert sorted(vm.name for vm in ops.list_vms()) == sorted(names)
    assert calls.count("DescribeInstances") == 3
    fresh = aws.open()
    stopped = aws.all(fresh, "stop", names)
    assert {n: r["vmId"] for n, r in stopped.items()} == {n: r["vmId"] for n, r in results.items()}


def test_names_are_written_later(aws: Any, ops: Any) -> None:
    """While somebody waits, members get names of their own, on the instances they belong to."""
    aws.cloud.settings(stop=2.0)
    names = _names(6)
    results = aws.all(ops, "provision", names)
    assert "CreateTags" not in aws.actions()
    aws.all(ops, "stop", names)
    named = {i["InstanceId"]: {t["Key"]: t["Value"] for t in i["Tags"]} for i in aws.instances()}
    for name in names:
        tags = named[results[name]["vmId"]]
        assert (tags["vmops-vm"], tags["Name"]) == (name, name)
    assert aws.actions().count("CreateTags") == 6
    assert {vm.name: vm.tags.sequence for vm in ops.list_vms()} == {
        name: row["sequence"] for name, row in aws.rows().items()
    }


def test_forced_stops_leave_by_themselves(aws: Any, ops: Any) -> None:
    """Of VMs that are stopped together, only those are forced whose guests need not be asked."""
    names = _names(4)
    made = aws.all(ops, "provision", names)
    asked = [{"vmName": name, "force": name == "web-3"} for name in names]
    answers = [answer for _, *answer in ops.run_many("stop", asked)]
    assert [status for status, _ in answers] == [Status.PENDING] * 4
    gentle, forced = aws.requests("StopInstances")
    assert "Force" not in gentle
    assert forced["Force"] == "true"
    assert forced["InstanceId"] == [made["web-3"]["vmId"]]


def test_names_keep_to_their_budget(aws: Any, ops: Any) -> None:
    """However many members have no names, 20 at once and 5 a second are written, no more."""
    aws.cloud.settings(stop=2.0)
    names = _names(40)
    began = time.monotonic()
    aws.all(ops, "provision", names)
    while aws.actions().count("CreateTags") < 10:  # a slow machine writes few while one stop lasts
        aws.all(ops, "stop", names)
        aws.all(ops, "start", names)
    most = 20 + 5 * (time.monotonic() - began)
    assert aws.actions().count("CreateTags") <= most
    assert sorted(vm.name for vm in ops.list_vms()) == sorted(names)


def test_vms_that_go_are_not_named(aws: Any, ops: Any) -> None:
    """No tag is written on a VM that is being deleted, or is gone."""
    aws.cloud.settings(terminate=0.3)
    names = _names(6)
    aws.all(ops, "provision", names)
    with aws.counted() as calls:
        aws.all(ops, "deprovision", names)
    assert "CreateTags" not in calls
    assert not [call for call in aws.cloud.calls() if call["status"] != 200]


def test_a_part_of_a_batch_is_deleted_and_made_again(aws: Any, ops: Any) -> None:
    """A member that went and is made anew is the new VM, though its batch's tag still names it."""
    old = aws.all(ops, "provision", _names(3))
    aws.wait(ops, ops.vm_deprovision({"vmName": "web-1"}))
    new = aws.up(ops, "web-1")
    assert new != old["web-1"]["vmId"]
    fresh = aws.open()
    assert fresh.describe({"vmName": "web-1"}).id == new
    assert sorted(vm.name for vm in fresh.list_vms()) == _names(3)
    aws.all(fresh, "deprovision", _names(3))
    assert aws.left() == {}
