"""Rules of crashes: whoever dies, one VM is made, none is lost, none is made twice."""

from __future__ import annotations

import subprocess
from typing import Final

import pytest

from vmops.backend import Target
from vmops.binding import Binder
from vmops.facade import VMOps
from vmops.protocol import Status
from vmops.testing.lab import Lab
from vmops.vm import VM, State, Tags

__all__ = ["KILL_IN_BATCH", "KILL_IN_VERB", "MOMENTS", "CrashRules"]

MOMENTS: Final = ("before the call", "after the call")


class CrashRules:
    """What remains after a lost answer, a race or a SIGKILL."""

    def test_same_token_makes_one_vm(self, lab: Lab, ops: VMOps) -> None:
        """The backend itself: two creates with one token are one VM."""
        params = lab.params()
        cls = lab.backend_type
        binder = Binder(cls.name, cls.settings_type, cls.params_type, cls.vm_name, lab.cloud.config)
        bound = binder.bind(params, creating=True)
        backend = cls(bound.settings)
        tags = Tags(owner="kit", vm=params["vmName"], token="0" * 32)
        resolved = backend.resolve(bound.params)
        target = Target(VM(params["vmName"], State.ABSENT), resolved, tags)
        handles = [backend.provision(target, tags.token) for _ in range(2)]
        backend.close()
        assert handles[0].get("vmId") == handles[1].get("vmId")
        status, result = ops.wait_vm_deployment(
            True,  # noqa: FBT003
            {"vmName": params["vmName"], "pollTimeout": lab.cloud.timeout},
        )
        assert status is Status.SUCCEEDED, result.error
        assert lab.alive(ops, params["vmName"]) == [params["vmName"]]

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
    def test_lost_answer(self, lab: Lab, ops: VMOps, verb: str, state: State) -> None:
        """A call that was carried out but not answered ends well, and is not done twice."""
        params = lab.in_state(ops, state)
        if state is State.ABSENT:
            params |= lab.cloud.params
        lab.lose_first(verb.removeprefix("vm_"))
        lab.wait(ops, getattr(ops, verb)(params))
        expected = [] if verb == "vm_deprovision" else [params["vmName"]]
        assert lab.alive(ops, params["vmName"]) == expected

    @pytest.mark.parametrize("moment", MOMENTS)
    def test_killed_while_provisioning(self, lab: Lab, ops: VMOps, moment: str) -> None:
        """SIGKILL between intent and answer: the next provision leads to exactly one VM."""
        params = lab.params()
        lab.run_until_killed(KILL_IN_VERB, verb="provision", moment=moment, params=params)
        lab.wait(ops, ops.vm_provision(params))
        assert lab.alive(ops, params["vmName"]) == [params["vmName"]]
        lab.wait(ops, ops.vm_deprovision(params))
        assert lab.alive(ops, params["vmName"]) == []

    @pytest.mark.parametrize("moment", MOMENTS)
    def test_killed_while_deprovisioning(self, lab: Lab, ops: VMOps, moment: str) -> None:
        """SIGKILL between intent and answer: the next deprovision leaves nothing."""
        params = lab.in_state(ops, State.RUNNING)
        lab.run_until_killed(KILL_IN_VERB, verb="deprovision", moment=moment, params=params)
        lab.wait(ops, ops.vm_deprovision(params))
        assert lab.alive(ops, params["vmName"]) == []

    @pytest.mark.parametrize("verb", ["vm_provision", "vm_restart"])
    def test_killed_while_waiting(self, lab: Lab, ops: VMOps, verb: str) -> None:
        """SIGKILL of the process that waits: another one takes the wait up by the URL."""
        params = lab.params()
        lab.script("")
        if verb != "vm_provision":
            lab.wait(ops, ops.vm_provision(params))
        answer = getattr(ops, verb)(params)
        assert answer[0] is Status.PENDING
        url = answer[1]["asyncResultsUrl"]
        body = (
            "from vmops.tracker import Tracker\nTracker._look_once = die\n"
            "ops.wait_vm_operation({'asyncResultsUrl': values['url']})"
        )
        lab.run_until_killed(body, url=url)
        lab.wait(ops, answer)
        assert lab.alive(ops, params["vmName"]) == [params["vmName"]]

    def test_restart_is_asked_for_once(self, lab: Lab, ops: VMOps) -> None:
        """A restart whose answer is lost is never asked for again, and yet seen to its end."""
        params = lab.in_state(ops, State.RUNNING)
        before = ops.describe(params)
        lab.lose_first("restart")
        result = lab.wait(ops, ops.vm_restart(params))
        assert lab.calls["restart"] == 1
        lab.check_restarted(before, ops.describe(params), result)

    def test_two_processes_provision_one_name(self, lab: Lab, ops: VMOps) -> None:
        """A race for one name makes one VM, and every racer's wait succeeds."""
        params = lab.params()
        body = (
            "status, result = ops.vm_provision(values['params'])\n"
            "if status is Status.PENDING:\n"
            "    status, result = ops.wait_vm_operation(result)\n"
            "print(status.name, result.error)"
        )
        command = lab.script(body, params=params)
        ops.vm_deprovision(params)  # opens the journal, so that the racers only race for the VM
        racers = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
            for _ in range(3)
        ]
        said = [racer.communicate(timeout=lab.cloud.timeout + 60)[0] for racer in racers]
        assert [text.split()[0] for text in said] == ["SUCCEEDED"] * 3, said
        assert lab.alive(ops, params["vmName"]) == [params["vmName"]]


_KILLING: Final = """
from vmops.plugins import Registry
backend = Registry().load(values["config"]["backend"])
names = [n for n in (values["verb"], values["verb"] + "_many") if getattr(backend, n, None)]
for name in names:
    def killing(self, *args, _original=getattr(backend, name), **kwargs):
        if values["moment"] == "after the call":
            _original(self, *args, **kwargs)
        die()
    setattr(backend, name, killing)
"""
KILL_IN_VERB: Final = _KILLING + 'getattr(ops, "vm_" + values["verb"])(values["params"])\n'
"""A script that is killed in a verb's call, before or after the cloud has carried it out."""
KILL_IN_BATCH: Final = _KILLING + 'list(ops.run_many(values["verb"], values["params"]))\n'
"""The same for a verb on several VMs."""
