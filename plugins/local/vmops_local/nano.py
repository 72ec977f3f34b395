"""The default guest: our own boot sector (`boot.S`), a real VM in 0.2 seconds and 50 MB."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from vmops_local.parts import Disk, GuestParts

__all__ = ["write_nano_guest"]

_DISK = "disk.raw"
_MIB = 1 << 20


def write_nano_guest(folder: Path) -> GuestParts:
    """The boot sector's guest, its disk written to `folder`.

    Raises:
        FileExistsError: The folder holds the disk already.
    """
    sector = resources.files("vmops_local").joinpath("boot.bin").read_bytes()
    descriptor = os.open(folder / _DISK, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as disk:
        disk.write(sector)
        disk.truncate(_MIB)
    return GuestParts(disks=(Disk(_DISK),), login="", memory_mib=16, boot_seconds=60.0)
