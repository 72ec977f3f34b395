"""Stopping a VM without waiting for its guest."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from vmops import State, Status, VMOps
from vmops_local.qmp import ask


@pytest.mark.parametrize("verb", ["vm_stop", "vm_restart"])
def test_force_does_not_wait_for_the_guest(tmp_path: Path, verb: str) -> None:
    """A frozen guest that would get an hour to shut down is off at once."""
    if shutil.which("qemu-system-x86_64") is None:
        assert not os.environ.get("VMOPS_REQUIRE_QEMU"), "QEMU is missing"
        pytest.skip("install QEMU: apt-get install --no-install-recommends qemu-system-x86")
    config = {"backend": "local", "stateDir": str(tmp_path / "vms"), "graceSeconds": 3600}
    vm: dict[str, Any] = {"vmName": "web-1"}
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        assert ops.wait_vm_operation(ops.vm_provision(vm)[1])[0] is Status.SUCCEEDED
        ask(tmp_path / "vms" / "vms" / "web-1", [("stop", {})])
        status, result = getattr(ops, verb)({**vm, "force": True})
        assert status is Status.PENDING
        status, info = ops.wait_vm_operation({**result, "pollTimeout": 30})
        assert status is Status.SUCCEEDED, info.error
        assert ops.describe(vm).state is (State.RUNNING if verb == "vm_restart" else State.STOPPED)
        ops.vm_deprovision(vm)
