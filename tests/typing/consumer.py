"""What a consumer's type checker must see. Checked by mypy, never run.

`type: ignore` marks what must be refused: were it accepted, mypy would call the mark unused.
"""

from __future__ import annotations

from typing import Any, assert_type

from vmops import VM, Result, Status, SupportsVMOps, VMOps, machine


def seven_methods(cloud: SupportsVMOps, params: dict[str, Any]) -> Status:
    """Each verb and each wait answers `(Status, dict)`, and takes the other's dict as it is."""
    status, result = assert_type(cloud.vm_provision(params), tuple[Status, dict[str, Any]])
    if status.is_pending():
        status, result = cloud.wait_vm_deployment(True, result)
    for verb in (cloud.vm_start, cloud.vm_stop, cloud.vm_restart, cloud.vm_deprovision):
        status, result = cloud.wait_vm_operation(verb(result)[1])
    return status


def facade_is_a_cloud() -> None:
    """`VMOps` is a `SupportsVMOps`, closes as a context manager, and knows bulk calls."""
    with VMOps({"backend": "sim"}, journal=None) as ops:
        cloud: SupportsVMOps = ops
        seven_methods(cloud, {"vmName": "web-1"})
        for index, _, result in ops.run_many("vm_start", [{"vmName": "web-1"}]):
            assert_type(index, int)
            assert_type(result, Result)
        assert_type(ops.describe({"vmName": "web-1"}), VM)


def machine_for_a_block() -> None:
    """`machine` gives a named VM inside its block."""
    with machine({"vmName": "web-1"}) as vm:
        assert_type(vm.name, str)
        vm.restart()


def refused(ops: VMOps) -> None:
    """A string is no params, a string is no status enum, and a stranger is no cloud."""
    ops.vm_start("web-1")  # type: ignore[arg-type]
    VMOps(status="mine")  # type: ignore[arg-type]
    _: SupportsVMOps = object()  # type: ignore[assignment]
