"""A qcow2 overlay: the VM's own disk, which keeps what differs from an image nobody writes to.

Written here because `qemu-img` is a package of its own. The file is the smallest one the format
allows: header, one refcount block, an empty L1 table. Source: QEMU's docs/interop/qcow2.txt.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

from vmops.errors import InvalidRequest
from vmops_local.disk_format import ImageFacts

__all__ = ["GIB", "write_overlay"]

GIB = 1 << 30
_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_GUEST_BYTES_PER_L1_ENTRY = _CLUSTER * (_CLUSTER // 8)
_REFCOUNTS_PER_BLOCK = _CLUSTER // 2
_REFCOUNT_TABLE_AT, _REFCOUNT_BLOCK_AT, _L1_AT = _CLUSTER, 2 * _CLUSTER, 3 * _CLUSTER
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQII")
_BACKING_FORMAT = 0xE2792ACA
_LONGEST_NAME = 1023
_SECTOR = 512


def write_overlay(target: Path, base: Path, facts: ImageFacts, *, disk_size_gb: int = 0) -> int:
    """Make `target` an overlay on `base`; the size in bytes of the disk that the guest sees.

    Args:
        target: The file to make; it must not exist.
        base: The image below, as an absolute path; it is never written to.
        facts: Its format, stored in the overlay, and its size.
        disk_size_gb: The disk's size in GiB; a smaller one than the image's has no effect.

    Raises:
        InvalidRequest: The path of the image cannot be stored in an overlay.
        FileExistsError: The overlay exists.
    """
    name = os.fsencode(base)
    if not base.is_absolute() or len(name) > _LONGEST_NAME:
        message = f"image {str(base)[:200]!r}: not an absolute path of at most 1023 bytes"
        raise InvalidRequest(message, hint="move the image to a shorter path")
    size = max(facts.size + -facts.size % _SECTOR, disk_size_gb * GIB)
    l1_entries = math.ceil(size / _GUEST_BYTES_PER_L1_ENTRY)
    clusters = _L1_AT // _CLUSTER + math.ceil(l1_entries * 8 / _CLUSTER)
    if clusters > _REFCOUNTS_PER_BLOCK:
        message = f"diskSizeGb: {disk_size_gb} GiB is more than an overlay can hold"
        raise InvalidRequest(message, hint="give a smaller diskSizeGb")
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_header(name, facts.format.value.encode(), size, l1_entries))
        file.seek(_REFCOUNT_TABLE_AT)
        file.write(struct.pack(">Q", _REFCOUNT_BLOCK_AT))
        file.seek(_REFCOUNT_BLOCK_AT)
        file.write(struct.pack(">H", 1) * clusters)
        file.truncate(clusters * _CLUSTER)
        file.flush()
        os.fsync(descriptor)
    return size


def _header(base: bytes, base_format: bytes, size: int, l1_entries: int) -> bytes:
    extension = struct.pack(">II", _BACKING_FORMAT, len(base_format)) + base_format
    extension += b"\0" * (-len(extension) % 8) + bytes(8)  # the end of the extensions
    fixed = _HEADER.pack(
        b"QFI\xfb",
        3,
        _HEADER.size + len(extension),  # where the base's name begins
        len(base),
        _CLUSTER_BITS,
        size,
        0,  # no encryption
        l1_entries,
        _L1_AT,
        _REFCOUNT_TABLE_AT,
        1,  # cluster of refcount table
        0,  # no snapshots
        0,
        0,  # incompatible features
        0,  # compatible features
        0,  # autoclear features
        4,  # refcounts of 1 << 4 bits
        _HEADER.size,
    )
    return fixed + extension + base
