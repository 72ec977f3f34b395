"""Reading what a program needs, compared with what the loader itself says."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vmops_local.elf import read_needs

on_linux = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() != "x86_64" or shutil.which("ldd") is None,
    reason="reads this host's own x86-64 programs",
)


@on_linux
def test_needs_agree_with_the_loader() -> None:
    """Every library that a program names is one the loader loads for it."""
    program = Path(shutil.which("ssh") or sys.executable).resolve()
    needs = read_needs(program.read_bytes())
    loaded = subprocess.run(
        [str(shutil.which("ldd")), program], capture_output=True, text=True, check=True
    ).stdout
    assert needs.interpreter.startswith("/lib64/ld-linux")
    assert needs.libraries
    for library in needs.libraries:
        assert library in loaded


@on_linux
def test_a_file_cut_short_is_refused() -> None:
    """Half a program is an error, at whatever point it ends."""
    data = Path(sys.executable).resolve().read_bytes()
    for length in (6, 40, 70, 200):
        with pytest.raises(ValueError, match="ELF"):
            read_needs(data[:length])


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(100)])
def test_what_is_no_64_bit_program_is_refused(data: bytes) -> None:
    """A script and a 32-bit program are named as what they are not."""
    with pytest.raises(ValueError, match="no 64-bit"):
        read_needs(data)
