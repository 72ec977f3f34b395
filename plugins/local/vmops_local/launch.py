"""Starting QEMU: what its command line says, and whether it came up.

Nothing that a user gave reaches QEMU's option strings, in which a comma is syntax: names are
checked, files are relative constants in the VM's folder, devices are JSON, the QMP socket is a file
descriptor.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmops.errors import CloudError, Unavailable
from vmops_local.host import Qemu
from vmops_local.parts import GuestParts
from vmops_local.process import LOG, PID_FILE, hold_alive_lock, is_alive, spawn
from vmops_local.qmp import SOCKET, ask, open_folder

__all__ = ["SERIAL", "Boot", "launch", "read_ssh_port"]

SERIAL: Final = "serial.log"
_GREETING_SECONDS: Final = 60.0
_SANDBOX: Final = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
_SSH_FORWARD: Final = re.compile(r"HOST_FORWARD\S*\s+\d+\s+127\.0\.0\.1\s+(\d+)")


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot of one VM.

    Args:
        name: The VM's name, as checked.
        uuid: Its UUID, by which its process is known.
        parts: Its guest.
        memory_mib: Memory in MiB.
        cpus: Virtual processors.
        accel: `tcg` or `kvm`.
    """

    name: str
    uuid: str
    parts: GuestParts
    memory_mib: int
    cpus: int
    accel: str


def launch(folder: Path, boot: Boot, qemu: Qemu) -> None:
    """Start QEMU in the VM's folder and return when it has come up (the guest has not yet).

    Raises:
        CloudError: QEMU ended at once; the message has its own last words.
        Unavailable: QEMU runs but does not answer.
    """
    listener = _listen(folder)
    try:
        lock = hold_alive_lock(folder)
    except BlockingIOError:
        listener.close()
        return  # it runs already
    try:
        (folder / PID_FILE).unlink(missing_ok=True)
        command = [qemu.program, *qemu.arguments, *_arguments(boot, listener.fileno())]
        inherited = (listener.fileno(), lock)
        spawn(command, folder, inherited, dict(qemu.environment))
    except OSError as exc:
        message = f"QEMU {qemu.program} cannot be started: {exc}"
        raise CloudError(message, provider_code="QemuNotStarted") from exc
    finally:
        os.close(lock)
        listener.close()
    try:
        ask(folder, timeout=_GREETING_SECONDS)
    except Unavailable as exc:
        if is_alive(folder):
            raise
        raise CloudError(
            f"QEMU of VM {boot.name!r} ended at once: {_last_words(folder)}",
            provider_code="QemuEnded",
            hint="`vmops doctor` checks QEMU on this machine",
        ) from exc


def read_ssh_port(folder: Path) -> int | None:
    """The port on 127.0.0.1 that leads to the guest's port 22, or None if QEMU tells none."""
    usernet = ask(folder, [("human-monitor-command", {"command-line": "info usernet"})])[0]
    match = _SSH_FORWARD.search(str(usernet))
    return int(match[1]) if match else None


def _listen(folder: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        with open_folder(folder) as short:
            (folder / SOCKET).unlink(missing_ok=True)
            listener.bind(f"{short}/{SOCKET}")
        (folder / SOCKET).chmod(0o600)
        listener.listen(8)
    except BaseException:
        listener.close()
        raise
    return listener


def _arguments(boot: Boot, listener: int) -> Iterator[str]:
    yield from ("-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35")
    # big guests fill the translation cache, which would grow to a gigabyte
    yield from ("-accel", "kvm" if boot.accel == "kvm" else "tcg,tb-size=128")
    yield from ("-m", str(boot.memory_mib), "-smp", str(boot.cpus))
    yield from ("-name", f"guest={boot.name}", "-uuid", boot.uuid, "-pidfile", PID_FILE)
    yield from ("-chardev", f"socket,id=qmp,fd={listener},server=on,wait=off")
    yield from ("-mon", "chardev=qmp,mode=control")
    yield from ("-chardev", f"file,id=serial,path={SERIAL},append=on", "-serial", "chardev:serial")
    yield from ("-sandbox", _SANDBOX)
    parts = boot.parts
    for number, disk in enumerate(parts.disks):
        node = {"node-name": f"disk{number}", **disk.to_blockdev()}
        device: dict[str, object] = {"driver": "virtio-blk-pci", "drive": node["node-name"]}
        if not parts.kernel:
            device["bootindex"] = number
        yield from ("-blockdev", json.dumps(node), "-device", json.dumps(device))
    if parts.kernel:
        yield from ("-kernel", parts.kernel, "-initrd", parts.initramfs)
        yield from ("-append", parts.command_line)
    if parts.login:
        network = {"type": "user", "id": "net", "hostfwd": [{"str": "tcp:127.0.0.1:0-:22"}]}
        card = {"driver": "virtio-net-pci", "netdev": "net", "romfile": ""}
        yield from ("-netdev", json.dumps(network), "-device", json.dumps(card))
        yield from ("-device", json.dumps({"driver": "virtio-rng-pci"}))


def _last_words(folder: Path) -> str:
    try:
        said = (folder / LOG).read_text(errors="replace").strip()
    except OSError:
        return "it left no log"
    return said[-500:] or "it said nothing"
