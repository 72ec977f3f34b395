"""What Nova shows of a server means one of seven states; those that fail say why."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from vmops import State, Status, VMOps
from vmops.errors import CloudError, Conflict, NoCapacity, NotSupported, QuotaExceeded
from vmops.testing.settling import eventually
from vmops_libcloud.capabilities import capabilities
from vmops_libcloud.dialects import _STATES, Dialect, dialect
from vmops_libcloud.openstack import TASKS, VM_STATES

WEB = {"vmName": "web-1"}


def test_no_room(stack: Any, ops: VMOps) -> None:
    """Nova takes a create for which it finds no host: its wait says so; the VM can be deleted."""
    params = stack.params(vmSize=stack.cloud.huge)
    status, result = stack.end(ops, ops.vm_provision(params))
    assert (status, type(result.error)) == (Status.FAILED, NoCapacity)
    assert "No valid host was found" in str(result.error)
    assert "web-1" in result.error.remains
    assert [(vm.name, vm.state) for vm in ops.list_vms()] == [("web-1", State.FAILED)]
    stack.wait(ops, ops.vm_deprovision(WEB))
    assert stack.servers() == []


def test_a_hypervisor_that_fails(stack: Any, ops: VMOps) -> None:
    """Nova's own words of what went wrong come with the failure, whatever is asked next."""
    stack.cloud.settings(spawn_fails="abort")
    status, result = stack.end(ops, ops.vm_provision(stack.params()))
    assert (status, type(result.error)) == (Status.FAILED, CloudError)
    assert "FakeBuildAbortDriver" in str(result.error)
    assert stack.power() == "ERROR"
    status, result = ops.vm_start(WEB)
    assert (status, type(result.error)) == (Status.FAILED, Conflict)
    assert "FakeBuildAbortDriver" in str(result.error)
    stack.cloud.settings(spawn_fails="")
    stack.wait(ops, ops.vm_deprovision(WEB))
    stack.up(ops)


def test_an_unshelve_that_fails(stack: Any, ops: VMOps) -> None:
    """The start fails, the VM is stopped as before, and starts when it can."""
    stack.up(ops)
    stack.wait(ops, ops.vm_stop(WEB))
    stack.cloud.settings(spawn_fails="unshelve")
    status, result = stack.end(ops, ops.vm_start(WEB))
    assert status is Status.FAILED
    assert "stopped" in str(result.error)
    stack.cloud.settings(spawn_fails="")
    stack.wait(ops, ops.vm_start(WEB))


def test_a_quota(stack: Any, ops: VMOps) -> None:
    """A real 403 of Nova's is QuotaExceeded, and leaves nothing behind."""
    stack.cloud.settings(instances=1)
    stack.up(ops)
    status, result = ops.vm_provision(stack.params("web-2"))
    assert (status, type(result.error)) == (Status.FAILED, QuotaExceeded)
    assert result.error.provider_code == "quota"
    assert result.error.request_id.startswith("req-")
    assert stack.power("web-2") == ""
    assert stack.states() == {"web-1": "LIVE", "web-2": "FAILED"}


def test_a_slow_spawn_is_seen(stack: Any, ops: VMOps) -> None:
    """While it is being made, a VM is STARTING; provisioning joins, and deleting works."""
    stack.cloud.settings(spawn_seconds=1.0)
    first = ops.vm_provision(stack.params())
    assert ops.describe(WEB).state is State.STARTING
    again = ops.vm_provision(stack.params())
    assert again[0] is Status.PENDING
    stack.wait(ops, first)
    stack.wait(ops, again)
    assert stack.count()["POST /servers"] == 1
    stack.wait(ops, ops.vm_stop(WEB))
    status, _ = ops.vm_start(WEB)
    assert status is Status.PENDING
    assert ops.describe(WEB).state is State.STARTING
    stack.wait(ops, ops.vm_deprovision(WEB))


@pytest.mark.parametrize(("verb", "setting"), [("restart", "reboot"), ("stop", "power")])
def test_a_slow_guest_is_seen(stack: Any, ops: VMOps, verb: str, setting: str) -> None:
    """While it stops or boots it is neither running nor stopped, and a second stop joins."""
    stack.up(ops)
    stack.cloud.settings(**{f"{setting}_seconds": 0.7})
    params = {**WEB, "stopMode": "keep"}
    answer = getattr(ops, f"vm_{verb}")(params)
    wanted = {"restart": State.STARTING, "stop": State.STOPPING}[verb]
    assert ops.describe(WEB).state is wanted
    if verb == "stop":
        assert ops.vm_stop(params)[0] is Status.PENDING
    result = stack.wait(ops, answer)
    assert result.get("restartConfirmed", False) is False
    actions = [one for one in stack.actions() if one.endswith("/action")]
    assert len(actions) == 1


def test_a_server_that_sleeps(stack: Any, ops: VMOps) -> None:
    """What is paused outside of vmops is as good as failed: only resuming or deleting helps."""
    from libcloud.compute.drivers.openstack import OpenStack_2_NodeDriver

    stack.up(ops)
    admin = OpenStack_2_NodeDriver(
        stack.cloud.user,
        stack.cloud.password,
        ex_force_auth_url=stack.cloud.endpoint,
        ex_tenant_name=stack.cloud.project,
        ex_force_service_region=stack.cloud.region,
    )
    (node,) = admin.list_nodes()
    assert admin.ex_pause_node(node)
    (vm,) = eventually(ops.list_vms, lambda vms: vms[0].state is State.FAILED, timeout=10)
    status, result = ops.vm_start(WEB)
    assert (status, type(result.error)) == (Status.FAILED, Conflict)
    assert "paused" in str(result.error)
    assert isinstance(vm.error, NotSupported)
    assert "paused" in vm.error.message
    stack.wait(ops, ops.vm_deprovision(WEB))
    for connection in vars(admin).values():
        session = getattr(getattr(connection, "connection", None), "session", None)
        if session is not None:
            session.close()


def node(**extra: Any) -> Any:
    """A node of libcloud's, as Nova's answer makes it."""
    return SimpleNamespace(name="web-1", state=extra.pop("state", "running"), extra=extra)


@pytest.fixture(scope="module")
def nova_dialect() -> Dialect:
    """What is special about OpenStack."""
    return dialect(capabilities("openstack"))


def test_all_states_of_nova(nova_dialect: Dialect) -> None:
    """Each of Nova's states is known to us, and no other: its own module lists them."""
    for shown, state in VM_STATES.items():
        found = nova_dialect.look(node(vm_state=shown, task_state=None))
        assert found.state is state
        assert found.holds_compute == (shown in {"stopped", "shelved"})
        assert (found.error is not None) == (state is State.FAILED)


def test_a_task_says_more_than_a_state(nova_dialect: Dialect) -> None:
    """What a verb has begun is seen at once; a task that no verb begins changes nothing."""
    for task, state in TASKS.items():
        for shown in ("active", "stopped", "shelved_offloaded", "building"):
            assert nova_dialect.look(node(vm_state=shown, task_state=task)).state is state
    snapshot = node(vm_state="active", task_state="image_snapshot")
    assert nova_dialect.look(snapshot).state is State.RUNNING


def test_states_that_are_hidden(nova_dialect: Dialect) -> None:
    """Where a policy hides Nova's own states, libcloud's count, as for all other providers."""
    for shown, state in _STATES.items():
        assert nova_dialect.look(node(state=shown)).state is state
    assert nova_dialect.look(node(state="never heard of")).state is State.STARTING


def test_all_states_of_libcloud() -> None:
    """Each of libcloud's states means one of ours."""
    from libcloud.compute.types import NodeState

    assert {str(state) for state in NodeState} == set(_STATES)


def test_a_stopped_vm_elsewhere() -> None:
    """It holds its compute unless it is known that the provider takes it back."""
    for provider, holds in (("digitalocean", True), ("ec2", False)):
        found = dialect(capabilities(provider))
        assert found.look(node(state="stopped")).holds_compute is holds
        assert found.stop_modes == (("keep",) if holds else ("release",))


def test_words_of_a_providers_own() -> None:
    """EC2's VM that is being deleted is unknown to libcloud, and not on its way to run."""
    node = SimpleNamespace(state="unknown", name="web-1", extra={"status": "shutting-down"})
    there = dialect(capabilities("ec2"))
    assert there.look(node).state is State.DELETING
    node.extra["status"] = "pending"
    assert there.look(node).state is State.STARTING
    node.extra = {"status": {"code": 1}}
    assert there.look(node).state is State.STARTING
