"""A Linux initramfs as bytes: a cpio archive in the `newc` format, written without root.

Source: the kernel's Documentation/driver-api/early-userspace/buffer-format.rst. The same entries
always give the same bytes, so that a build can be compared with another one.
"""

from __future__ import annotations

import io
import stat
from pathlib import PurePosixPath

__all__ = ["Archive"]

_MAGIC = "070701"
_TRAILER = "TRAILER!!!"
_ALIGN = 4


class Archive:
    """Collects files and gives them as one cpio archive; parents are made as needed."""

    def __init__(self) -> None:
        """Begin with an empty root."""
        self._out = io.BytesIO()
        self._names: set[str] = set()

    def directory(self, name: str, mode: int = 0o755) -> None:
        """Add a directory."""
        self._add(name, stat.S_IFDIR | mode, b"")

    def file(self, name: str, data: bytes, mode: int = 0o644) -> None:
        """Add a file."""
        self._add(name, stat.S_IFREG | mode, data)

    def symlink(self, name: str, target: str) -> None:
        """Add a symbolic link that points to `target`."""
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name: str, major: int, minor: int, mode: int = 0o600) -> None:
        """Add a character device."""
        self._add(name, stat.S_IFCHR | mode, b"", (major, minor))

    def to_bytes(self) -> bytes:
        """The archive with its trailer; more entries may be added after."""
        body = self._out.getvalue()
        return body + _entry(0, _TRAILER, 0, b"", (0, 0))

    def _add(self, name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0)) -> None:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            msg = f"{name!r} is not a path below the root"
            raise ValueError(msg)
        if str(path) in self._names:
            msg = f"{name!r} is in the archive already"
            raise ValueError(msg)
        # the kernel makes no parents: a file whose directory is missing is dropped in silence
        for parent in reversed(path.parents[:-1]):
            if str(parent) not in self._names:
                self._add(str(parent), stat.S_IFDIR | 0o755, b"")
        self._names.add(str(path))
        self._out.write(_entry(len(self._names), str(path), mode, data, device))


def _entry(inode: int, name: str, mode: int, data: bytes, device: tuple[int, int]) -> bytes:
    links = 2 if stat.S_ISDIR(mode) else 1
    encoded = name.encode() + b"\0"
    fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(encoded), 0)
    head = (_MAGIC + "".join(f"{field:08x}" for field in fields)).encode() + encoded
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % _ALIGN)
