"""Real boots, by a bare QEMU and by the engine: guest=linux is logged in to, image= is kept."""

from __future__ import annotations

import hashlib
import json
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from vmops.errors import CloudError
from vmops_local.files import cache_folder
from vmops_local.host import find_qemu
from vmops_local.image import obtain_image
from vmops_local.image_guest import write_image_guest
from vmops_local.linux import write_linux_guest
from vmops_local.linux_cache import LinuxBuild, ensure_build
from vmops_local.machine import Machines, Plan, Snapshot
from vmops_local.parts import GuestParts
from vmops_local.seed import Identity

QEMU = shutil.which("qemu-system-x86_64")
PATIENCE = 120.0
pytestmark = pytest.mark.skipif(
    QEMU is None, reason="install QEMU: apt-get install --no-install-recommends qemu-system-x86"
)

# A disk that counts its boots in its second sector and prints the label of the second disk:
#   read LBA 1 (int 13h, AH=42h), inc byte [7E00h], write it back (AH=43h), read LBA 64 of drive 81h
#   to 8000h, print "READY toy boot=" + counter + " " + the volume name at 8028h on COM1, halt.
BOOT_SECTOR = bytes.fromhex(
    "31c08ed88ec08ed0bc007cfcfbbe787cb442cd137235fe06007ebe787cb80043cd137227be887cb281b442cd13"
    "be687ce81b00a0007e0430e81e00b020e81900be2880e80800b00ae80e00f4ebfdac84c07405e80300ebf6c350"
    "bafd03eca82074fb58baf803eec3524541445920746f7920626f6f743d0010000100007e000001000000000000"
    "00100001000080000040000000000000 00"
)


class BareQemu:
    """One QEMU process, its serial log and its QMP on its own standard streams."""

    def __init__(self, folder: Path, guest: GuestParts) -> None:
        self.serial = folder / "serial.log"
        self._from = self.serial.stat().st_size if self.serial.exists() else 0
        command = [QEMU or "", "-nodefaults", "-no-user-config", "-display", "none", "-M", "q35"]
        command += ["-accel", "tcg", "-m", "128", "-chardev", "stdio,id=q", "-mon"]
        command += ["chardev=q,mode=control", "-chardev", "file,id=s,path=serial.log,append=on"]
        command += ["-serial", "chardev:s"]
        if guest.kernel:
            command += ["-kernel", guest.kernel, "-initrd", guest.initramfs]
            command += ["-append", guest.command_line, "-device", "virtio-rng-pci"]
            command += ["-netdev", "user,id=n,hostfwd=tcp:127.0.0.1:0-:22"]
            command += ["-device", "virtio-net-pci,netdev=n,romfile="]
        for number, disk in enumerate(guest.disks):
            name = f"disk{number}"
            command += ["-blockdev", json.dumps({"node-name": name, **disk.to_blockdev()})]
            device: dict[str, object] = {"driver": "virtio-blk-pci", "drive": name}
            if not guest.kernel:  # which is booted first by itself
                device["bootindex"] = number
            command += ["-device", json.dumps(device)]
        self.process = subprocess.Popen(  # unbuffered: select must see what readline has not taken
            command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def greet(self) -> None:
        """Wait for QEMU's greeting and begin to talk."""
        self._answer()
        self.qmp("qmp_capabilities")

    def _answer(self) -> dict[str, object]:
        pipe = self.process.stdout
        assert pipe is not None
        assert select.select([pipe], [], [], PATIENCE)[0], "QEMU does not answer"
        line = pipe.readline()
        assert line, f"QEMU ended with code {self.process.wait(PATIENCE)}"
        answer: dict[str, object] = json.loads(line)
        return answer

    def qmp(self, command: str, **arguments: object) -> object:
        """What QEMU answers, events aside."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"execute": command, "arguments": arguments}).encode())
        self.process.stdin.flush()
        while "return" not in (answer := self._answer()):
            assert "event" in answer, answer
        return answer["return"]

    def wait_ready(self) -> str:
        """The READY line of this boot, with what was printed before it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            said = self.serial.read_bytes()[self._from :].decode(errors="replace")
            assert "FAILED vmops" not in said, said
            if re.search(r"READY [^\r\n]*\r?\n", said):
                return said
            assert self.process.poll() is None, f"QEMU ended: {said}"
            time.sleep(0.02)  # a real machine boots: there is no clock to inject
        pytest.fail(f"no READY within {PATIENCE} s; the serial port said: {said[-2000:]}")

    def ssh_port(self) -> int:
        """The port on loopback that leads to the guest's port 22."""
        table = str(self.qmp("human-monitor-command", **{"command-line": "info usernet"}))
        found = re.search(r"HOST_FORWARD\S*\s+\d+\s+127\.0\.0\.1\s+(\d+)", table)
        assert found, table
        return int(found[1])

    def press_power_button(self) -> None:
        """Press it and wait until the machine is off."""
        self.qmp("system_powerdown")
        assert self.process.wait(PATIENCE) == 0

    def close(self) -> None:
        """End the process, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


Start = Callable[[GuestParts], BareQemu]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts QEMU in the test's folder; every process is ended after the test."""
    with ExitStack() as stack:

        def run(guest: GuestParts) -> BareQemu:
            machine = BareQemu(tmp_path, guest)
            stack.callback(machine.close)
            machine.greet()
            return machine

        yield run


@pytest.fixture(scope="module")
def build() -> LinuxBuild:
    """The linux guest from the user's cache, or built now if apt can."""
    try:
        return ensure_build(cache_folder())
    except CloudError as exc:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"guest=linux cannot be built here: {exc}")


class Ssh:
    """The ssh client with a fresh key and the one host key it is told to expect."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", "id"]
        subprocess.run(keygen, cwd=folder, check=True)
        self.public_key = (folder / "id.pub").read_text()

    def expect(self, host_key: str) -> None:
        """Trust this host key and no other."""
        (self.folder / "known_hosts").write_text(f"guest {host_key}\n")

    def run(self, port: int, command: str, *, key: str = "id") -> subprocess.CompletedProcess[str]:
        """What the command printed in the guest."""
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "60",
            "HostKeyAlias": "guest",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": "known_hosts",
        }
        flags = [text for name, value in options.items() for text in ("-o", f"{name}={value}")]
        whole = ["ssh", "-F", "none", *flags, "-i", key, "-p", str(port), "root@127.0.0.1", command]
        return subprocess.run(
            whole, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE, check=False
        )


@pytest.mark.skipif(shutil.which("ssh") is None, reason="logs in with the ssh client")
@pytest.mark.timeout(600)
def test_guest_linux_takes_an_ssh_login_and_keeps_its_disk(
    build: LinuxBuild, start: Start, tmp_path: Path
) -> None:
    """READY means a login works; host key, /var and user data's one run survive the button."""
    ssh = Ssh(tmp_path)
    user_data = "#!/bin/sh\necho ran >>/var/lib/once\n"
    guest = write_linux_guest(
        tmp_path, build, Identity("web-1", "uuid-1", ssh.public_key, user_data), disk_size_gb=3
    )
    host_keys = []
    for boot in (1, 2):
        machine = start(guest)
        said = machine.wait_ready()
        assert f"READY vmops boot={boot}\r\n" in said
        host_keys += re.findall(r"HOSTKEY (ssh-ed25519 \S+)", said)
        ssh.expect(host_keys[-1])
        port = machine.ssh_port()
        done = ssh.run(port, "hostname; cat /var/lib/once; cat /root/x; echo hi >/root/x")
        assert done.stdout == "web-1\nran\n", done  # /root is in memory: never there at boot
        size_gib = ssh.run(port, "df -m /var | awk 'END { print int($2 / 1000 + .5) }'")
        assert size_gib.stdout == "3\n"
        machine.press_power_button()
    assert len(set(host_keys)) == 1
    assert len(host_keys) == 2
    assert (tmp_path / "disk.raw").stat().st_blocks * 512 < 200 << 20


@pytest.mark.skipif(shutil.which("ssh") is None, reason="logs in with the ssh client")
@pytest.mark.timeout(600)
def test_guest_linux_refuses_other_keys_and_survives_a_kill(
    build: LinuxBuild, start: Start, tmp_path: Path
) -> None:
    """Another key is no login, nor is a password; after a kill the disk mounts and counts."""
    ssh = Ssh(tmp_path)
    (tmp_path / "other").mkdir()
    Ssh(tmp_path / "other")
    guest = write_linux_guest(tmp_path, build, Identity("web-1", "uuid-1", ssh.public_key))
    machine = start(guest)
    ssh.expect(re.findall(r"HOSTKEY (ssh-ed25519 \S+)", machine.wait_ready())[0])
    refused = ssh.run(machine.ssh_port(), "id", key="other/id")
    assert refused.returncode == 255
    assert "Permission denied (publickey)" in refused.stderr
    assert ssh.run(machine.ssh_port(), "echo kept >/var/kept; sync").returncode == 0
    machine.close()
    machine = start(guest)
    assert "READY vmops boot=2\r\n" in machine.wait_ready()
    # what a user types ends the machine as the button does
    assert ssh.run(machine.ssh_port(), "cat /var/kept; poweroff").stdout == "kept\n"
    assert machine.process.wait(PATIENCE) == 0


@pytest.mark.parametrize("base_format", ["raw", "qcow2"])
def test_an_image_boots_from_an_overlay_and_stays_as_it_was(
    start: Start, tmp_path: Path, base_format: str
) -> None:
    """The VM counts its boots on its own disk, sees its seed, and the base never changes."""
    base = tmp_path / "we,ird base.img"
    base.write_bytes(BOOT_SECTOR.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    if base_format == "qcow2":
        qemu_img = shutil.which("qemu-img")
        if qemu_img is None:
            pytest.skip("qemu-img (package qemu-utils) makes the qcow2 base")
        raw = base.rename(tmp_path / "raw")
        subprocess.run([qemu_img, "convert", "-O", "qcow2", raw, base], check=True)
    base.chmod(0o400)
    before = hashlib.sha256(base.read_bytes()).digest(), base.stat().st_mtime_ns
    image = obtain_image(str(base), "", tmp_path / "cache")
    assert image.facts.format == base_format
    guest = write_image_guest(tmp_path, image, Identity("web-1", "uuid-1"), disk_size_gb=1)
    for boot in (1, 2):
        machine = start(guest)
        assert f"READY toy boot={boot} cidata " in machine.wait_ready()
        nodes: Any = machine.qmp("query-named-block-nodes")
        assert 1 << 30 in [node["image"]["virtual-size"] for node in nodes]
        machine.close()
    assert (hashlib.sha256(base.read_bytes()).digest(), base.stat().st_mtime_ns) == before


@pytest.mark.skipif(shutil.which("qemu-img") is None, reason="qemu-img makes the hostile image")
def test_a_base_that_changes_after_the_check_leads_nowhere(start: Start, tmp_path: Path) -> None:
    """An image that gains a backing file after it was checked does not make QEMU open that."""
    base, secret = tmp_path / "base.qcow2", tmp_path / "secret"
    make = [str(shutil.which("qemu-img")), "create", "-q", "-f", "qcow2"]
    subprocess.run([*make, base, "1M"], check=True)
    image = obtain_image(str(base), "", tmp_path / "cache")
    guest = write_image_guest(tmp_path, image, Identity("web-1", "uuid-1"))
    secret.write_bytes(b"secret".ljust(1 << 20))
    subprocess.run([*make, "-b", secret, "-F", "raw", base, "1M"], check=True)
    nodes: Any = start(guest).qmp("query-named-block-nodes")
    assert str(base) in {node["file"] for node in nodes}
    assert str(secret) not in {node["file"] for node in nodes}


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    """The engine on a state folder of its own; whatever it runs is ended after the test."""
    engine = Machines(tmp_path / "state", find_qemu)
    yield engine
    for name in engine.names():
        engine.delete(name)


def wait_for(machines: Machines, phase: str) -> Snapshot:
    """The VM once it is in this phase."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        snapshot = machines.look("web-1")
        assert snapshot is not None
        assert snapshot.phase != "failed", snapshot.problem
        if snapshot.phase == phase:
            return snapshot
        time.sleep(0.02)  # a real machine boots: there is no clock to inject
    pytest.fail(f"VM never {phase} within {PATIENCE} s")


@pytest.mark.skipif(shutil.which("ssh") is None, reason="logs in with the ssh client")
@pytest.mark.timeout(600)
def test_the_engine_runs_guest_linux(build: LinuxBuild, machines: Machines, tmp_path: Path) -> None:
    """Made, logged in to, stopped by its button, started, deleted; the shared build stays whole."""
    before = hashlib.sha256(build.initramfs.read_bytes()).digest()
    ssh = Ssh(tmp_path)

    def write(folder: Path, uuid: str) -> GuestParts:
        return write_linux_guest(folder, build, Identity("web-1", uuid, ssh.public_key))

    machines.create(Plan("web-1", "token", {}, "linux", 0, 1, "tcg", write))
    for boot in (1, 2):
        snapshot = wait_for(machines, "running")
        assert snapshot.boot_count == boot
        assert snapshot.record.ssh_port
        (host_key,) = set(re.findall(r"HOSTKEY (ssh-ed25519 \S+)", snapshot.serial.read_text()))
        ssh.expect(host_key)
        assert ssh.run(snapshot.record.ssh_port, "hostname").stdout == "web-1\n"
        machines.press_power_button("web-1", "stop", 60.0)
        assert not wait_for(machines, "stopped").record.forced
        if boot == 1:
            machines.start("web-1", "start")
    machines.delete("web-1")
    assert machines.look("web-1") is None
    assert hashlib.sha256(build.initramfs.read_bytes()).digest() == before


def test_the_engine_runs_an_image(machines: Machines, tmp_path: Path) -> None:
    """The engine boots an overlay on an image, and deleting the VM leaves the image."""
    base = tmp_path / "base.img"
    base.write_bytes(BOOT_SECTOR.ljust(510, b"\0") + b"\x55\xaa" + bytes(1 << 20))
    before = base.read_bytes()
    image = obtain_image(str(base), "", tmp_path / "cache")

    def write(folder: Path, uuid: str) -> GuestParts:
        return write_image_guest(folder, image, Identity("web-1", uuid))

    machines.create(Plan("web-1", "token", {}, "image", 64, 1, "tcg", write))
    snapshot = wait_for(machines, "running")
    assert "READY toy boot=1 cidata" in snapshot.serial.read_text()
    machines.delete("web-1")
    assert base.read_bytes() == before
