"""Rules of a VM's life: verbs, states, repeats, modes."""

from __future__ import annotations

import pytest

from vmops.errors import Conflict, NotFound, NotSupported
from vmops.facade import VMOps
from vmops.operation import Action
from vmops.protocol import Status
from vmops.semantics import TABLE, Decision
from vmops.testing.lab import Lab
from vmops.vm import State

__all__ = ["LifecycleRules"]

_REACHABLE = (State.ABSENT, State.RUNNING, State.STOPPED)
_GOALS = {
    Action.PROVISION: State.RUNNING,
    Action.START: State.RUNNING,
    Action.STOP: State.STOPPED,
    Action.RESTART: State.RUNNING,
    Action.DEPROVISION: State.ABSENT,
}


class LifecycleRules:
    """What every verb does from every state."""

    @pytest.mark.parametrize("state", _REACHABLE, ids=str)
    @pytest.mark.parametrize("action", list(Action), ids=str)
    def test_each_verb_from_each_state(
        self, lab: Lab, ops: VMOps, action: Action, state: State
    ) -> None:
        """A verb calls, is done, or refuses, as the table of states and actions says."""
        params = lab.in_state(ops, state)
        if action is Action.PROVISION:
            params |= lab.cloud.params
        lab.calls.clear()
        answer = getattr(ops, f"vm_{action.value}")(params)
        refusal = Decision.NOT_FOUND if state is State.ABSENT else Decision.CONFLICT
        decision = TABLE[action].get(state, refusal)
        sent = {call: n for call, n in lab.calls.items() if call in set(Action)}
        if decision in {Decision.CALL, Decision.START}:
            verb = "start" if decision is Decision.START else action.value
            assert sent == {verb: 1}
            lab.wait(ops, answer)
            assert ops.describe(params).state is _GOALS[action]
        elif decision is Decision.DONE:
            assert (answer[0], sent) == (Status.SUCCEEDED, {})
        else:
            kind = NotFound if decision is Decision.NOT_FOUND else Conflict
            assert (answer[0], dict(answer[1]), sent) == (Status.FAILED, {}, {})
            assert isinstance(answer[1].error, kind)

    def test_whole_life(self, lab: Lab, ops: VMOps) -> None:
        """Provision, stop, start, restart, deprovision: each succeeds, and nothing is left."""
        params = lab.params()
        name = params["vmName"]
        for verb in ("vm_provision", "vm_stop", "vm_start", "vm_restart", "vm_deprovision"):
            result = lab.wait(ops, getattr(ops, verb)(params))
            assert {"startTime", "endTime", "durationSeconds", "vmId"} <= result.keys(), verb
            assert result["vmName"] == name
        assert lab.alive(ops, name) == []

    def test_repeated_provision_is_one_vm(self, lab: Lab, ops: VMOps) -> None:
        """Provisioning again while it is made joins; afterwards it is done at once."""
        params = lab.params()
        first = ops.vm_provision(params)
        again = ops.vm_provision(params)
        assert again[0] in {Status.PENDING, Status.SUCCEEDED}
        lab.wait(ops, first)
        lab.wait(ops, again)
        assert ops.vm_provision(params)[0] is Status.SUCCEEDED
        assert lab.calls["provision"] == 1
        assert lab.alive(ops, params["vmName"]) == [params["vmName"]]

    @pytest.mark.parametrize("verb", ["vm_stop", "vm_deprovision"])
    def test_repeated_teardown_joins(self, lab: Lab, ops: VMOps, verb: str) -> None:
        """Stopping or deleting again, at once, is no failure and ends in the same state."""
        params = lab.in_state(ops, State.RUNNING)
        answers = [getattr(ops, verb)(params) for _ in range(2)]
        for answer in answers:
            lab.wait(ops, answer)

    def test_provision_again_after_deletion(self, lab: Lab, ops: VMOps) -> None:
        """A VM that was deleted can be made again under its name: a new VM."""
        params = lab.params()
        first = lab.wait(ops, ops.vm_provision(params))
        lab.wait(ops, ops.vm_deprovision(params))
        second = lab.wait(ops, ops.vm_provision(params))
        assert first["vmId"] != second["vmId"]

    def test_pending_result_is_enough(self, lab: Lab, ops: VMOps) -> None:
        """The dict of a PENDING answer, alone, is all that the wait needs."""
        status, pending = ops.vm_provision(lab.params())
        assert status is Status.PENDING
        assert pending["pollInterval"] > 0
        other = lab.open()
        status, result = other.wait_vm_operation(
            {"asyncResultsUrl": pending["asyncResultsUrl"], "pollTimeout": lab.cloud.timeout}
        )
        assert status is Status.SUCCEEDED, result.error

    def test_restart_boots_again(self, lab: Lab, ops: VMOps) -> None:
        """A restart is a new boot of the same VM, or says that nothing can confirm it."""
        params = lab.in_state(ops, State.RUNNING)
        before = ops.describe(params)
        result = lab.wait(ops, ops.vm_restart(params))
        lab.check_restarted(before, ops.describe(params), result)

    def test_stop_releases_compute(self, lab: Lab, ops: VMOps) -> None:
        """A stop releases compute by default, and vm_deallocate always does."""
        params = lab.in_state(ops, State.STOPPED)
        assert not ops.describe(params).holds_compute
        lab.wait(ops, ops.vm_start(params))
        lab.wait(ops, ops.vm_deallocate(params))
        assert not ops.describe(params).holds_compute

    def test_stop_that_keeps_compute(self, lab: Lab, ops: VMOps) -> None:
        """stopMode=keep stops (holding compute or not), or is refused as NotSupported."""
        params = lab.in_state(ops, State.RUNNING)
        status, result = ops.vm_stop({**params, "stopMode": "keep"})
        if status is Status.FAILED:
            assert isinstance(result.error, NotSupported)
            return
        lab.wait(ops, (status, result))
        assert ops.describe(params).state is State.STOPPED
        lab.wait(ops, ops.vm_stop(params))  # now release it
        assert not ops.describe(params).holds_compute

    def test_deallocating_deprovision_keeps_the_vm(self, lab: Lab, ops: VMOps) -> None:
        """deprovisionMode=deallocate stops the VM and keeps it; its wait ends at stopped."""
        params = {**lab.in_state(ops, State.RUNNING), "deprovisionMode": "deallocate"}
        ops.vm_deprovision(params)
        status, result = ops.wait_vm_deployment(
            False,  # noqa: FBT003
            {**params, "pollTimeout": lab.cloud.timeout},
        )
        assert status is Status.SUCCEEDED, result.error
        assert ops.describe(params).state is State.STOPPED

    def test_vm_by_id(self, lab: Lab, ops: VMOps) -> None:
        """The cloud's own id finds the VM as its name does."""
        params = lab.in_state(ops, State.RUNNING)
        vm = ops.describe(params)
        assert vm.id
        lab.wait(ops, ops.vm_stop({"vmId": vm.id}))
        assert ops.describe(params).state is State.STOPPED

    def test_many_at_once(self, lab: Lab, ops: VMOps) -> None:
        """run_many and wait_many bring several VMs through their life."""
        names = [lab.params() for _ in range(3)]
        for verb in ("vm_provision", "vm_stop", "vm_deprovision"):
            pending = {}
            for index, status, result in ops.run_many(verb, names):
                assert status is Status.PENDING, result.error
                pending[index] = {**result, "pollTimeout": lab.cloud.timeout}
            ends = {i: s for i, s, _ in ops.wait_many([pending[i] for i in sorted(pending)])}
            assert ends == dict.fromkeys(range(3), Status.SUCCEEDED)
        assert lab.alive(ops, *(n["vmName"] for n in names)) == []
