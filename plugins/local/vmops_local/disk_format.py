"""What a disk image is, by its own first bytes, and whether it may be given to QEMU.

QEMU guesses a format unless told, and follows file names that it finds within an image. So an
image from a stranger could make it read any file of this user's. Here the format is decided once,
from the header; everything that names another file is refused.

Source of the numbers: QEMU's docs/interop/qcow2.txt.
"""

from __future__ import annotations

import enum
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vmops.errors import InvalidRequest

__all__ = ["DiskFormat", "ImageFacts", "inspect"]

SECTOR = 512
_QCOW2_MAGIC = b"QFI\xfb"
_QCOW2_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_QCOW2_V3_HEADER = struct.Struct(">QQQII")
_QCOW2_V2_LENGTH = 72
_DIRTY, _CORRUPT, _EXTERNAL_DATA, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_ACCEPTED_FEATURES = _DIRTY | _COMPRESSION | _EXTENDED_L2
_EXTERNAL_DATA_NAME = 0x44415441
_LARGEST = 1 << 46
_BOOT_SIGNATURE = b"\x55\xaa"

# What would otherwise pass for a raw disk: QEMU's other formats, and packed files. (offset, magic)
_OTHERS = {
    "VMDK": (0, b"KDMV"),
    "VMDK (COWD)": (0, b"COWD"),
    "VMDK descriptor": (0, b"# Disk DescriptorFile"),
    "VDI": (64, b"\x7f\x10\xda\xbe"),
    "VHDX": (0, b"vhdxfile"),
    "VHD": (0, b"conectix"),
    "QED": (0, b"QED\0"),
    "LUKS": (0, b"LUKS\xba\xbe"),
    "Parallels": (0, b"WithoutFreeSpace"),
    "Parallels (ext)": (0, b"WithouFreSpacExt"),
    "bochs": (0, b"Bochs Virtual HD Image"),
    "gzip": (0, b"\x1f\x8b"),
    "xz": (0, b"\xfd7zXZ\0"),
    "zstd": (0, b"\x28\xb5\x2f\xfd"),
    "bzip2": (0, b"BZh"),
    "zip": (0, b"PK\x03\x04"),
    "tar": (257, b"ustar"),
}
_CONVERT = "convert it with: qemu-img convert -O qcow2 IMAGE NEW.qcow2 (unpack it first if packed)"


class DiskFormat(enum.StrEnum):
    """The formats that are accepted, by QEMU's names for them."""

    QCOW2 = "qcow2"
    RAW = "raw"


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a checked image is.

    Args:
        format: Its format; to be told to QEMU, never guessed again.
        size: The size in bytes of the disk that a guest sees.
    """

    format: DiskFormat
    size: int


def inspect(path: Path) -> ImageFacts:
    """The format and size of an image that may be given to QEMU.

    Raises:
        InvalidRequest: It is no regular readable file, or of another format, or damaged, or it
            names another file, or it is encrypted.
    """
    try:
        # not blocking: a pipe or a device must be refused, not waited for
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        reason = f"it cannot be read ({exc.strerror})"
        raise _refusal(path, reason, "check the path and its rights") from exc
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(path, "it is not a regular file", "give the path of a disk image")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return _inspect(path, file, status.st_size)
    finally:
        os.close(descriptor)


def _inspect(path: Path, file: BinaryIO, length: int) -> ImageFacts:
    head = file.read(SECTOR)
    if head.startswith(_QCOW2_MAGIC):
        return _inspect_qcow2(path, file, head)
    for name, (offset, magic) in _OTHERS.items():
        if head[offset:].startswith(magic):
            raise _refusal(path, f"it is of the format {name}; qcow2 and raw are taken", _CONVERT)
    if length == 0 or length % SECTOR or head[-2:] != _BOOT_SIGNATURE:
        reason = (
            "it is neither qcow2 nor a bootable raw disk (which is a multiple of 512 bytes and has"
            f" 55 aa at byte 510); it is {length} bytes"
        )
        raise _refusal(path, reason, _CONVERT)
    return ImageFacts(DiskFormat.RAW, length)


def _inspect_qcow2(path: Path, file: BinaryIO, head: bytes) -> ImageFacts:
    if len(head) < _QCOW2_HEADER.size:
        raise _refusal(path, "its qcow2 header is cut short", "fetch it again")
    _, version, backing, _, cluster_bits, size, encryption, *_ = _QCOW2_HEADER.unpack_from(head)
    if version not in {2, 3} or not 9 <= cluster_bits <= 21:  # noqa: PLR2004  (the format's bounds)
        raise _refusal(path, f"it is qcow version {version} or damaged", _CONVERT)
    if backing:
        raise _refusal(path, "its header names a backing file", _CONVERT)
    if encryption:
        raise _refusal(path, "it is encrypted", _CONVERT)
    if not 0 < size <= _LARGEST:
        raise _refusal(path, f"its disk is {size} bytes", "fetch it again")
    length = _QCOW2_V2_LENGTH
    if version == 3:  # noqa: PLR2004
        features, _, _, _, length = _QCOW2_V3_HEADER.unpack_from(head, _QCOW2_V2_LENGTH)
        _refuse_features(path, features)
    if any(kind == _EXTERNAL_DATA_NAME for kind in _extensions(path, file, length, cluster_bits)):
        raise _refusal(path, "its header names an external data file", _CONVERT)
    return ImageFacts(DiskFormat.QCOW2, size)


def _refuse_features(path: Path, features: int) -> None:
    if features & _EXTERNAL_DATA:
        raise _refusal(path, "it keeps its data in an external file", _CONVERT)
    if features & _CORRUPT:
        raise _refusal(path, "it is marked corrupt", "repair it with: qemu-img check -r all IMAGE")
    if unknown := features & ~_ACCEPTED_FEATURES:
        raise _refusal(path, f"it needs unknown qcow2 features ({unknown:#x})", _CONVERT)


def _extensions(path: Path, file: BinaryIO, start: int, cluster_bits: int) -> Iterator[int]:
    """The type of every header extension; they lie in the first cluster."""
    file.seek(0)
    cluster = file.read(1 << cluster_bits)
    at = start
    while at + 8 <= len(cluster):
        kind, length = struct.unpack_from(">II", cluster, at)
        if kind == 0:
            return
        yield kind
        at += 8 + length + (-length % 8)
    if at != len(cluster):
        raise _refusal(path, "its header extensions have no end", "fetch it again")


def _refusal(path: Path, reason: str, hint: str) -> InvalidRequest:
    return InvalidRequest(f"image {str(path)[:200]!r}: {reason}", hint=hint)
