"""The life of VMs by which tests of policies see what a principal must be allowed."""

from __future__ import annotations

from typing import Any

from vmops import Status, VMOps


class Life:
    """Drives VMs through what a user can ask for."""

    def __init__(self, ops: VMOps) -> None:
        self.ops = ops

    def do(self, verb: str, *wanted: dict[str, Any]) -> None:
        """One verb for these VMs, waited for to its end."""
        pending = []
        for _, status, result in self.ops.run_many(verb, wanted):
            assert status is Status.PENDING, result.error
            pending.append(result)
        ended = [status for _, status, _ in self.ops.wait_many(pending)]
        assert ended == [Status.SUCCEEDED] * len(wanted)

    def renew(self, vm: dict[str, Any]) -> None:
        """Postpone the end of a VM."""
        status, result = self.ops.renew({**vm, "ttl": 600})
        assert status is Status.SUCCEEDED, result.error

    def left_over(self, cloud: Any) -> None:
        """A VM that nobody waits for, until recovery finds it and reaping deletes it."""
        status, result = self.ops.vm_provision({"vmName": "late-1", "ttl": 60})
        assert status is Status.PENDING, result.error
        self.ops.recover()
        assert [vm.name for vm in self.ops.list_vms()] == ["late-1"]
        cloud.advance(120)
        assert [item.vm.name for item in self.ops.reap(yes=True)] == ["late-1"]
