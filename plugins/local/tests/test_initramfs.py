"""The cpio writer, compared with the cpio program where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from vmops_local.initramfs import Archive


def sample() -> Archive:
    """A small root with one entry of each kind."""
    archive = Archive()
    archive.directory("root", 0o700)
    archive.file("usr/bin/tool", b"#!/bin/sh\n", 0o755)
    archive.file("etc/odd", b"abc")
    archive.symlink("init", "usr/bin/tool")
    archive.device("dev/console", 5, 1)
    return archive


def entries(data: bytes) -> dict[str, tuple[int, bytes, tuple[int, int]]]:
    """Name -> mode, bytes and device number, read by the format's own rules."""
    found = {}
    at = 0
    while True:
        assert data[at : at + 6] == b"070701"
        assert at % 4 == 0
        field = [int(data[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name = data[at + 110 : at + 110 + field[11] - 1].decode()
        start = at + 110 + field[11] + -(110 + field[11]) % 4
        if name == "TRAILER!!!":
            return found
        found[name] = (field[1], data[start : start + field[6]], (field[9], field[10]))
        at = start + field[6] + -field[6] % 4


def test_every_entry_can_be_read_back() -> None:
    """Files, links, folders and devices come back with mode and content; parents precede them."""
    found = entries(sample().to_bytes())
    assert found["usr/bin/tool"] == (0o100755, b"#!/bin/sh\n", (0, 0))
    assert found["etc/odd"][1] == b"abc"
    assert found["init"] == (0o120777, b"usr/bin/tool", (0, 0))
    assert found["dev/console"] == (0o020600, b"", (5, 1))
    assert found["root"][0] == 0o040700
    names = list(found)
    assert names.index("usr") < names.index("usr/bin") < names.index("usr/bin/tool")


@pytest.mark.skipif(shutil.which("cpio") is None, reason="compares with the cpio program")
def test_cpio_agrees(tmp_path: Path) -> None:
    """The cpio program unpacks what was written."""
    command = ["cpio", "-i", "--quiet", "--no-absolute-filenames", "--make-directories", "usr/*"]
    archive = sample().to_bytes()
    subprocess.run(command, input=archive, cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "usr/bin/tool").read_bytes() == b"#!/bin/sh\n"
    assert (tmp_path / "usr/bin/tool").stat().st_mode & 0o777 == 0o755


def test_the_same_entries_give_the_same_bytes() -> None:
    """No clock and no inode of this machine gets into the archive."""
    assert sample().to_bytes() == sample().to_bytes()


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../b", "", "."])
def test_a_path_outside_the_root_is_refused(name: str) -> None:
    """A package cannot place a file outside of the guest's root."""
    with pytest.raises(ValueError, match="not a path below the root"):
        Archive().file(name, b"")


def test_a_second_file_of_one_name_is_refused() -> None:
    """Two packages that bring one file are found out; the kernel would take the last in silence."""
    archive = sample()
    with pytest.raises(ValueError, match="already"):
        archive.file("etc/odd", b"x")
