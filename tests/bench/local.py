"""A real VM's way to READY, against bare QEMU on the same boot sector, alternating, medians.

Target: provision to READY of the default guest within 2 times bare QEMU's own time.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from vmops import Status, VMOps
from vmops_local.nano import write_nano_guest

RUNS = 9


def bare(folder: Path) -> float:
    """Seconds from starting QEMU by hand to READY on its serial port."""
    folder.mkdir()
    write_nano_guest(folder)
    command = "qemu-system-x86_64 -nodefaults -no-user-config -display none -machine q35 -accel tcg"
    command += " -m 16 -serial file:serial.log -drive file=disk.raw,format=raw,if=virtio"
    began = time.perf_counter()
    with subprocess.Popen(command.split(), cwd=folder) as process:
        log = folder / "serial.log"
        while not log.exists() or b"READY" not in log.read_bytes():
            time.sleep(0.002)
        took = time.perf_counter() - began
        process.kill()
    shutil.rmtree(folder)
    return took


def ours(ops: VMOps, name: str) -> float:
    """Seconds from vm_provision to the end of its wait."""
    began = time.perf_counter()
    _, pending = ops.vm_provision({"vmName": name, "accel": "tcg"})
    status, result = ops.wait_vm_operation(pending)
    took = time.perf_counter() - began
    assert status is Status.SUCCEEDED, result.error
    ops.wait_vm_operation(ops.vm_deprovision({"vmName": name})[1])
    return took


def eight(ops: VMOps, verb: str) -> float:
    """Seconds for one verb on eight VMs side by side, waits included."""
    names = [{"vmName": f"e-{i}"} for i in range(8)]
    began = time.perf_counter()
    pending = [result for _, _, result in ops.run_many(verb, names)]
    assert {status for _, status, _ in ops.wait_many(pending)} == {Status.SUCCEEDED}
    return time.perf_counter() - began


def main() -> None:
    """Print medians and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        config = {"backend": "local", "stateDir": f"{folder}/state"}
        with VMOps(config, journal=f"{folder}/journal/journal.db") as ops:
            ours(ops, "warm-up")
            pairs = [(bare(Path(folder, f"bare-{i}")), ours(ops, f"vm-{i}")) for i in range(RUNS)]
            for verb in ("provision", "stop", "start", "restart", "deprovision"):
                print(f"8 VMs, {verb:12} {eight(ops, verb):6.2f} s")
    theirs, own = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(
        f"bare QEMU to READY {theirs:.3f} s, provision to READY {own:.3f} s: {ratio:.2f} x (<= 2)"
    )


if __name__ == "__main__":
    main()
