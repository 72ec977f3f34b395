"""`guest=linux`: a real Debian kernel with busybox and an SSH server, in 128 MiB and seconds.

What a VM is told (its name, its key, a script) is on a small read-only disk of its own, so that the
initramfs is shared by all VMs and is built once; what it keeps (`/var`, the SSH host key, the boot
counter) is on its own writable disk.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from vmops_local.linux_cache import LinuxBuild
from vmops_local.overlay import GIB
from vmops_local.parts import Disk, GuestParts
from vmops_local.seed import Identity, write_linux_seed

__all__ = ["LOGIN", "write_linux_guest"]

LOGIN = "root"
"""The account that takes the SSH key."""

_KERNEL, _INITRAMFS, _DISK, _SEED = "vmlinuz", "initramfs.cpio", "disk.raw", "seed.tar"
_DEFAULT_DISK_GB = 1


def write_linux_guest(
    folder: Path, build: LinuxBuild, identity: Identity, *, disk_size_gb: int = 0
) -> GuestParts:
    """The linux guest, its files written to `folder`.

    Kernel and initramfs are linked there, so that a VM outlives the cache it was made from.

    Args:
        folder: The VM's own folder; it must hold none of the files yet.
        build: From `ensure_build`, called before anything is made.
        identity: Checked by `check_identity(..., script_only=True)`.
        disk_size_gb: The size of the disk below `/var` in GiB; it grows as it is filled.

    Raises:
        FileExistsError: The folder holds one of the files already.
    """
    _link(build.kernel, folder / _KERNEL)
    _link(build.initramfs, folder / _INITRAMFS)
    write_linux_seed(folder / _SEED, identity)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(folder / _DISK, flags, 0o600)
    try:
        os.truncate(descriptor, (disk_size_gb or _DEFAULT_DISK_GB) * GIB)
    finally:
        os.close(descriptor)
    return GuestParts(
        disks=(Disk(_DISK), Disk(_SEED, read_only=True)),
        login=LOGIN,
        memory_mib=128,
        boot_seconds=180.0,
        kernel=_KERNEL,
        initramfs=_INITRAMFS,
        command_line="console=ttyS0 quiet panic=1",
    )


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError as exc:
        if exc.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}:
            raise
        shutil.copyfile(source, target)  # another file system, or one without hard links
