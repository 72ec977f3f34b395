"""The seven methods over a cloud in memory: look, decide, call, wait."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from memory_cloud import MemoryCloud, MemoryError_, plugin_for

from vmops import Operation, State, Status, SupportsVMOps, VMOps
from vmops.errors import Conflict, InvalidParams, InvalidURL, NotFound, NotSupported, Unavailable
from vmops.plugins import Registry

VM = {"vmName": "web-1"}


def provisioned(ops: VMOps, name: str = "web-1") -> None:
    """Make a VM and wait until it runs."""
    status, result = ops.vm_provision({"vmName": name})
    if status is Status.PENDING:
        status, _ = ops.wait_vm_operation(result)
    assert status is Status.SUCCEEDED


def test_is_the_protocol(ops: VMOps) -> None:
    """VMOps is a SupportsVMOps."""
    assert isinstance(ops, SupportsVMOps)


def test_whole_life(ops: VMOps, world: Any) -> None:
    """Every verb is PENDING, its wait SUCCEEDED with times and id; in the end nothing is left."""
    for verb in ("vm_provision", "vm_stop", "vm_start", "vm_restart", "vm_deprovision"):
        status, pending = getattr(ops, verb)(VM)
        assert status is Status.PENDING, verb
        status, info = ops.wait_vm_operation(pending)
        assert status is Status.SUCCEEDED, (verb, info.error)
        assert info["vmId"] == "id-web-1"
        assert info["durationSeconds"] >= world.delay
        assert {"startTime", "endTime"} <= info.keys()
    assert world.alive() == []


def test_pending_result_is_the_callers_params_plus_the_url(ops: VMOps) -> None:
    """A PENDING result echoes params, adds URL and interval, and never echoes secrets."""
    _, result = ops.vm_provision({**VM, "vmSize": "big", "userData": "s3cret"})
    assert result["vmSize"] == "big"
    assert result["pollInterval"] == 1.0
    assert "userData" not in result
    assert "s3cret" not in str(result)


def test_a_url_alone_resumes_in_another_object(
    ops: VMOps, registry: Registry, journal: Path
) -> None:
    """Another VMOps, with no config at all, finishes the wait from the URL."""
    _, result = ops.vm_provision({**VM, "region": "there"})
    with VMOps(registry=registry, journal=journal) as other:
        status, info = other.wait_vm_operation({"asyncResultsUrl": result["asyncResultsUrl"]})
    assert status is Status.SUCCEEDED
    assert info["vmName"] == "web-1"


def test_repeats_join_or_are_done(ops: VMOps, world: Any) -> None:
    """A repeated provision joins with the first one's URL, then is done at once: one call."""
    _, first = ops.vm_provision(VM)
    status, second = ops.vm_provision(VM)
    assert status is Status.PENDING
    assert second["asyncResultsUrl"] == first["asyncResultsUrl"]
    ops.wait_vm_operation(second)
    status, done = ops.vm_provision(VM)
    assert status is Status.SUCCEEDED
    assert done["privateIp"] == "10.0.0.1"
    assert world.calls["provision"] == 1


def test_provision_starts_a_stopped_vm(ops: VMOps, world: Any) -> None:
    """Provisioning a stopped VM starts it instead of making another."""
    provisioned(ops)
    ops.wait_vm_operation(ops.vm_stop(VM)[1])
    status, result = ops.vm_provision(VM)
    assert status is Status.PENDING
    assert ops.wait_vm_operation(result)[0] is Status.SUCCEEDED
    assert (world.calls["provision"], world.calls["start"]) == (1, 1)


@pytest.mark.parametrize("verb", ["vm_start", "vm_stop", "vm_restart"])
def test_absent_vm_is_not_found(ops: VMOps, verb: str) -> None:
    """Acting on a VM that is not there is FAILED with NotFound, `{}` and a hint."""
    status, result = getattr(ops, verb)(VM)
    assert status is Status.FAILED
    assert result == {}
    assert isinstance(result.error, NotFound)


def test_deprovision_of_an_absent_vm_succeeds(ops: VMOps, world: Any) -> None:
    """What is gone already is a success, without a call."""
    assert ops.vm_deprovision(VM)[0] is Status.SUCCEEDED
    assert world.calls["deprovision"] == 0


def test_one_look_with_timeout_zero(ops: VMOps, world: Any) -> None:
    """pollTimeout=0 looks once, is TIMED_OUT, and the same URL can be waited on again."""
    _, result = ops.vm_provision(VM)
    before = world.calls["describe"]
    status, nothing = ops.wait_vm_operation({**result, "pollTimeout": 0})
    assert (status, nothing) == (Status.TIMED_OUT, {})
    assert world.calls["describe"] == before + 1
    assert ops.wait_vm_operation(result)[0] is Status.SUCCEEDED


def test_wait_without_a_url_is_pending(ops: VMOps) -> None:
    """MLOS: without `asyncResultsUrl` wait_vm_operation is PENDING."""
    assert ops.wait_vm_operation(VM)[0] is Status.PENDING


@pytest.mark.parametrize(("setup", "verb"), [(True, "vm_provision"), (False, "vm_deprovision")])
def test_deployment_wait_by_state_alone(ops: VMOps, setup: bool, verb: str) -> None:
    """wait_vm_deployment without a URL judges by the VM's state, both ways."""
    provisioned(ops)
    getattr(ops, verb)(VM)
    assert ops.wait_vm_deployment(setup, VM)[0] is Status.SUCCEEDED


def test_teardown_wait_with_a_setup_url_is_refused(ops: VMOps) -> None:
    """A URL that leads elsewhere than `is_setup` says is a contradiction."""
    _, result = ops.vm_provision(VM)
    with pytest.raises(InvalidParams, match="asyncResultsUrl"):
        ops.wait_vm_deployment(False, result)


def test_deallocate_is_a_releasing_stop(ops: VMOps, world: Any) -> None:
    """deprovisionMode=deallocate stops and releases; a kept stop is released by a real call."""
    provisioned(ops)
    ops.wait_vm_operation(ops.vm_stop({**VM, "stopMode": "keep"})[1])
    machine = world.alive()[0]
    assert (machine.state, machine.holds_compute) == (State.STOPPED, True)
    assert ops.vm_stop({**VM, "stopMode": "keep"})[0] is Status.SUCCEEDED
    machine.state = State.RUNNING
    _, result = ops.vm_deprovision({**VM, "deprovisionMode": "deallocate"})
    assert Operation.from_url(result["asyncResultsUrl"]).action == "stop"
    params = {**VM, "deprovisionMode": "deallocate"}
    assert ops.wait_vm_deployment(False, params)[0] is Status.SUCCEEDED
    assert not world.alive()[0].holds_compute


def test_a_stop_mode_that_the_cloud_lacks_is_refused_without_a_call(
    ops: VMOps, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend that names its ways of stopping is never asked for another one."""
    monkeypatch.setattr(ops.registry.load("memory"), "stop_modes", ("release",))
    provisioned(ops)
    status, result = ops.vm_stop({**VM, "stopMode": "keep"})
    assert (status, type(result.error)) == (Status.FAILED, NotSupported)
    assert result.error is not None
    assert "stopMode=release" in str(result.error)
    assert world.alive()[0].state is State.RUNNING
    assert ops.vm_stop(VM)[0] is Status.PENDING


def test_changes_are_what_differs_from_the_params_a_vm_was_made_with(ops: VMOps) -> None:
    """By name, as long as it lives; what only acts and its time to live differ in is the same."""
    asked = {**VM, "vmSize": "big", "userData": "s3cret"}
    assert ops.changes(asked) is None
    ops.vm_provision(asked)
    for state in ("asked for", "running"):
        for same in ({}, {"ttl": 60}, {"stopMode": "keep"}, {"vm_size": "big"}):
            assert ops.changes({**asked, **same}) == [], (state, same)
        assert ops.changes({**asked, "vmSize": "small"}) == ["vmSize"], state
        assert ops.changes(VM) == ["userData", "vmSize"], state
        ops.wait_vm_deployment(True, VM)
    with pytest.raises(InvalidParams, match="vmSise"):
        ops.changes({**asked, "vmSise": "big"})
    ops.wait_vm_operation(ops.vm_deprovision(VM)[1])
    assert ops.changes(asked) is None


def test_changes_need_a_journal(registry: Registry) -> None:
    """Nothing is remembered of what a VM was made with."""
    with VMOps({"backend": "memory"}, journal=None, registry=registry) as ops:
        ops.vm_provision(VM)
        assert ops.changes({**VM, "vmSize": "big"}) is None


def test_mistakes_in_the_config_can_be_found_early(registry: Registry) -> None:
    """All of them at once, without a call; what may still come with params is no mistake."""
    wrong = {"backend": "memory", "vmSise": "big", "pollTimeout": -1}
    with (
        VMOps(wrong, journal=None, registry=registry) as ops,
        pytest.raises(InvalidParams) as caught,
    ):
        ops.check_config()
    assert sorted(problem.param for problem in caught.value.problems) == ["pollTimeout", "vmSise"]
    for right in ({"backend": "memory", "vmSize": "big"}, {"vmSise": "of no backend yet"}):
        with VMOps(right, journal=None, registry=registry) as ops:
            ops.check_config()


def test_refusal_is_failed_with_the_providers_code(ops: VMOps, world: Any) -> None:
    """What the cloud refuses is FAILED with our class and the provider's own code."""
    world.faults["provision"] = [MemoryError_("NoRoom")]
    status, result = ops.vm_provision(VM)
    assert status is Status.FAILED
    assert result.error is not None
    assert (result.error.code, result.error.provider_code) == ("NoCapacity", "NoRoom")
    provisioned(ops)
    assert len(world.alive()) == 1


def test_a_lost_answer_is_asked_again_with_the_same_token(ops: VMOps, world: Any) -> None:
    """After an answer was lost the same create is sent again and makes no second VM."""
    world.faults["provision"] = ["lost", "lost"]
    provisioned(ops)
    assert world.calls["provision"] == 3
    assert len(world.machines) == 1


def test_a_lost_answer_to_start_is_no_conflict(ops: VMOps, world: Any) -> None:
    """A start that happened though its answer was lost is joined, not reported as a conflict."""
    provisioned(ops)
    ops.wait_vm_operation(ops.vm_stop(VM)[1])
    world.faults["start"] = ["lost"]
    status, result = ops.vm_start(VM)
    assert status is Status.PENDING
    assert ops.wait_vm_operation(result)[0] is Status.SUCCEEDED


def test_a_lost_restart_is_not_sent_twice(ops: VMOps, world: Any) -> None:
    """A reboot is at most once: a lost answer leads to a wait for evidence."""
    provisioned(ops)
    world.faults["restart"] = ["lost"]
    status, result = ops.vm_restart(VM)
    assert status is Status.PENDING
    assert ops.wait_vm_operation(result)[0] is Status.SUCCEEDED
    assert world.calls["restart"] == 1


def test_no_answer_at_all_keeps_the_intent(ops: VMOps, world: Any) -> None:
    """When every answer is lost the call is FAILED as Unavailable; a repeat makes no second VM."""
    world.faults["provision"] = ["lost"] * 50
    status, result = ops.vm_provision(VM)
    assert status is Status.FAILED
    assert isinstance(result.error, Unavailable)
    assert "web-1" in result.error.remains
    world.faults.clear()
    provisioned(ops)
    assert len(world.machines) == 1


def test_invisible_vm_is_joined_within_the_horizon(
    world: Any, registry: Registry, journal: Path
) -> None:
    """While a new VM may not be visible yet, a repeat joins and the wait goes on."""
    world.lag, world.delay = 30.0, 1.0
    with VMOps({"backend": "memory"}, journal=journal, registry=registry) as ops:
        _, first = ops.vm_provision(VM)
        status, second = ops.vm_provision(VM)
        assert (status, second) == (Status.PENDING, first)
        assert ops.wait_vm_operation(second)[0] is Status.SUCCEEDED
    assert world.calls["provision"] == 1


def test_vanished_vm_is_made_anew(ops: VMOps, world: Any) -> None:
    """A VM that is gone past the horizon is made again under a new token."""
    provisioned(ops)
    world.machines.clear()
    provisioned(ops)
    assert world.calls["provision"] == 2


def test_foreign_vm(ops: VMOps, world: Any, registry: Registry, tmp_path: Path) -> None:
    """Another install's VM: provision and delete are Conflict, a two-phase restart NotSupported."""
    with VMOps({"backend": "memory"}, journal=tmp_path / "b.db", registry=registry) as other:
        provisioned(other)
    for verb, kind in (
        ("vm_provision", Conflict),
        ("vm_deprovision", Conflict),
        ("vm_restart", NotSupported),
    ):
        status, result = getattr(ops, verb)(VM)
        assert (status, type(result.error)) == (Status.FAILED, kind)
    assert ops.vm_stop(VM)[0] is Status.PENDING
    assert ops.vm_deprovision({**VM, "deleteUnowned": True})[0] is Status.PENDING
    assert world.calls["deprovision"] == 1


def test_second_phase_needs_the_journals_word(
    ops: VMOps, world: Any, registry: Registry, tmp_path: Path
) -> None:
    """A waiter starts a VM again only for its own install, and only for the last thing asked."""
    provisioned(ops)
    _, result = ops.vm_restart(VM)
    with VMOps({"backend": "memory"}, journal=tmp_path / "b.db", registry=registry) as other:
        status, nothing = other.wait_vm_operation({**result, "pollTimeout": 60})
        assert status is Status.TIMED_OUT
        assert isinstance(nothing.error, Unavailable)
    assert world.calls["start"] == 0
    assert ops.wait_vm_operation(result)[0] is Status.SUCCEEDED


def test_stop_overtaken_by_a_start_is_failed(ops: VMOps) -> None:
    """Waiting for a stop whose VM was started again since ends as a Conflict, not in a time-out."""
    provisioned(ops)
    _, stop = ops.vm_stop(VM)
    ops.wait_vm_operation(stop)
    ops.wait_vm_operation(ops.vm_start(VM)[1])
    status, result = ops.wait_vm_operation(stop)
    assert status is Status.FAILED
    assert isinstance(result.error, Conflict)


def test_url_of_another_account_is_refused(ops: VMOps, world: Any, registry: Registry) -> None:
    """A URL selects within the connection's own account only."""
    _, result = ops.vm_provision(VM)
    world.account = "someone-else"
    with (
        VMOps(registry=registry, journal=None) as other,
        pytest.raises(InvalidURL, match="account"),
    ):
        other.wait_vm_operation(result)


def test_url_contradicting_config_or_name_is_refused(ops: VMOps, registry: Registry) -> None:
    """Config pins region and backend; vmName must be the URL's."""
    url = {"asyncResultsUrl": ops.vm_provision({**VM, "region": "there"})[1]["asyncResultsUrl"]}
    with (
        VMOps({"region": "here", "backend": "memory"}, registry=registry, journal=None) as other,
        pytest.raises(InvalidParams, match="region"),
    ):
        other.wait_vm_operation(url)
    with pytest.raises(InvalidURL, match="web-1"):
        ops.wait_vm_operation({**url, "vmName": "web-2"})
    with pytest.raises(InvalidParams, match="backend"):
        ops.wait_vm_operation({**url, "backend": "local"})


def test_vm_by_id(ops: VMOps, world: Any) -> None:
    """VmId finds our VM under its name in the journal."""
    provisioned(ops)
    status, result = ops.vm_deprovision({"vmId": "id-web-1"})
    assert status is Status.PENDING
    assert ops.wait_vm_operation({"asyncResultsUrl": result["asyncResultsUrl"]})[0].is_succeeded()
    assert world.alive() == []


def another(world: Any, **tags: Any) -> Any:
    """A second VM of the same name, and the same create unless tags tell otherwise."""
    (first,) = world.alive()
    marks = replace(first.tags, **tags)
    again = replace(first, known_as="id-other", token="x", tags=marks)
    world.machines["other"] = again
    return first, again


@pytest.mark.parametrize("tags", [{}, {"token": "f" * 32, "sequence": 0}], ids=["same", "older"])
@pytest.mark.parametrize("given", [{"vmId": "id-other"}, {**VM, "vmId": "id-other"}])
def test_a_vm_by_id_that_has_anothers_name(
    ops: VMOps, world: Any, tags: dict[str, Any], given: dict[str, str]
) -> None:
    """What is asked of it is done to it, and the journal goes on holding the other one."""
    provisioned(ops)
    first, again = another(world, **tags)
    for verb in ("vm_stop", "vm_start"):
        status, result = ops.wait_vm_operation(getattr(ops, verb)(given)[1])
        assert (status, result["vmId"]) == (Status.SUCCEEDED, "id-other")
    assert ops.wait_vm_operation(ops.vm_deprovision(given)[1])[0] is Status.SUCCEEDED
    assert world.alive() == [first]
    assert again.state is State.ABSENT
    assert ops.vm_provision(VM)[0] is Status.SUCCEEDED  # it is held, and runs
    assert world.calls["provision"] == 1
    assert ops.reap() == []


def test_a_deletion_says_whether_one_is_meant(
    ops: VMOps, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A surplus VM alone where it is named or reaped; by its name a VM and all of its create."""
    provisioned(ops)
    another(world)
    meant: list[tuple[str, bool]] = []
    delete = MemoryCloud.deprovision

    def told(cloud: Any, vm: Any, token: str) -> Any:
        meant.append((vm.id, vm.alone))
        return delete(cloud, vm, token)

    monkeypatch.setattr(MemoryCloud, "deprovision", told)
    world.clock.advance(100.0)  # nobody is at work on it
    (item,) = ops.reap(yes=True)
    assert (item.vm.id, item.reason) == ("id-other", "older")
    world.clock.advance(world.delay)
    another(world)
    ops.wait_vm_operation(ops.vm_deprovision({"vmId": "id-other"})[1])
    ops.wait_vm_operation(ops.vm_deprovision(VM)[1])
    assert meant == [("id-other", True), ("id-other", True), ("id-web-1", False)]


def test_many_are_validated_before_the_first_call(ops: VMOps, world: Any) -> None:
    """One bad member stops run_many before anything is asked, naming its index."""
    with pytest.raises(InvalidParams, match=r"\[1\]\.vmName"):
        list(ops.run_many("vm_provision", [VM, {"vmName": "-x"}]))
    assert not world.calls


def test_many_share_looks_and_isolate_failures(ops: VMOps, world: Any) -> None:
    """50 creates cost one look; one that is refused fails alone; all waits share their polls."""
    world.faults["provision"] = [MemoryError_("Quota")]
    answers = {
        i: (s, r) for i, s, r in ops.run_many("provision", [{"vmName": f"v{i}"} for i in range(50)])
    }
    assert world.calls["describe"] == 1
    failed = [i for i, (status, _) in answers.items() if status is Status.FAILED]
    assert len(failed) == 1
    pending = [result for i, (_, result) in sorted(answers.items()) if i not in failed]
    ends = list(ops.wait_many(pending))
    assert {status for _, status, _ in ends} == {Status.SUCCEEDED}
    assert len(ends) == 49
    assert world.calls["describe"] <= 1 + world.delay + 1


def test_the_same_name_twice_in_one_call_is_one_vm(ops: VMOps, world: Any) -> None:
    """run_many with one name twice makes one VM and answers both."""
    answers = list(ops.run_many("provision", [VM, VM]))
    assert [status for _, status, _ in answers] == [Status.PENDING] * 2
    assert world.calls["provision"] == 1


def test_another_status_enum_comes_back(registry: Registry) -> None:
    """`status=` answers with another enum of the same names, such as MLOS's own."""
    import enum

    theirs = enum.Enum("Theirs", {s.name: s.value for s in Status})
    with VMOps({"backend": "memory"}, status=theirs, registry=registry, journal=None) as ops:
        assert ops.vm_provision(VM)[0] is theirs["PENDING"]


def test_two_clouds_in_one_wait(world: Any, registry: Registry, journal: Path) -> None:
    """wait_many follows operations of several connections at once."""
    registry.register(plugin_for(type(world)(), "other"), "other")
    with VMOps(registry=registry, journal=journal) as ops:
        calls = [{**VM, "backend": "memory"}, {**VM, "backend": "other"}]
        pending = [result for _, _, result in ops.run_many("provision", calls)]
        ends = list(ops.wait_many(pending))
    assert sorted(i for i, _, _ in ends) == [0, 1]
    assert {status for _, status, _ in ends} == {Status.SUCCEEDED}


def test_a_bug_in_the_backend_is_raised_and_keeps_the_intent(ops: VMOps, world: Any) -> None:
    """An exception nobody mapped passes through; the intent stays, and a repeat makes one VM."""
    world.faults["provision"] = [ZeroDivisionError("a bug")]
    with pytest.raises(ZeroDivisionError):
        ops.vm_provision(VM)
    provisioned(ops)
    assert len(world.machines) == 1


def test_a_bug_in_one_of_many_loses_no_handle(ops: VMOps, world: Any) -> None:
    """In run_many even a bug is one member's failure: the others' URLs come back."""
    world.faults["provision"] = [ZeroDivisionError("a bug")]
    answers = list(ops.run_many("provision", [{"vmName": "v1"}, {"vmName": "v2"}]))
    assert sorted(status.name for _, status, _ in answers) == ["FAILED", "PENDING"]
