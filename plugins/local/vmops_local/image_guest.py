"""`image=`: a VM from the user's own image, on an overlay, told who it is by a NoCloud seed."""

from __future__ import annotations

from pathlib import Path

from vmops_local.disk_format import DiskFormat
from vmops_local.image import LocalImage
from vmops_local.overlay import write_overlay
from vmops_local.parts import Disk, GuestParts
from vmops_local.seed import LOGIN, Identity, write_cloud_seed

__all__ = ["write_image_guest"]

_DISK, _SEED = "disk.qcow2", "seed.iso"


def write_image_guest(
    folder: Path, image: LocalImage, identity: Identity, *, disk_size_gb: int = 0
) -> GuestParts:
    """A guest that boots from an image, its files written to `folder`.

    Args:
        folder: The VM's own folder; it must hold none of the files yet.
        image: From `obtain_image`, called before anything is made.
        identity: Checked by `check_identity`.
        disk_size_gb: The disk's size in GiB; a smaller one than the image's has no effect.

    Raises:
        InvalidRequest: The image's path or `disk_size_gb` does not fit an overlay.
        FileExistsError: The folder holds one of the files already.
    """
    write_overlay(folder / _DISK, image.path, image.facts, disk_size_gb=disk_size_gb)
    write_cloud_seed(folder / _SEED, identity)
    return GuestParts(
        disks=(Disk(_DISK, DiskFormat.QCOW2, base=image), Disk(_SEED, read_only=True)),
        login=LOGIN,
        memory_mib=1024,
        # measured under emulation: 116 to 262 s for a Debian cloud image with systemd
        boot_seconds=900.0,
    )
