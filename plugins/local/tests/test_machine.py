"""The engine under faults: real QEMU processes, killed, frozen, raced for and lied about."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from vmops.errors import CloudError, Conflict, MissingDependency
from vmops_local import host
from vmops_local.host import KvmVerdicts, Qemu, find_qemu, install_line
from vmops_local.machine import Machines, Plan, Snapshot
from vmops_local.nano import write_nano_guest
from vmops_local.process import PID_FILE, is_alive
from vmops_local.qmp import ask
from vmops_local.record import RECORD, read_record, write_record

HERE = Path(__file__).parent
needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-x86_64") is None and not os.environ.get("VMOPS_REQUIRE_QEMU"),
    reason="install QEMU: apt-get install --no-install-recommends qemu-system-x86",
)


def plan(name: str, token: str = "t1") -> Plan:
    """A VM of the default guest."""
    return Plan(name, token, {}, "nano", 0, 1, "tcg", lambda folder, _: write_nano_guest(folder))


def wait_for(machines: Machines, name: str, phase: str, seconds: float = 30.0) -> Snapshot:
    """The VM, once it is in a phase. Real processes change: there is no clock to inject."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        snapshot = machines.look(name)
        if snapshot is not None and snapshot.phase == phase:
            return snapshot
        time.sleep(0.01)
    pytest.fail(f"{name} is {snapshot.phase if snapshot else 'absent'}, not {phase}")


def pid_of(folder: Path) -> int:
    """The pid of a VM's QEMU."""
    return int((folder / PID_FILE).read_text())


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    """An empty state folder; what is in it after the test is deleted."""
    machines = Machines(tmp_path / "state", find_qemu)
    yield machines
    for name in machines.names():
        machines.delete(name)


@needs_qemu
def test_boot_counter_survives_stop_and_kill(machines: Machines, tmp_path: Path) -> None:
    """The disk outlives the process, whether it ends by its power button or by SIGKILL."""
    machines.create(plan("a"))
    assert wait_for(machines, "a", "running").boot_count == 1
    machines.press_power_button("a", "op-1", grace=20)
    assert not wait_for(machines, "a", "stopped").record.forced
    machines.start("a", "op-2")
    assert wait_for(machines, "a", "running").boot_count == 2
    os.kill(pid_of(tmp_path / "state" / "vms" / "a"), signal.SIGKILL)
    wait_for(machines, "a", "stopped")
    machines.start("a", "op-3")
    assert wait_for(machines, "a", "running").boot_count == 3


@needs_qemu
def test_killed_while_booting_can_be_started(machines: Machines, tmp_path: Path) -> None:
    """A QEMU that dies before its guest is ready leaves a stopped VM."""
    machines.create(plan("a"))
    os.kill(pid_of(tmp_path / "state" / "vms" / "a"), signal.SIGKILL)
    wait_for(machines, "a", "stopped")
    machines.start("a", "op-1")
    wait_for(machines, "a", "running")


@needs_qemu
def test_frozen_guest_is_forced_off(machines: Machines, tmp_path: Path) -> None:
    """A guest that does not heed the button is ended after the grace period, and that is said."""
    machines.create(plan("a"))
    wait_for(machines, "a", "running")
    ask(tmp_path / "state" / "vms" / "a", [("stop", {})])
    machines.press_power_button("a", "op-1", grace=0.3)
    assert wait_for(machines, "a", "stopped").record.forced


@needs_qemu
def test_frozen_qemu_is_killed(machines: Machines, tmp_path: Path) -> None:
    """A QEMU that does not even answer QMP (SIGSTOP) is deleted all the same."""
    machines.create(plan("a"))
    wait_for(machines, "a", "running")
    folder = tmp_path / "state" / "vms" / "a"
    pid = pid_of(folder)
    os.kill(pid, signal.SIGSTOP)
    machines.delete("a")
    assert machines.look("a") is None
    assert not folder.exists()


@needs_qemu
def test_button_pressed_while_booting_is_pressed_again(machines: Machines) -> None:
    """A stop that comes before the guest can see it is not lost."""
    machines.create(plan("a"))
    machines.press_power_button("a", "op-1", grace=30)
    assert not wait_for(machines, "a", "stopped").record.forced


@needs_qemu
def test_a_strangers_pid_is_never_signalled(machines: Machines, tmp_path: Path) -> None:
    """A pid file that names another process does not get that process killed."""
    machines.create(plan("a"))
    wait_for(machines, "a", "running")
    folder = tmp_path / "state" / "vms" / "a"
    pid = pid_of(folder)
    os.kill(pid, signal.SIGKILL)
    wait_for(machines, "a", "stopped")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        (folder / PID_FILE).write_text(str(stranger.pid))
        machines.delete("a")
        assert stranger.poll() is None
        stranger.kill()


@needs_qemu
def test_same_token_finds_the_vm_another_is_a_conflict(machines: Machines) -> None:
    """Creating again with the token is the same VM; with another token it is refused."""
    first = machines.create(plan("a"))
    assert machines.create(plan("a")) == first
    with pytest.raises(Conflict, match="'a'"):
        machines.create(plan("a", token="t2"))


def _race(state: Path) -> str:
    return Machines(state, find_qemu).create(plan("raced"))


@needs_qemu
def test_eight_processes_race_for_one_name(machines: Machines, tmp_path: Path) -> None:
    """Eight processes that create one VM make one QEMU."""
    with multiprocessing.get_context("spawn").Pool(8) as pool:
        made = pool.map(_race, [tmp_path / "state"] * 8)
    assert len(set(made)) == 1
    wait_for(machines, "raced", "running")
    commands = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists()]
    assert sum(made[0].encode() in command for command in commands) == 1


@needs_qemu
@pytest.mark.parametrize(
    "folder", ["we,ird dir=x", "/".join(["d" * 60] * 3)], ids=["comma", "long"]
)
def test_odd_folders(tmp_path: Path, folder: str) -> None:
    """Commas in the path are no QEMU syntax, and a socket path over 108 bytes works."""
    machines = Machines(tmp_path / folder, find_qemu)
    machines.create(plan("a"))
    try:
        wait_for(machines, "a", "running")
    finally:
        machines.delete("a")
    assert machines.names() == []


@needs_qemu
def test_half_made_vm_is_made_anew(machines: Machines, tmp_path: Path) -> None:
    """What a killed creator left behind does not hinder the next one, and is no VM."""
    left = tmp_path / "state" / "vms" / ".making-a"
    left.mkdir(parents=True)
    (left / "disk.raw").write_bytes(b"half")
    assert machines.names() == []
    machines.create(plan("a"))
    wait_for(machines, "a", "running")
    assert not left.exists()


@needs_qemu
def test_a_vm_made_but_not_launched_is_started_by_its_token(machines: Machines) -> None:
    """A creator killed between record and launch leaves a stopped VM that a repeat launches."""
    machines._make(plan("a"))
    assert wait_for(machines, "a", "stopped").record.token == "t1"
    machines.create(plan("a"))
    wait_for(machines, "a", "running")


def test_qemu_that_ends_at_once_leaves_nothing(tmp_path: Path) -> None:
    """When QEMU does not come up, its own last words are in the error and nothing remains."""
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\necho 'no such machine type' >&2\nexit 1\n")
    program.chmod(0o700)
    machines = Machines(tmp_path / "state", lambda: Qemu(str(program), "7.0"))
    with pytest.raises(CloudError, match="no such machine type"):
        machines.create(plan("a"))
    assert machines.names() == []
    assert list((tmp_path / "state" / "vms").iterdir()) == []


def test_missing_qemu_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without QEMU nothing is made, and the error holds the one line for this host."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(host, "_in_quicksand", lambda: None)
    with pytest.raises(MissingDependency) as caught:
        Machines(tmp_path / "state", find_qemu).create(plan("a"))
    assert caught.value.install == install_line()
    assert not (tmp_path / "state" / "vms").exists()


@pytest.mark.parametrize(
    ("release", "line"),
    [
        ("ID=debian\n", "apt-get install -y --no-install-recommends qemu-system-x86"),
        (
            "ID=ubuntu\nID_LIKE=debian\n",
            "apt-get install -y --no-install-recommends qemu-system-x86",
        ),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install -y qemu-system-x86-core"),
        ("ID=alpine\n", "apk add qemu-system-x86_64"),
        ("ID=plan9\n", "package manager"),
    ],
)
def test_install_lines(release: str, line: str) -> None:
    """The line is for the system in /etc/os-release, or for what that system is like."""
    assert line in install_line(release)


@needs_qemu
def test_corrupt_record_is_named_and_left(machines: Machines, tmp_path: Path) -> None:
    """A record that cannot be read is an error that names the file; nothing is deleted."""
    machines.create(plan("a"))
    wait_for(machines, "a", "running")
    folder = tmp_path / "state" / "vms" / "a"
    good = (folder / RECORD).read_bytes()
    (folder / RECORD).write_text("{ not json")
    for act in (lambda: machines.look("a"), lambda: machines.delete("a")):
        with pytest.raises(CloudError, match=RECORD):
            act()
    assert is_alive(folder)
    (folder / RECORD).write_bytes(good)


def test_a_lock_that_is_held_is_waited_for_then_named(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that holds the VM's lock leads to a clear error, not to a wait for ever."""
    monkeypatch.setattr("vmops_local.machine._LOCK_SECONDS", 0.1)
    with machines._lock("a"), pytest.raises(Conflict, match="locked by another process"):
        machines.delete("a")
    machines.delete("a")


def test_unwritable_state_folder(tmp_path: Path) -> None:
    """A state folder that cannot be written is a clear error that names it."""
    (tmp_path / "file").write_text("")
    machines = Machines(tmp_path / "file" / "state", lambda: Qemu("/bin/false", "7"))
    with pytest.raises(CloudError, match="file/state"):
        machines.create(plan("a"))


@needs_qemu
def test_kvm_that_does_not_boot_is_demoted(
    machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first boot under KVM that is not ready in time is repeated under TCG, and remembered."""
    machines.create(plan("a"))
    wait_for(machines, "a", "running")
    folder = tmp_path / "state" / "vms" / "a"
    ask(folder, [("stop", {})])
    record = read_record(folder)
    assert record is not None
    # as if this boot were KVM's first, had begun long ago and printed nothing since
    offset = (folder / "serial.log").stat().st_size
    trial = replace(
        record, accel="auto", booted_with="kvm", on_trial=True, offset=offset, started=1.0
    )
    write_record(folder, trial)
    monkeypatch.setattr("vmops_local.machine.kvm_present", lambda: True)
    snapshot = wait_for(machines, "a", "running")
    assert (snapshot.record.booted_with, snapshot.record.on_trial) == ("tcg", False)
    assert KvmVerdicts(tmp_path / "state").get(find_qemu(), "nano") is False


def test_boot_sector_is_what_its_source_says(tmp_path: Path) -> None:
    """boot.bin is boot.S, assembled."""
    tools = ("as", "ld")
    if not all(map(shutil.which, tools)):
        pytest.skip("binutils assembles it: apt-get install binutils")
    source = HERE.parent / "vmops_local" / "boot.S"
    subprocess.run(["as", "--32", "-o", "boot.o", source], cwd=tmp_path, check=True)
    link = ["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", "boot.bin"]
    subprocess.run([*link, "boot.o"], cwd=tmp_path, check=True)
    built = (tmp_path / "boot.bin").read_bytes()
    assert len(built) == 512
    assert built == source.with_suffix(".bin").read_bytes()


@needs_qemu
def test_state_is_private(machines: Machines, tmp_path: Path) -> None:
    """Every folder of the state is 0700, every file 0600 but for shared kernels."""
    machines.create(plan("a"))
    wait_for(machines, "a", "running")
    for path in (tmp_path / "state").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
