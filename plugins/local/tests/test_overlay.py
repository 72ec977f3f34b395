"""The qcow2 overlays we write, read by QEMU's own tool where there is one."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from vmops.errors import InvalidRequest
from vmops_local.disk_format import DiskFormat, ImageFacts, inspect
from vmops_local.overlay import GIB, write_overlay

QEMU_IMG = shutil.which("qemu-img") or ""
needs_qemu_img = pytest.mark.skipif(
    not QEMU_IMG, reason="compares with qemu-img (package qemu-utils)"
)
SIZES_GB = [0, 1, 20, 5000]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A raw image at a path that is full of QEMU's own syntax."""
    folder = tmp_path / "we,ird: json:{ dir"
    folder.mkdir()
    path = folder / "base=1,format=raw.img"
    path.write_bytes(bytes(510) + b"\x55\xaa" + b"data" * 1024 + bytes(512))
    return path


def qemu_img(*arguments: str | Path) -> dict[str, object]:
    """What qemu-img says, as JSON."""
    command = [QEMU_IMG, arguments[0], "--output=json", *arguments[1:]]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    parsed: dict[str, object] = json.loads(answer.stdout)
    return parsed


@needs_qemu_img
@pytest.mark.parametrize("size_gb", SIZES_GB)
def test_qemu_img_finds_the_overlay_sound(base: Path, tmp_path: Path, size_gb: int) -> None:
    """qemu-img check finds no error, and info names the base, its format and the size."""
    target = tmp_path / "disk.qcow2"
    size = write_overlay(target, base, inspect(base), disk_size_gb=size_gb)
    assert "corruptions" not in qemu_img("check", target)
    info = qemu_img("info", target)
    assert info["backing-filename"] == str(base)
    assert info["backing-filename-format"] == "raw"
    assert info["virtual-size"] == size == max(base.stat().st_size, size_gb * GIB)


@needs_qemu_img
def test_the_overlay_shows_the_base_and_then_zeros(base: Path, tmp_path: Path) -> None:
    """A fresh overlay reads as its base, and as zeros past the base's end."""
    target, flat = tmp_path / "disk.qcow2", tmp_path / "flat.raw"
    write_overlay(target, base, ImageFacts(DiskFormat.RAW, base.stat().st_size), disk_size_gb=1)
    subprocess.run([QEMU_IMG, "convert", "-O", "raw", target, flat], check=True)
    content = base.read_bytes()
    with flat.open("rb") as file:
        assert file.read(len(content)) == content
        assert not any(file.read(1 << 20))


@pytest.mark.parametrize("size_gb", SIZES_GB)
def test_header_fields_are_those_of_the_format(base: Path, tmp_path: Path, size_gb: int) -> None:
    """Read by the format's own offsets: version 3, the base's name, its format, an empty L1."""
    target = tmp_path / "disk.qcow2"
    size = write_overlay(target, base, inspect(base), disk_size_gb=size_gb)
    data = target.read_bytes()
    magic, version, name_at, name_length = struct.unpack_from(">4sIQI", data)
    assert (magic, version) == (b"QFI\xfb", 3)
    assert data[name_at : name_at + name_length].decode() == str(base)
    assert struct.unpack_from(">Q", data, 24) == (size,)
    l1_entries, l1_at = struct.unpack_from(">IQ", data, 36)
    assert l1_entries * 512 * 1024 * 1024 >= size
    assert not any(data[l1_at : l1_at + 8 * l1_entries])
    assert len(data) >= l1_at + 8 * l1_entries
    extension, length = struct.unpack_from(">II", data, 104)
    assert (extension, data[112 : 112 + length]) == (0xE2792ACA, b"raw")


def test_an_overlay_is_private_and_never_replaces_a_file(base: Path, tmp_path: Path) -> None:
    """Mode 0600, and a file that exists is left as it is."""
    target = tmp_path / "disk.qcow2"
    write_overlay(target, base, inspect(base))
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        write_overlay(target, base, inspect(base))


def test_a_base_whose_path_cannot_be_stored_is_refused(base: Path, tmp_path: Path) -> None:
    """A relative path or one over 1023 bytes is refused before a file is made."""
    facts = inspect(base)
    target = tmp_path / "disk.qcow2"
    for path in (base.relative_to(base.root), base.joinpath(*["x" * 200] * 6)):
        with pytest.raises(InvalidRequest, match="absolute path"):
            write_overlay(target, path, facts)
    assert not target.exists()


def test_a_disk_beyond_the_format_is_refused(base: Path, tmp_path: Path) -> None:
    """An absurd diskSizeGb is an error that names it, not a file of gigabytes."""
    target = tmp_path / "disk.qcow2"
    with pytest.raises(InvalidRequest, match="diskSizeGb"):
        write_overlay(target, base, inspect(base), disk_size_gb=1 << 50)
    assert not target.exists()
