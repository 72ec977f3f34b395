"""Rules of recovery: what a killed process left, another one finishes, and nobody repeats."""

from __future__ import annotations

import subprocess
from typing import Any, Final

import pytest

from vmops.facade import VMOps
from vmops.testing.crash import KILL_IN_BATCH, KILL_IN_VERB, MOMENTS
from vmops.testing.lab import Lab
from vmops.testing.settling import eventually, recover_to_the_end
from vmops.vm import State

__all__ = ["RecoveryRules"]


class RecoveryRules:
    """What `recover` makes of a SIGKILL, in a new process that was told nothing."""

    @pytest.mark.parametrize("moment", MOMENTS)
    def test_recovery_of_a_create(self, lab: Lab, moment: str) -> None:
        """A killed create is adopted if the cloud carried it out, else given up; none is made."""
        params = lab.params()
        name = params["vmName"]
        lab.run_until_killed(KILL_IN_VERB, verb="provision", moment=moment, params=params)
        lab.end_leases(horizon=moment == "before the call")
        told = lab.run(_RECOVERY, timeout=lab.cloud.timeout)
        ops = lab.open()
        if moment == "before the call":
            assert (lab.states(), lab.alive(ops, name)) == ({name: "ABANDONED"}, []), told
            return
        assert (lab.states(), lab.alive(ops, name)) == ({name: "LIVE"}, [name]), told
        lab.wait(ops, ops.vm_deprovision({"vmName": name}))
        assert lab.alive(ops, name) == []

    @pytest.mark.parametrize("moment", MOMENTS)
    def test_recovery_of_a_deletion(self, lab: Lab, ops: VMOps, moment: str) -> None:
        """A killed deletion is carried out, whether the cloud had heard of it or not."""
        params = lab.in_state(ops, State.RUNNING)
        name = params["vmName"]
        lab.run_until_killed(KILL_IN_VERB, verb="deprovision", moment=moment, params=params)
        lab.end_leases(horizon=True)
        told = recover_to_the_end(lab.cloud.config, lab.journal, lab.cloud.timeout)
        assert (lab.states(), lab.alive(ops, name)) == ({name: "GONE"}, []), told

    @pytest.mark.parametrize("moment", MOMENTS)
    def test_recovery_of_a_batch(self, lab: Lab, moment: str) -> None:
        """Of VMs asked for together each that was made is held, and none is there twice."""
        several = [lab.params() for _ in range(3)]
        names = sorted(params["vmName"] for params in several)
        lab.run_until_killed(KILL_IN_BATCH, verb="provision", moment=moment, params=several)
        ops = lab.open()

        def recovered(timeout: float = 0.0) -> bool:
            recover_to_the_end(lab.cloud.config, lab.journal, timeout)
            return "LIVE" in lab.states().values()

        def reaped() -> list[str]:
            lab.end_leases()
            assert not [item.error for item in ops.reap(yes=True) if item.error]
            return lab.alive(ops, *names)

        if moment == "after the call":
            lab.end_leases()
            assert eventually(recovered, bool, lab.cloud.timeout)
        lab.end_leases(horizon=True)  # of VMs that leave one by one, some may never have left
        assert recovered(lab.cloud.timeout) is (moment == "after the call")
        held = sorted(name for name, state in lab.states().items() if state == "LIVE")
        assert set(lab.states()) <= set(names)  # likewise, nor been written down
        assert eventually(reaped, lambda alive: alive == held, lab.cloud.timeout) == held

    def test_recovery_beside_the_living(self, lab: Lab, ops: VMOps) -> None:
        """Two recover at once, a third makes and deletes VMs: none is lost, none is there twice."""
        left, doomed, fresh = lab.params(), lab.params(), lab.params()
        names = [params["vmName"] for params in (left, doomed, fresh)]
        body = "ops.vm_provision(values['doomed'])\n" + KILL_IN_VERB
        lab.run_until_killed(
            body, verb="provision", moment="after the call", params=left, doomed=doomed
        )
        lab.end_leases()
        values = {"doomed": doomed, "fresh": fresh, "timeout": lab.cloud.timeout}
        told = _at_once(lab, [_RECOVERING, _RECOVERING, _LIVING], **values)
        assert told[2].split() == ["SUCCEEDED"] * 2, told
        lab.end_leases()
        recover_to_the_end(lab.cloud.config, lab.journal, lab.cloud.timeout)
        assert lab.alive(ops, *names) == sorted([names[0], names[2]]), told
        assert lab.states() == dict(zip(names, ["LIVE", "GONE", "LIVE"], strict=True)), told


def _at_once(lab: Lab, bodies: list[str], **values: Any) -> list[str]:  # noqa: ANN401
    """What new processes printed that began in the same moment; all must end well."""
    commands = [lab.script(_STARTING_LINE + body, **values) for body in bodies]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        for command in commands
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=lab.cloud.timeout + 60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), told
    return told


_RECOVERY: Final = """
from vmops.testing.settling import recover_to_the_end
found = recover_to_the_end(values["config"], values["journal"], values["timeout"])
print(*((item.vm, item.was, item.found.value, item.error) for item in found))
"""
_STARTING_LINE: Final = """
ops.list_vms()
print("ready", flush=True)
sys.stdin.readline()
"""
_RECOVERING: Final = """
for item in ops.recover():
    print(item.vm, item.was, item.found.value, item.error)
"""
_LIVING: Final = """
for answer in (ops.vm_provision(values["fresh"]), ops.vm_deprovision(values["doomed"])):
    status, result = answer
    if status is Status.PENDING:
        status, result = ops.wait_vm_operation({**result, "pollTimeout": values["timeout"]})
    print(status.name if result.error is None else result.error)
"""
