"""What a program or library of 64-bit Linux needs at run time, read off its ELF file.

Source of the numbers: the System V ABI's chapters on program headers and dynamic linking.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Needs", "read_needs"]

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB = 0, 1, 5
_ELF64_LITTLE = b"\x7fELF\x02\x01"


@dataclass(frozen=True, slots=True)
class Needs:
    """What the loader looks for.

    Args:
        libraries: Sonames, such as `libz.so.1`, in the order in which the file names them.
        interpreter: The absolute path of the loader; empty for a library or a static program.
    """

    libraries: tuple[str, ...]
    interpreter: str


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


def read_needs(data: bytes) -> Needs:
    """The libraries and the loader that an ELF file asks for.

    Raises:
        ValueError: The bytes are no 64-bit little-endian ELF file, or are cut short.
    """
    if not data.startswith(_ELF64_LITTLE):
        msg = "it is no 64-bit little-endian ELF file"
        raise ValueError(msg)
    try:
        segments = list(_segments(data))
        interpreter = next((_text(data, s.offset) for s in segments if s.kind == _PT_INTERP), "")
        return Needs(tuple(_libraries(data, segments)), interpreter)
    except (struct.error, IndexError) as exc:
        msg = f"the ELF file is cut short ({exc})"
        raise ValueError(msg) from exc


def _segments(data: bytes) -> Iterator[_Segment]:
    (table,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    for index in range(count):
        kind, _flags, offset, address, _physical, length = struct.unpack_from(
            "<IIQQQQ", data, table + index * size
        )
        yield _Segment(kind, offset, address, length)


def _libraries(data: bytes, segments: list[_Segment]) -> Iterator[str]:
    dynamic = next((s for s in segments if s.kind == _PT_DYNAMIC), None)
    if dynamic is None:
        return
    entries = list(_entries(data, dynamic))
    strings = next((value for tag, value in entries if tag == _DT_STRTAB), 0)
    for tag, value in entries:
        if tag == _DT_NEEDED:
            yield _text(data, _file_offset(segments, strings) + value)


def _entries(data: bytes, dynamic: _Segment) -> Iterator[tuple[int, int]]:
    for at in range(dynamic.offset, dynamic.offset + dynamic.size, 16):
        tag, value = struct.unpack_from("<QQ", data, at)
        if tag == _DT_NULL:
            return
        yield tag, value


def _file_offset(segments: list[_Segment], address: int) -> int:
    for segment in segments:
        if segment.kind == _PT_LOAD and 0 <= address - segment.address < segment.size:
            return segment.offset + address - segment.address
    msg = f"address {address:#x} is in no segment"
    raise IndexError(msg)


def _text(data: bytes, at: int) -> str:
    end = data.index(b"\0", at)
    return data[at:end].decode("ascii")
