"""`VMOpsService` by itself: mlos_bench's Protocols, its statuses, its params."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path
from typing import Any

import pytest
from mlos_bench.environments.status import Status
from mlos_bench.services.base_service import Service
from mlos_bench.services.types.host_ops_type import SupportsHostOps
from mlos_bench.services.types.host_provisioner_type import SupportsHostProvisioning
from mlos_bench.services.types.os_ops_type import SupportsOSOps
from mlos_bench.services.types.remote_exec_type import SupportsRemoteExec
from mlos_bench.services.types.vm_provisioner_type import SupportsVMOps

import vmops
from vmops import State
from vmops.errors import (
    ConfigError,
    Conflict,
    InvalidParams,
    InvalidURL,
    NotFound,
    Unavailable,
)
from vmops.remote import Finished, Run
from vmops.result import Result

VM = {"vmName": "bench-1"}
PROTOCOLS = (
    SupportsHostProvisioning,
    SupportsHostOps,
    SupportsOSOps,
    SupportsRemoteExec,
    SupportsVMOps,
    vmops.SupportsVMOps,
)


def provisioned(service: Any, **params: Any) -> dict[str, Any]:
    """Provision as VMEnv does; the info of the VM that runs then."""
    status, result = service.provision_host({**VM, **params})
    if status.is_pending():
        status, result = service.wait_host_deployment(result, is_setup=True)
    assert status is Status.SUCCEEDED, result.error
    return result


def ended(service: Any, answer: tuple[Status, dict[str, Any]]) -> dict[str, Any]:
    """What a verb led to, waited for as OSEnv does."""
    status, result = answer
    assert status is Status.PENDING
    status, info = service.wait_host_operation(result)
    assert status is Status.SUCCEEDED, info.error
    return info


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.__module__)
def test_it_is_what_mlos_bench_asks_for(service: Any, protocol: Any) -> None:
    """The service is each Protocol, and so is the mixture that mlos_bench makes of services."""
    mixture = Service()
    assert not isinstance(mixture, protocol)
    mixture.register(service().export())
    assert isinstance(service(), protocol)
    assert isinstance(mixture, protocol)


def test_whole_life(service: Any) -> None:
    """Every host verb is PENDING, its wait SUCCEEDED, with mlos_bench's own Status."""
    ops = service()
    assert provisioned(ops)["vmId"]
    for verb, state in (
        (ops.stop_host, State.STOPPED),
        (ops.start_host, State.RUNNING),
        (ops.restart_host, State.RUNNING),
        (ops.shutdown, State.STOPPED),
        (ops.start_host, State.RUNNING),
        (ops.reboot, State.RUNNING),
        (ops.deallocate_host, State.STOPPED),
    ):
        assert ended(ops, verb(VM))["vmName"] == "bench-1"
        assert ops.ops.describe(VM).state is state, verb
    status, result = ops.deprovision_host(VM)
    assert status is Status.PENDING
    assert ops.ops.describe(VM).state is State.DELETING
    assert ops.wait_host_deployment(result, is_setup=False)[0] is Status.SUCCEEDED
    assert ops.ops.describe(VM).state is State.ABSENT


def test_teardown_is_waited_for_by_name_alone(service: Any) -> None:
    """`is_setup=False` without a URL waits until the VM is gone, not until it runs."""
    ops = service()
    provisioned(ops)
    ops.deprovision_host(VM)
    assert ops.wait_host_deployment(VM, is_setup=False)[0] is Status.SUCCEEDED
    assert ops.ops.describe(VM).state is State.ABSENT
    status, result = ops.wait_host_deployment({**VM, "pollTimeout": 1}, is_setup=True)
    assert status is not Status.SUCCEEDED
    assert result == {}


def test_older_names(service: Any) -> None:
    """The seven methods of SupportsVMOps do the same, in their own order of arguments."""
    ops = service()
    assert ops.wait_vm_deployment(True, ops.vm_provision(VM)[1])[0] is Status.SUCCEEDED
    for verb in (ops.vm_stop, ops.vm_start, ops.vm_restart):
        assert ops.wait_vm_operation(verb(VM)[1])[0] is Status.SUCCEEDED
    assert ops.wait_vm_deployment(False, ops.vm_deprovision(VM)[1])[0] is Status.SUCCEEDED
    assert ops.ops.describe(VM).state is State.ABSENT


def test_without_a_url_an_operation_is_pending(service: Any) -> None:
    """As the Protocols say: hosts, OS and scripts alike."""
    ops = service()
    for wait in (ops.wait_host_operation, ops.wait_os_operation, ops.get_remote_exec_results):
        assert wait(VM)[0] is Status.PENDING


def test_a_time_out_ends_nothing(service: Any) -> None:
    """TIMED_OUT with `{}`; the same result can be waited for again, by another service, too."""
    ops = service()
    status, pending = ops.provision_host(VM)
    assert status is Status.PENDING
    status, result = ops.wait_host_deployment({**pending, "pollTimeout": 0}, is_setup=True)
    assert (status, result) == (Status.TIMED_OUT, {})
    url = {"asyncResultsUrl": pending["asyncResultsUrl"]}
    assert service().wait_host_deployment(url, is_setup=True)[0] is Status.SUCCEEDED


def test_strangers_tunables_are_ignored(service: Any, caplog: pytest.LogCaptureFixture) -> None:
    """So are names of other clouds, and what only local configuration may set here."""
    ops = service(ttl=1000)
    others = {
        "subscription": "s",
        "resourceGroup": "g",
        "location": "westeurope",
        "storageAccountKey": "k",
        "kernel_sched_latency_ns": 5,
        "stateDir": "/tmp/nowhere",
    }
    status, result = ops.provision_host({**VM, **others, "vm_size": "big"})
    assert status is Status.PENDING
    assert not others.keys() & result.keys()
    assert ops.wait_host_deployment(result, is_setup=True)[1]["vmSize"] == "big"
    assert [record for record in caplog.records if record.name.startswith("vmops")] == []


def test_params_by_prefix_are_known(service: Any, caplog: pytest.LogCaptureFixture) -> None:
    """What libcloud's drivers take says what to make, like any other param of VMs."""
    ops = service(backend="libcloud", provider="openstack", clock=None, world=None, seed=None)
    given = {**VM, "ex_keyname": "me", "ex": 5, "vm_size": "m1.tiny"}
    made = {**VM, "ex_keyname": "me", "vmSize": "m1.tiny"}
    assert ops._environment.to_make(given) == made
    assert ops._environment.to_use(given) == VM
    assert ops._environment.shape(given) == {"ex_keyname": "me", "vmSize": "m1.tiny"}


def test_a_slip_of_the_pen_is_told_once(service: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A name that is nearly a known one is ignored like the others, but not in silence."""
    ops = service(ttl=1000)
    with caplog.at_level(logging.WARNING, "vmops"):
        for _ in range(2):
            ops.provision_host({**VM, "vmSise": "big"})
    (told,) = (r.getMessage() for r in caplog.records if r.name.startswith("vmops"))
    assert "vmSise" in told
    assert "vmSize" in told


def test_names_of_mlos_bench_are_understood_where_the_cloud_has_them(service: Any) -> None:
    """On Azure, subscription, resource group and location say where, and are checked as ever."""
    ops = service(backend="azure", clock=None, world=None, seed=None)
    place = {"subscription": "no-uuid", "resourceGroup": "g", "location": "West Europe"}
    status, result = ops.provision_host({**VM, **place})
    assert (status, type(result.error)) == (Status.FAILED, InvalidParams)
    assert [problem.param for problem in result.error.problems] == ["subscription"]


def test_a_vm_is_made_anew_when_its_tunables_change(service: Any) -> None:
    """By default: the second trial gets the VM it asked for, also in another process."""
    small = provisioned(service(), vmSize="small")
    big = provisioned(service(), vmSize="big")
    assert (small["vmSize"], big["vmSize"]) == ("small", "big")
    assert small["vmId"] != big["vmId"]
    ops = service()
    assert provisioned(ops, vmSize="big")["vmId"] == big["vmId"]
    assert provisioned(ops, vmSize="small")["vmId"] not in {small["vmId"], big["vmId"]}
    assert [vm.state for vm in ops.ops.list_vms()].count(State.RUNNING) == 1


def test_a_vm_whose_create_is_under_way_is_made_anew_as_well(service: Any) -> None:
    """A trial that was killed while its VM was being made does not decide the next one's size."""
    service().provision_host({**VM, "vmSize": "small"})
    assert provisioned(service(), vmSize="big")["vmSize"] == "big"


def test_two_services_agree_on_what_a_vm_is(service: Any) -> None:
    """What one has made, the other one finds, and makes anew only what is wrong for it."""
    one, other = service(), service()
    small = provisioned(one, vmSize="small")
    big = provisioned(other, vmSize="big")
    assert provisioned(one, vmSize="big")["vmId"] == big["vmId"]
    again = provisioned(one, vmSize="small")
    assert again["vmSize"] == "small"
    assert again["vmId"] != small["vmId"]


def test_a_vm_to_be_made_anew_is_deleted_in_any_mode(service: Any) -> None:
    """Where teardown only deallocates, a VM of the wrong size is deleted all the same."""
    for size in ("small", "big"):
        info = provisioned(service(deprovisionMode="deallocate"), vmSize=size)
        assert info["vmSize"] == size


def test_only_what_shapes_a_vm_makes_it_anew(service: Any) -> None:
    """Params of acts, and the time to live, hold for the VM that is there."""
    made = provisioned(service(ttl=100), vmSize="big")
    ops = service(ttl=5000)
    assert provisioned(ops, vmSize="big", restartMode="power-cycle")["vmId"] == made["vmId"]
    now = ops.ops._dispatcher.wait_line(VM)[0].connection.clock.now()
    assert ops.ops.describe(VM).tags.expires == pytest.approx(now + 5000, abs=5)


def test_without_a_journal_the_process_knows_what_it_made(
    service: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Another process cannot know, and says so."""
    ops = service(journal="none")
    assert provisioned(ops, vmSize="small")["vmSize"] == "small"
    big = provisioned(ops, vmSize="big")
    assert big["vmSize"] == "big"
    caplog.clear()
    assert provisioned(service(journal="none"), vmSize="small")["vmId"] == big["vmId"]
    assert "nobody knows" in caplog.text


def test_a_vm_that_is_being_deleted_is_waited_for(service: Any) -> None:
    """mlos_bench that is run again while its predecessor's teardown goes on gets a new VM."""
    old = provisioned(service())
    service().deprovision_host(VM)
    assert provisioned(service())["vmId"] != old["vmId"]


def test_a_deletion_without_an_answer_is_waited_out(service: Any) -> None:
    """It may still arrive, and must not hit the new VM: that is made when it no longer can."""
    old = provisioned(service(), vmSize="small")
    ops = service(faults="deprovision:1=lost")
    assert provisioned(ops, vmSize="big")["vmId"] != old["vmId"]
    assert ops.ops.describe(VM).info["vmSize"] == "big"


def test_a_replacement_that_takes_too_long_is_told(service: Any) -> None:
    """FAILED has a reason."""
    provisioned(service(), vmSize="small")
    ops = service(deprovisionSeconds="1000", pollTimeout=1)
    status, result = ops.provision_host({**VM, "vmSize": "big"})
    assert (status, type(result.error)) == (Status.FAILED, Unavailable)
    assert "vmSize" in str(result.error)


def test_a_change_can_fail_the_trial_instead(service: Any) -> None:
    """With onChange=fail nothing is deleted, and the error says what can be done."""
    made = provisioned(service(), vmSize="small")
    ops = service(onChange="fail")
    status, result = ops.provision_host({**VM, "vmSize": "big"})
    assert (status, type(result.error)) == (Status.FAILED, Conflict)
    assert "vmSize" in str(result.error)
    assert "onChange=replace" in str(result.error)
    assert ops.ops.describe(VM).id == made["vmId"]
    assert provisioned(ops, vmSize="small")["vmId"] == made["vmId"]


def test_a_change_can_be_overlooked(service: Any) -> None:
    """With onChange=keep the VM is used as it is."""
    made = provisioned(service(), vmSize="small")
    assert provisioned(service(onChange="keep"), vmSize="big")["vmId"] == made["vmId"]


def test_a_replacement_that_fails_is_the_answer(service: Any) -> None:
    """Where the old VM cannot be deleted, none is made."""
    made = provisioned(service(), vmSize="small")
    ops = service(faults="deprovision:*=QuotaExceeded")
    status, result = ops.provision_host({**VM, "vmSize": "big"})
    assert status is Status.FAILED
    assert result.error is not None
    assert ops.ops.describe(VM).id == made["vmId"]


def test_each_trial_renews_the_time_to_live(service: Any) -> None:
    """A long experiment's VM is not reaped in its middle: provisioning it again begins its ttl."""
    ops = service(ttl=1000)
    provisioned(ops)
    before = ops.ops.describe(VM).tags.expires
    ops.ops._dispatcher.wait_line(VM)[0].connection.clock.sleep(600)
    provisioned(ops)
    assert ops.ops.describe(VM).tags.expires >= before + 600


def test_the_time_to_live_of_a_stopped_vm_begins_anew(service: Any) -> None:
    """A VM that provisioning starts again is not reaped in the middle of the trial."""
    ops = service(ttl=1000)
    provisioned(ops)
    ended(ops, ops.stop_host(VM))
    before = ops.ops.describe(VM).tags.expires
    ops.ops._dispatcher.wait_line(VM)[0].connection.clock.sleep(900)
    provisioned(ops)
    assert ops.ops.describe(VM).tags.expires >= before + 900


def test_a_stopped_host_keeps_its_node_where_the_cloud_can(
    service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`stop_host` keeps the compute, `deallocate_host` gives it back; what params say, counts."""
    ops = service()
    provisioned(ops)
    ended(ops, ops.stop_host(VM))
    assert ops.ops.describe(VM).holds_compute
    ended(ops, ops.deallocate_host(VM))
    assert not ops.ops.describe(VM).holds_compute
    ended(ops, ops.start_host(VM))
    ended(ops, ops.stop_host({**VM, "stopMode": "release"}))
    assert not ops.ops.describe(VM).holds_compute
    ended(ops, ops.start_host(VM))
    monkeypatch.setattr(ops.ops.registry.load("sim"), "stop_modes", ("release",))
    ended(ops, ops.stop_host(VM))
    assert not ops.ops.describe(VM).holds_compute


@pytest.mark.parametrize(
    ("backend", "knows"), [("aws", True), ("azure", True), ("local", True), ("sim", False)]
)
@pytest.mark.parametrize("verb", ["stop_host", "restart_host", "shutdown", "reboot"])
def test_force_is_passed_to_backends_that_know_it(
    service: Any, monkeypatch: pytest.MonkeyPatch, backend: str, knows: bool, verb: str
) -> None:
    """`force` becomes the backend's param of that name, and is left out elsewhere."""
    ops = service(backend=backend, clock=None, world=None, seed=None)
    asked: list[dict[str, Any]] = []
    for name in ("vm_stop", "vm_restart"):
        monkeypatch.setattr(ops.ops, name, lambda params: asked.append(params) or (None, {}))
    getattr(ops, verb)(VM)
    getattr(ops, verb)(VM, force=True)
    gentle, forced = asked
    assert "force" not in gentle
    assert forced == ({**gentle, "force": True} if knows else gentle)


def test_refusals_are_failed(service: Any) -> None:
    """A host that is not there cannot be started; the cause is in the result."""
    status, result = service().start_host(VM)
    assert (status, type(result.error)) == (Status.FAILED, NotFound)


def test_a_script_needs_an_address(service: Any) -> None:
    """A simulated VM runs nothing: FAILED, with a reason."""
    ops = service(pollTimeout="5")  # as an environment variable would have it
    provisioned(ops)
    status, result = ops.remote_exec(["true"], VM, {})
    assert status is Status.FAILED
    assert result.error is not None


def test_a_trials_wrong_value_is_its_own_failure(service: Any) -> None:
    """No call raises: mlos_bench would end without a teardown, and leave the VM."""
    ops = service()
    for wrong in ({"ttl": -1}, {"spot": "perhaps"}, {"vmName": "Bad Name"}, {"backend": "none"}):
        status, result = ops.provision_host({**VM, **wrong})
        assert (status, result) == (Status.FAILED, {})
        assert isinstance(result.error, ConfigError), wrong
    wrong = {"asyncResultsUrl": "https://example.com"}
    for wait in (ops.wait_host_operation, ops.get_remote_exec_results):
        status, result = wait(wrong)
        assert (status, type(result.error)) == (Status.FAILED, InvalidURL)


def test_an_applications_tunables_are_its_own(service: Any) -> None:
    """A database's `ttl` or `image` means nothing once the VM is there."""
    ops = service()
    made = provisioned(ops)
    database = {"ttl": -1, "image": 5, "zone": None, "spot": "perhaps", "seed": 1}
    ended(ops, ops.stop_host({**VM, **database}))
    ended(ops, ops.start_host({**VM, **database}))
    assert ops.ops.describe(VM).id == made["vmId"]


def test_a_failed_script_is_told(
    service: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """mlos_bench logs its output at DEBUG only: what it said last is in a warning of ours."""
    ops = service()
    run = Run("sim", "bench-1", "00112233445566778899aabbccddeeff", 1.0)
    finished = Finished(3, "out", "first\nno such table\n", 1.0, 3.5)
    monkeypatch.setattr(ops._scripts.remote, "wait", lambda *_, **__: finished)
    status, result = ops.get_remote_exec_results({"asyncResultsUrl": run.to_url()})
    assert status is Status.FAILED
    assert (result["exitCode"], result["stdout"], result["durationSeconds"]) == (3, "out", 2.5)
    assert "ended with 3: no such table" in caplog.text


def test_a_key_goes_to_vms_that_take_one(
    service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its public half, which is worked out where ssh-keygen's file is missing; others get none."""
    key = tmp_path / "key"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(command, check=True)
    public = key.with_name("key.pub").read_text().split()[:2]
    asked: list[dict[str, Any]] = []
    answer = (Status.PENDING, Result())
    for guest, there in (("linux", True), ("linux", False), ("nano", True)):
        if not there:
            key.with_name("key.pub").unlink()
        config = {"backend": "local", "guest": guest, "sshPrivKeyPath": str(key), "ttl": 9}
        ops = service(**config, clock=None, world=None, seed=None)
        monkeypatch.setattr(ops.ops, "vm_provision", lambda ours: asked.append(ours) or answer)
        monkeypatch.setattr(ops.ops, "renew", lambda _: None)
        ops.provision_host(VM)
        key.with_name("key.pub").write_text(" ".join(public))
    first, second, third = asked
    assert first["sshPublicKey"].split()[:2] == second["sshPublicKey"].split()[:2] == public
    assert "sshPublicKey" not in third


def test_options_are_for_the_config(service: Any, caplog: pytest.LogCaptureFixture) -> None:
    """In params they do nothing, and that is told."""
    service(ttl=1000).provision_host({**VM, "ssh_username": "me"})
    assert "ssh_username is read from the service config only" in caplog.text


def test_mistakes_in_the_config_are_told(service: Any) -> None:
    """Unknown settings by the core, impossible options by the service: never ignored."""
    with pytest.raises(InvalidParams, match="did you mean provisionSeconds"):
        service(provisonSeconds="1")
    with pytest.raises(InvalidParams, match="quota: Input should be"):
        service(quota="many")
    with pytest.raises(InvalidParams, match="onChange"):
        service(onChange="destroy")
    with pytest.raises(InvalidParams, match="sshPrivKeyPath: there is no file /nowhere/key"):
        service(sshPrivKeyPath="/nowhere/key")


def test_no_journal(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`journal=none` remembers nothing, and says so on the VM."""
    ops = service(journal="none")
    provisioned(ops)
    assert ops.ops.describe(VM).tags.owner == "none"
