"""Reading files out of a Debian package without installing it.

A .deb is an `ar` archive whose member `data.tar.*` holds the files (deb(5)). Nothing is unpacked to
disk and no maintainer script is run, so no root is needed. xz and gz, which Debian uses, are read
with the standard library; zstd, which Ubuntu uses, goes through the host's own `dpkg-deb`.
"""

from __future__ import annotations

import gzip
import io
import lzma
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vmops.errors import CloudError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Member", "read_members"]

_AR_MAGIC = b"!<arch>\n"
_HEADER = 60
_MAX_MEMBER = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a package.

    Args:
        name: Its path without leading `./`, such as `usr/sbin/dropbear`.
        mode: Its permission bits.
        data: Its bytes; empty for a symbolic link.
        link: What a symbolic link points to; empty for a file.
    """

    name: str
    mode: int
    data: bytes
    link: str = ""


def read_members(deb: Path, wanted: Callable[[str], bool]) -> dict[str, Member]:
    """The wanted files and symbolic links of a package, by path.

    Args:
        deb: The package.
        wanted: Told a path such as `usr/sbin/dropbear`, says whether to read it.

    Raises:
        CloudError: The file is no Debian package, or is damaged (code `BadPackage`).
    """
    try:
        with _data_tar(deb) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            return {m.name: m for m in _members(tar, wanted)}
    except (tarfile.TarError, EOFError, ValueError, OSError, lzma.LZMAError) as exc:
        message = f"{deb.name}: cannot be read as a Debian package ({exc})"
        hint = "delete it and run `python -m vmops_local.prefetch` again"
        raise CloudError(message, provider_code="BadPackage", hint=hint) from exc


def _members(tar: tarfile.TarFile, wanted: Callable[[str], bool]) -> Iterator[Member]:
    for info in tar:
        name = info.name.removeprefix("./").strip("/")
        if not (info.isreg() or info.issym()) or not wanted(name):
            continue
        if info.size > _MAX_MEMBER:
            msg = f"{name} is {info.size} bytes, over {_MAX_MEMBER}"
            raise ValueError(msg)
        source = tar.extractfile(info) if info.isreg() else None
        data = source.read() if source is not None else b""
        yield Member(name, info.mode & 0o7777, data, info.linkname if info.issym() else "")


@contextmanager
def _data_tar(deb: Path) -> Iterator[IO[bytes]]:
    """The uncompressed tar stream within a package."""
    with deb.open("rb") as file:
        name, size = _seek_to_data(file)
        body = io.BufferedReader(_Window(file, size))
        if name == "data.tar":
            yield body
        elif name == "data.tar.xz":
            with lzma.LZMAFile(body) as stream:
                yield stream
        elif name == "data.tar.gz":
            with io.BufferedReader(gzip.GzipFile(fileobj=body)) as stream:
                yield stream
        else:
            with _by_dpkg(deb) as pipe:
                yield pipe


def _seek_to_data(file: IO[bytes]) -> tuple[str, int]:
    """Leave the file at the first byte of its data member; that member's name and size."""
    if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
        msg = "it does not begin with the ar magic"
        raise ValueError(msg)
    while len(header := file.read(_HEADER)) == _HEADER:
        name = header[:16].decode("ascii").strip().rstrip("/")
        size = int(header[48:58])
        if name.startswith("data.tar"):
            if os.fstat(file.fileno()).st_size < file.tell() + size:
                msg = "it is cut short"
                raise ValueError(msg)
            return name, size
        file.seek(size + size % 2, io.SEEK_CUR)
    msg = "it holds no data.tar"
    raise ValueError(msg)


@contextmanager
def _by_dpkg(deb: Path) -> Iterator[IO[bytes]]:
    """The tar stream of a package as the host's dpkg-deb writes it."""
    command = ["dpkg-deb", "--fsys-tarfile", str(deb.absolute())]
    with subprocess.Popen(  # noqa: S603  (fixed program, absolute path)
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        if process.stdout is None:  # pragma: no cover  (PIPE was asked for)
            msg = "no output"
            raise ValueError(msg)
        yield process.stdout
        while process.stdout.read(1 << 20):  # a tar's padding: dpkg-deb must not get SIGPIPE
            pass
        if process.wait() != 0:
            msg = f"dpkg-deb ended with code {process.returncode}"
            raise ValueError(msg)


class _Window(io.RawIOBase):
    """The next `size` bytes of a file, and then its end."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._file.read(min(len(view), self._left))
        view[: len(data)] = data
        self._left -= len(data)
        return len(data)
