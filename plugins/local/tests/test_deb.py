"""Reading Debian packages, compared with the packages that dpkg-deb makes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from vmops.errors import CloudError
from vmops_local.deb import read_members

needs_dpkg = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None,
    reason="dpkg-deb makes the packages; Debian and Ubuntu have it",
)
BIG = bytes(range(256)) * 4096


@pytest.fixture
def pack(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a package, packed in the way that is named."""
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    control = "Package: toy\nVersion: 1:2\nArchitecture: all\nMaintainer: N <n@example.org>\n"
    (root / "DEBIAN/control").write_text(control + "Description: toy\n")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool").write_bytes(BIG)
    (root / "usr/bin/tool").chmod(0o755)
    (root / "usr/bin/alias").symlink_to("tool")
    (root / "usr/bin/other").write_bytes(b"other")

    def build(packing: str) -> Path:
        deb = tmp_path / f"toy-{packing}.deb"
        command = ["dpkg-deb", "--root-owner-group", f"-Z{packing}", "-b", str(root), str(deb)]
        subprocess.run(command, check=True, capture_output=True)
        return deb

    return build


@needs_dpkg
@pytest.mark.parametrize("packing", ["xz", "gzip", "zstd", "none"])
def test_files_are_read_from_every_packing(pack: Callable[[str], Path], packing: str) -> None:
    """A wanted file comes out with its bytes and mode, a link with its target, and nothing else."""
    found = read_members(pack(packing), lambda path: path in {"usr/bin/tool", "usr/bin/alias"})
    assert set(found) == {"usr/bin/tool", "usr/bin/alias"}
    assert found["usr/bin/tool"].data == BIG
    assert found["usr/bin/tool"].mode == 0o755
    assert found["usr/bin/alias"].link == "tool"
    assert found["usr/bin/alias"].data == b""


@needs_dpkg
@pytest.mark.parametrize("packing", ["xz", "gzip", "zstd", "none"])
def test_a_package_cut_short_is_refused(pack: Callable[[str], Path], packing: str) -> None:
    """Half a package is an error that names the file, never half of its files."""
    deb = pack(packing)
    data = deb.read_bytes()
    deb.write_bytes(data[: len(data) - min(600, len(data) // 4)])
    with pytest.raises(CloudError, match=deb.name) as caught:
        read_members(deb, lambda path: path.endswith("tool"))
    assert caught.value.provider_code == "BadPackage"


@pytest.mark.parametrize("content", [b"", b"<html>", b"!<arch>\n", b"!<arch>\n" + b"x" * 70])
def test_what_is_no_package_is_refused(tmp_path: Path, content: bytes) -> None:
    """An error page or an empty file is named as what it is not."""
    deb = tmp_path / "page.deb"
    deb.write_bytes(content)
    with pytest.raises(CloudError, match="cannot be read as a Debian package"):
        read_members(deb, lambda _: True)
