"""Rules of waiting: by URL, by state, shared, patient, never mistaken."""

from __future__ import annotations

import threading

import pytest

from vmops.errors import Unavailable
from vmops.facade import VMOps
from vmops.protocol import Status
from vmops.testing.lab import Lab
from vmops.vm import State

__all__ = ["WaitingRules"]

_CALLS_PER_LOOK = 2  # a poll, and a description for what poll does not tell


class WaitingRules:
    """What a wait does, whatever happens to its looks."""

    @pytest.mark.parametrize(
        ("verb", "state"),
        [
            ("vm_provision", State.ABSENT),
            ("vm_stop", State.RUNNING),
            ("vm_start", State.STOPPED),
            ("vm_restart", State.RUNNING),
            ("vm_deprovision", State.RUNNING),
        ],
        ids=str,
    )
    def test_another_process_finishes_the_wait(
        self, lab: Lab, ops: VMOps, verb: str, state: State
    ) -> None:
        """A process that has nothing but the URL (and credentials) waits to the end."""
        params = {**lab.in_state(ops, state), **(lab.cloud.params if state is State.ABSENT else {})}
        command = lab.script("print('ok')")  # skips before anything is made
        assert command
        status, pending = getattr(ops, verb)(params)
        assert status is Status.PENDING
        said = lab.run(
            "status, result = ops.wait_vm_operation(\n"
            "    {'asyncResultsUrl': values['url'], 'pollTimeout': values['timeout']})\n"
            "print(status.name, result.error)",
            url=pending["asyncResultsUrl"],
            timeout=lab.cloud.timeout,
        )
        assert said.split()[0] == "SUCCEEDED", said

    def test_one_look_then_again(self, lab: Lab, ops: VMOps) -> None:
        """pollTimeout=0 looks once; TIMED_OUT ends nothing, the URL can be waited on again."""
        _, pending = ops.vm_provision(lab.params())
        status, result = ops.wait_vm_operation({**pending, "pollTimeout": 0})
        assert status in {Status.TIMED_OUT, Status.SUCCEEDED}
        if status is Status.TIMED_OUT:
            assert dict(result) == {}
        lab.wait(ops, (Status.PENDING, pending))

    def test_waiting_by_state_alone(self, lab: Lab, ops: VMOps) -> None:
        """wait_vm_deployment needs no URL, neither for setting up nor for tearing down."""
        params = lab.params()
        patient = {**params, "pollTimeout": lab.cloud.timeout}
        ops.vm_provision(params)
        status, result = ops.wait_vm_deployment(True, patient)  # noqa: FBT003
        assert status is Status.SUCCEEDED, result.error
        ops.vm_deprovision(params)
        status, result = ops.wait_vm_deployment(False, patient)  # noqa: FBT003
        assert status is Status.SUCCEEDED, result.error

    def test_a_finished_operation_can_be_waited_for_again(self, lab: Lab, ops: VMOps) -> None:
        """Waiting a second time for the same URL gives the same answer."""
        _, pending = ops.vm_provision(lab.params())
        lab.wait(ops, (Status.PENDING, pending))
        lab.wait(ops, (Status.PENDING, pending))

    def test_many_waiters_share_their_polls(self, lab: Lab, ops: VMOps) -> None:
        """Eight waits in eight threads cost about as many polls as one wait in one thread."""
        names = [lab.params() for _ in range(8)]
        pending = [result for _, _, result in ops.run_many("vm_provision", names)]
        lab.calls.clear()
        ends: list[Status] = []

        def wait(one: dict[str, object]) -> None:
            ends.append(ops.wait_vm_operation({**one, "pollTimeout": lab.cloud.timeout})[0])

        clock = lab.backend_type.clock
        began = clock.now()
        threads = [threading.Thread(target=wait, args=(one,)) for one in pending]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(lab.cloud.timeout + 30)
        assert ends == [Status.SUCCEEDED] * 8
        ticks = (clock.now() - began) / pending[0]["pollInterval"]
        looks = lab.calls["poll"] + lab.calls["describe"]
        assert looks <= _CALLS_PER_LOOK * (ticks + len(threads))

    @pytest.mark.parametrize("verb", ["vm_provision", "vm_deprovision"])
    def test_throttled_looks_are_no_failure(self, lab: Lab, ops: VMOps, verb: str) -> None:
        """A wait whose looks are throttled, or get no answer, goes on."""
        params = lab.params()
        if verb == "vm_deprovision":
            lab.wait(ops, ops.vm_provision(params))
        answer = getattr(ops, verb)(params)
        lab.throttle_first("poll", 2)
        lab.throttle_first("describe", 2)
        lab.fail_first("describe", 1, lambda: Unavailable("kit: connection reset"))
        lab.wait(ops, answer)

    @pytest.mark.parametrize("verb", ["vm_provision", "vm_stop", "vm_restart", "vm_deprovision"])
    def test_forgotten_operations_are_judged_by_the_vm(
        self, lab: Lab, ops: VMOps, verb: str
    ) -> None:
        """When the cloud no longer knows the operation, the VM's own state tells how it ended."""
        params = lab.params()
        if verb != "vm_provision":
            lab.wait(ops, ops.vm_provision(params))
        answer = getattr(ops, verb)(params)
        lab.forget_operations()
        lab.wait(ops, answer)
