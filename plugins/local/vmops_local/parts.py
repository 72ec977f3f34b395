"""What a guest consists of, as files in its VM's own folder, for whoever starts QEMU.

Names of files are relative to that folder and are our own constants, so nothing a user gave can
reach QEMU's option strings; the one path from outside, an overlay's base, goes into JSON only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmops_local.disk_format import DiskFormat
from vmops_local.image import LocalImage

__all__ = ["Disk", "GuestParts"]


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk of a guest, in the order in which the firmware tries them.

    Args:
        file: Its file in the VM's folder.
        format: Its format; QEMU is told, and never guesses.
        read_only: Whether the guest may only read it.
        base: The image below an overlay.
    """

    file: str
    format: DiskFormat = DiskFormat.RAW
    read_only: bool = False
    base: LocalImage | None = None

    def to_blockdev(self) -> dict[str, Any]:
        """The disk as the value of QEMU's `-blockdev`, but for its `node-name`.

        The base is spelled out, with no base of its own, so that QEMU opens exactly the file that
        was checked, whatever headers say.
        """
        node = _file_node(self.format, self.file, read_only=self.read_only)
        if self.base is not None:
            path = str(self.base.path)
            node["backing"] = _file_node(self.base.facts.format, path, read_only=True)
            if self.base.facts.format is DiskFormat.QCOW2:
                node["backing"]["backing"] = None
        return node


@dataclass(frozen=True, slots=True)
class GuestParts:
    """A guest whose files are written.

    Args:
        disks: Its disks; attach each as virtio-blk.
        login: The account that takes the SSH key.
        memory_mib: The least memory it runs well with, in MiB.
        boot_seconds: How long a boot may take under emulation before something is wrong.
        kernel: The kernel's file in the VM's folder; empty where the disk boots by itself. Give no
            disk a bootindex of 0 beside it: the kernel has that one.
        initramfs: The initramfs's file in the VM's folder.
        command_line: The kernel's command line.

    Attach a virtio network card, and a virtio-rng device: without it, a first boot waits seconds
    for the kernel to gather randomness.
    """

    disks: tuple[Disk, ...]
    login: str
    memory_mib: int
    boot_seconds: float
    kernel: str = ""
    initramfs: str = ""
    command_line: str = ""


def _file_node(format_: DiskFormat, path: str, *, read_only: bool) -> dict[str, Any]:
    return {
        "driver": format_.value,
        "read-only": read_only,
        "file": {"driver": "file", "filename": path, "read-only": read_only},
    }
