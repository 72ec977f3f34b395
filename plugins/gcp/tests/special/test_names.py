"""Which VM is meant: names, numeric ids, labels, and what took over a name."""

from __future__ import annotations

import time
from typing import Any

import pytest

from vmops import VM, Ref, State, Status, Tags, Target, VMOps
from vmops.errors import Conflict, NotFound, NotSupported
from vmops_gcp.backend import GcpBackend
from vmops_gcp.settings import GcpParams, GcpSettings

WEB = {"vmName": "web-1"}


def foreign(gcp: Any, name: str, **labels: str) -> str:
    """The id of a VM that somebody else makes in the same zone."""
    image = "projects/debian-cloud/global/images/family/debian-12"
    body = {
        "name": name,
        "machineType": f"zones/{gcp.cloud.zone}/machineTypes/e2-small",
        "labels": labels,
        "disks": [
            {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": image}},
        ],
        "networkInterfaces": [{"network": "global/networks/default"}],
    }
    status, _, made = gcp.cloud.call("POST", gcp.path("instances"), body)
    assert status == 200, made
    gcp.until(name, "RUNNING")
    return str(gcp.model(name)["id"])


@pytest.fixture
def backend(gcp: Any) -> Any:
    """The backend by itself."""
    made = GcpBackend(
        GcpSettings(project=gcp.cloud.project, zone=gcp.cloud.zone, endpoint_url=gcp.cloud.endpoint)
    )
    yield made
    made.close()


def test_a_vm_made_elsewhere_is_run_but_not_deleted(ops: VMOps, gcp: Any) -> None:
    """Start, stop and reset work on it; deleting and making over it are refused."""
    foreign(gcp, "theirs")
    gcp.wait(ops, ops.vm_stop({"vmName": "theirs"}))
    assert gcp.power("theirs") == "TERMINATED"
    gcp.wait(ops, ops.vm_start({"vmName": "theirs"}))
    gcp.wait(ops, ops.vm_restart({"vmName": "theirs", "restartMode": "reset"}))
    for kind, (status, result) in [
        (Conflict, ops.vm_deprovision({"vmName": "theirs"})),
        (Conflict, ops.vm_provision(gcp.params("theirs"))),
        (NotSupported, ops.vm_restart({"vmName": "theirs"})),
    ]:
        assert (status, type(result.error)) == (Status.FAILED, kind)
    gcp.wait(ops, ops.vm_deprovision({"vmName": "theirs", "deleteUnowned": True}))
    assert gcp.model("theirs") == {}


def test_an_id_names_a_vm(ops: VMOps, gcp: Any) -> None:
    """Even for a process that has not seen it."""
    vm_id = foreign(gcp, "theirs")
    gcp.wait(ops, ops.vm_stop({"vmId": vm_id}))
    assert gcp.power("theirs") == "TERMINATED"


@pytest.mark.parametrize("vm_id", ["0", "i-1", "../x", "12x", "1" * 21, "999999999"])
def test_an_id_that_is_none(ops: VMOps, gcp: Any, vm_id: str) -> None:
    """It is not found, and nothing that is no id gets into a path."""
    status, result = ops.vm_stop({"vmId": vm_id})
    assert (status, type(result.error)) == (Status.FAILED, NotFound)
    assert all("x" not in call["path"].rpartition("/")[2] for call in gcp.calls("instances.get"))


def test_labels_that_were_copied_prove_nothing(ops: VMOps, gcp: Any) -> None:
    """A VM with the labels of another one is not ours."""
    gcp.up(ops)
    foreign(gcp, "copy", **gcp.model("web-1")["labels"])
    assert ops.vm_deprovision({"vmName": "copy"})[0] is Status.FAILED
    assert [vm.name for vm in ops.list_vms() if vm.tags is not None] == ["web-1"]


def test_what_took_over_a_name_is_left_alone(ops: VMOps, gcp: Any, backend: Any) -> None:
    """All is done by id: a VM that somebody has made under the name since is not touched."""
    gcp.up(ops)
    (mine,) = backend.describe([Ref("web-1")])
    gcp.wait(ops, ops.vm_deprovision(WEB))
    foreign(gcp, "web-1")
    target = Target(mine, GcpParams())
    for verb in (
        lambda: backend.stop(target, "t", "release"),
        lambda: backend.start(target, "t"),
        lambda: backend.restart(target, "t"),
        lambda: backend.deprovision(target, "t"),
    ):
        with pytest.raises(Exception, match="not found") as caught:
            verb()
        assert backend.explain(caught.value).code == "notFound"
    with pytest.raises(NotFound):
        backend.retag(mine, Tags("me", "web-1", "t"))
    assert gcp.power("web-1") == "RUNNING"
    assert "labels" not in gcp.model("web-1")


def test_what_is_done_by_name_has_the_vms_number(ops: VMOps, gcp: Any, backend: Any) -> None:
    """Of a VM that was not to be seen: an operation without its VM's number is not believed."""
    own = gcp.up(ops)
    unseen = Target(VM("web-1", State.ABSENT), GcpParams())
    assert backend.stop(unseen, "t", "release")["vmId"] == own
    gcp.until("web-1", "TERMINATED")
    assert backend.deprovision(unseen, "t")["vmId"] == own


def test_a_name_that_was_taken_over_is_gone_to_a_wait(ops: VMOps, gcp: Any) -> None:
    """The deletion of a VM has succeeded, whoever has its name now."""
    gcp.up(ops)
    _, result = ops.vm_deprovision(WEB)
    gcp.wait(ops, (Status.PENDING, result))
    foreign(gcp, "web-1")
    with VMOps(gcp.config, journal=None) as other:
        status, _ = other.wait_vm_operation({**result, "pollTimeout": 5})
    assert status is Status.SUCCEEDED
    assert gcp.power("web-1") == "RUNNING"


def test_what_a_list_misses_is_asked_for(ops: VMOps, gcp: Any, backend: Any) -> None:
    """A VM that is known is not gone because one list lacks it."""
    gcp.up(ops)
    (mine,) = backend.describe([Ref("web-1")])
    backend._machines._listed = lambda _: iter(())
    seen = backend.describe([Ref("web-1", mine.id), Ref("no-1"), Ref("no-2")])
    assert [(vm.name, vm.state) for vm in seen] == [("web-1", "running")]


def test_many_names_are_found_by_filters_or_all_at_once(ops: VMOps, gcp: Any, backend: Any) -> None:
    """Some cost a filtered list, very many a whole one; either tells the same."""
    gcp.cloud.settings(page=10)
    names = [f"web-{i:02}" for i in range(25)]
    gcp.all(ops, "provision", names)
    for extra in (0, 1000):
        refs = [Ref(name) for name in names] + [Ref(f"no-{i}") for i in range(extra)]
        before = len(gcp.calls("instances.list"))
        assert sorted(vm.name for vm in backend.describe(refs)) == names
        filters = [call["query"] for call in gcp.calls("instances.list")[before:]]
        assert all(("filter=" in query) == (not extra) for query in filters)


# -- a create that exists already -----------------------------------------------------------------


def test_a_create_that_was_carried_out_is_found_again(gcp: Any, ops: VMOps, backend: Any) -> None:
    """After GCE has forgotten the requestId: the labels tell whose it is, a list its operation."""
    params = GcpParams(image="projects/debian-cloud/global/images/family/debian-12")
    tags = Tags("me", "web-1", "token-1")
    target = Target(VM("web-1", State.ABSENT), params, tags)
    first = backend.provision(target, "token-1")
    gcp.until("web-1", "RUNNING")
    gcp.cloud.fault(method="POST", path="/instances", status=409, reason="alreadyExists", times=2)
    again = backend.provision(target, "token-1")
    assert (again["vmId"], again["operation"]) == (first["vmId"], first["operation"])
    with pytest.raises(Exception, match=r"exists|emulator"):
        backend.provision(target, "token-2")
    assert len(gcp.cloud.call("GET", gcp.path("instances"))[2]["items"]) == 1


def test_the_same_token_is_the_same_request(gcp: Any, backend: Any) -> None:
    """The requestId is derived, so that any process sends the same one."""
    params = GcpParams(image="projects/debian-cloud/global/images/family/debian-12")
    target = Target(VM("web-1", State.ABSENT), params, Tags("me", "web-1", "t"))
    handles = [backend.provision(target, "t") for _ in range(3)]
    assert len({handle["operation"] for handle in handles}) == 1
    ids = {call["query"].partition("requestId=")[2] for call in gcp.calls("instances.insert")}
    assert len(ids) == 1


def test_a_disk_with_the_vms_name_is_in_the_way(gcp: Any, ops: VMOps) -> None:
    """GCE's own words say so; nothing is adopted, nothing is left."""
    gcp.cloud.call("POST", gcp.path("disks"), {"name": "web-1", "sizeGb": "10"})
    time.sleep(0.2)
    _, result = gcp.end(ops, ops.vm_provision(gcp.params()))
    assert isinstance(result.error, Conflict), result
    assert gcp.model("web-1") == {}


# -- states ---------------------------------------------------------------------------------------


def test_a_suspended_vm_is_refused_clearly(gcp: Any, ops: VMOps) -> None:
    """The error says what it is and how to go on; only deleting works."""
    gcp.up(ops)
    gcp.cloud.call("POST", gcp.path("instances/web-1/suspend"))
    gcp.until("web-1", "SUSPENDED")
    for verb in ("start", "stop", "restart", "provision"):
        params = gcp.params() if verb == "provision" else WEB
        status, result = getattr(ops, f"vm_{verb}")(params)
        assert (status, type(result.error)) == (Status.FAILED, Conflict)
        assert "suspended" in str(result.error)
        assert "gcloud compute instances resume web-1" in result.error.hint
        assert result.error.provider_code == "SUSPENDED"
    assert gcp.power("web-1") == "SUSPENDED"
    gcp.wait(ops, ops.vm_deprovision(WEB))
    assert gcp.left() == []


def test_a_vm_that_is_suspended_while_it_is_waited_for(gcp: Any, ops: VMOps) -> None:
    """The wait ends, and says so."""
    gcp.up(ops)
    _, result = ops.vm_stop(WEB)
    gcp.until("web-1", "TERMINATED")
    gcp.wait(ops, (Status.PENDING, result))
    gcp.wait(ops, ops.vm_start(WEB))
    gcp.cloud.call("POST", gcp.path("instances/web-1/suspend"))
    gcp.until("web-1", "SUSPENDED")
    status, told = ops.wait_vm_deployment(True, {**WEB, "pollTimeout": 5})
    assert status is Status.FAILED
    assert "suspended" in str(told.error)


def test_stopped_is_what_gce_calls_terminated(gcp: Any, ops: VMOps) -> None:
    """It holds no compute, so there is no other way to stop, nor is there more to do to it."""
    gcp.up(ops)
    gcp.wait(ops, ops.vm_stop(WEB))
    seen = ops.describe(WEB)
    assert (gcp.power("web-1"), seen.state, seen.holds_compute) == ("TERMINATED", "stopped", False)
    assert ops.vm_deprovision({**WEB, "deprovisionMode": "deallocate"})[0] is Status.SUCCEEDED
    assert ops.vm_stop({**WEB, "stopMode": "keep"})[0] is Status.SUCCEEDED
    gcp.wait(ops, ops.vm_start(WEB))
    status, result = ops.vm_stop({**WEB, "stopMode": "keep"})
    assert (status, type(result.error)) == (Status.FAILED, NotSupported)


def test_a_spot_vm_that_was_taken_away_can_be_started(gcp: Any, ops: VMOps) -> None:
    """It is stopped, as it was made to be."""
    gcp.up(ops, spot=True)
    gcp.cloud.preempt("web-1")
    gcp.until("web-1", "TERMINATED")
    assert ops.describe(WEB).state == "stopped"
    gcp.wait(ops, ops.vm_start(WEB))
    assert gcp.power("web-1") == "RUNNING"


def test_a_restart_that_is_no_reset(gcp: Any, ops: VMOps) -> None:
    """A stop, then a start; reset is for those who ask for it."""
    gcp.up(ops)
    with gcp.counted() as made:
        gcp.wait(ops, ops.vm_restart(WEB))
    verbs = ("instances.stop", "instances.start", "instances.reset")
    assert [action for action in made if action in verbs] == list(verbs[:2])
    with gcp.counted() as made:
        result = gcp.wait(ops, ops.vm_restart({**WEB, "restartMode": "reset"}))
    assert [action for action in made if action in verbs] == ["instances.reset"]
    assert result["vmId"] == gcp.model("web-1")["id"]


def test_a_restart_without_a_journal_is_refused(gcp: Any) -> None:
    """Nobody could know that its second phase was asked for, and the VM would stay stopped."""
    with VMOps(gcp.config, journal=None) as ops:
        gcp.up(ops)
        status, result = ops.vm_restart(WEB)
        assert (status, type(result.error)) == (Status.FAILED, NotSupported)
        assert "use a journal" in result.error.hint
        gcp.wait(ops, ops.vm_restart({**WEB, "restartMode": "reset"}))
    assert gcp.power("web-1") == "RUNNING"


def test_the_phase_of_a_restart_is_in_its_url(gcp: Any, ops: VMOps) -> None:
    """Another process, with the journal, goes on where the first one ended."""
    gcp.up(ops)
    _, result = ops.vm_restart(WEB)
    ops.close()
    gcp.until("web-1", "TERMINATED")
    with gcp.open() as other:
        gcp.wait(other, (Status.PENDING, {"asyncResultsUrl": result["asyncResultsUrl"]}))
    assert gcp.power("web-1") == "RUNNING"


# -- what is told ---------------------------------------------------------------------------------


def test_addresses_are_told(gcp: Any, ops: VMOps) -> None:
    """The private one stays; each start brings another public one, which the result tells."""
    made = gcp.wait(ops, ops.vm_provision(gcp.params(publicIp=True)))
    assert made["privateIp"]
    assert made["publicIp"]
    stopped = gcp.wait(ops, ops.vm_stop(WEB))
    assert "publicIp" not in stopped
    again = gcp.wait(ops, ops.vm_start(WEB))
    assert again["privateIp"] == made["privateIp"]
    card = gcp.model("web-1")["networkInterfaces"][0]
    assert again["publicIp"] == card["accessConfigs"][0]["natIP"] != made["publicIp"]


def test_renewing_rewrites_all_labels(gcp: Any, ops: VMOps) -> None:
    """Of the VM and its disk, beside those that were there."""
    gcp.up(ops, ttl=3600, labels={"team": "a"})
    before = gcp.model("web-1")["labels"]
    ops.renew({"vmName": "web-1", "ttl": 7200})
    after = gcp.model("web-1")["labels"]
    disk = gcp.cloud.call("GET", gcp.path("disks/web-1"))[2]["labels"]
    assert after == disk
    assert after["team"] == "a"
    assert int(after["vmops-expires"]) > int(before["vmops-expires"])


def test_labels_that_somebody_changes_at_the_same_time(gcp: Any, ops: VMOps) -> None:
    """The fingerprint tells: the change is made again, of the new ones, and not for ever."""
    gcp.up(ops, ttl=3600)
    changed = {"method": "POST", "path": "/setLabels", "status": 412, "reason": "conditionNotMet"}
    gcp.cloud.fault(**changed, times=2)
    assert ops.renew({"vmName": "web-1", "ttl": 7200})[0] is Status.SUCCEEDED
    gcp.cloud.fault(**changed, times=9)
    status, result = ops.renew({"vmName": "web-1", "ttl": 9000})
    assert (status, type(result.error)) == (Status.FAILED, Conflict)


def test_a_change_of_labels_that_is_forgotten(gcp: Any, ops: VMOps) -> None:
    """Where GCE keeps no record of the change, the labels tell: at once, or when they show."""
    gcp.up(ops, ttl=3600)
    gcp.cloud.settings(labels=0.2)
    fault = {"method": "POST", "path": "/wait$", "status": 404, "reason": "notFound"}
    gcp.cloud.fault(**fault, times=4)
    assert ops.renew({"vmName": "web-1", "ttl": 7200})[0] is Status.SUCCEEDED
    for resource in ("instances", "disks"):
        shown = gcp.cloud.call("GET", gcp.path(f"{resource}/web-1"))[2]["labels"]
        assert int(shown["vmops-expires"]) > time.time() + 5000


def test_a_vm_that_another_install_has_taken_over_is_not_renewed(
    gcp: Any, ops: VMOps, backend: Any
) -> None:
    """Between look and change: its labels are left as they are."""
    gcp.up(ops, ttl=3600)
    (mine,) = backend.describe([Ref("web-1")])
    shown = gcp.model("web-1")
    theirs = {**shown["labels"], "vmops-owner": "another"}
    change = {"labelFingerprint": shown["labelFingerprint"], "labels": theirs}
    gcp.cloud.call("POST", gcp.path("instances/web-1/setLabels"), change)
    while gcp.model("web-1")["labels"] != theirs:
        time.sleep(0.01)
    with pytest.raises(Conflict, match="another"):
        backend.retag(mine, mine.tags)
    assert gcp.model("web-1")["labels"] == theirs


def test_local_ssds_are_discarded_where_that_is_wanted(gcp: Any, ops: VMOps) -> None:
    """Else GCE refuses the stop, and with it the restart that begins with one."""
    gcp.up(ops, vmSize="c3-standard-4-lssd")
    assert ops.vm_stop(WEB)[0] is Status.FAILED
    gcp.wait(ops, ops.vm_restart({**WEB, "discardLocalSsd": True}))
    gcp.wait(ops, ops.vm_stop({**WEB, "discardLocalSsd": True}))
    assert gcp.power("web-1") == "TERMINATED"


@pytest.mark.parametrize("place", [{"project": "no-such-project"}, {"zone": "europe-west9-z"}])
def test_a_place_that_does_not_exist_is_no_absence(gcp: Any, place: dict[str, str]) -> None:
    """Nothing is believed to be gone there."""
    ops = gcp.open(**place)
    for answer in (ops.vm_deprovision(WEB), ops.vm_provision(gcp.params())):
        assert answer[0] is Status.FAILED
        assert "next: check project and zone" in str(answer[1].error)
