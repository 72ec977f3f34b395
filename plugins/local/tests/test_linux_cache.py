"""The linux guest's build and its cache, against a stand-in apt whose packages are made here."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from vmops.errors import CloudError, MissingDependency, NotSupported, TransientError
from vmops_local.linux_cache import ensure_build, existing_build
from vmops_local.prefetch import main

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or shutil.which("dpkg-deb") is None,
    reason="packages are made with dpkg-deb from this host's own x86-64 programs",
)

KERNEL = "linux-image-6.1-toy"
MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "button", "evdev")
APT_CACHE = f"""#!/bin/sh
[ -e "$REPO/no-lists" ] && {{ echo "E: No packages found" >&2; exit 100; }}
case "$*" in
*--recurse*) printf '%s\\n' busybox-static '  Depends: libc6' dropbear-bin e2fsprogs libc6 \\
    '<virtual>' libc6:i386 ;;
*linux-image-cloud-amd64*) [ -e "$REPO/no-kernel" ] && exit 100
    printf '%s\\n' linux-image-cloud-amd64 '  Depends: {KERNEL}' ;;
*linux-image-virtual*) [ -e "$REPO/ubuntu" ] || exit 100
    printf '%s\\n' linux-image-virtual '  Depends: linux-image-6.8-generic' ;;
*linux-image-6.8-generic*) echo ' |Depends: linux-modules-6.8-generic' ;;
*linux-modules-6.8-generic*) echo linux-modules-6.8-generic ;;
*{KERNEL}*) printf '%s\\n' {KERNEL} '  Depends: kmod' ' |Depends: initramfs-tools' ;;
*) echo busybox-static ;;
esac
"""
APT_GET = """#!/bin/sh
[ -e "$REPO/offline" ] && { echo "E: Failed to fetch http://deb/x" >&2; exit 100; }
release=$(cat "$REPO/release")
if [ "$2" = --print-uris ]; then
    shift 2
    for name; do echo "'http://deb/$name' ${name}_${release}_amd64.deb 9 SHA256:00"; done
else
    echo "$*" >>"$REPO/downloads"
    shift 2
    for name; do cp "$REPO/$name.deb" "${name}_${release}_amd64.deb"; done
fi
"""


@dataclass(frozen=True, slots=True)
class Apt:
    """The stand-in: `folder` holds its packages and the switches that make it fail."""

    folder: Path

    def switch(self, name: str) -> None:
        (self.folder / name).touch()

    def release(self, text: str) -> None:
        (self.folder / "release").write_text(text)

    def downloads(self) -> int:
        log = self.folder / "downloads"
        return len(log.read_text().splitlines()) if log.exists() else 0


def make_deb(folder: Path, name: str, files: dict[str, bytes], packing: str = "gzip") -> None:
    """A package with these files, as dpkg-deb makes it."""
    root = folder / f"{name}.root"
    files = {
        "DEBIAN/control": f"Package: {name}\nVersion: 1\nArchitecture: amd64\n"
        "Maintainer: N <n@example.org>\nDescription: toy\n".encode(),
        **files,
    }
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    command = ["dpkg-deb", "--root-owner-group", f"-Z{packing}", "-b", root, folder / f"{name}.deb"]
    subprocess.run(command, check=True, capture_output=True)


def libraries_of(program: str) -> dict[str, bytes]:
    """The libraries and the loader of one of this host's programs, at Debian's paths."""
    command = [str(shutil.which("ldd")), program]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    paths = [Path(path) for path in re.findall(r"(/\S+\.so\S*) \(", said)]
    return {f"lib/x86_64-linux-gnu/{path.name}": path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages that the stand-in apt offers."""
    folder = tmp_path_factory.mktemp("repo")
    program = Path("/bin/true").read_bytes()
    kernel = {
        f"lib/modules/6.1-toy/kernel/{name}.ko": b"\x7fELF\0depends=\0name=" + name.encode() + b"\0"
        for name in MODULES
    }
    kernel["lib/modules/6.1-toy/modules.builtin"] = b"kernel/fs/ext4/ext4.ko\n"
    make_deb(folder, KERNEL, {**kernel, "boot/vmlinuz-6.1-toy": b"the kernel"})
    make_deb(folder, "busybox-static", {"bin/busybox": program})
    ssh = {"usr/sbin/dropbear": program, "usr/bin/dropbearkey": program, "usr/bin/dbclient": b"x"}
    make_deb(folder, "dropbear-bin", ssh)
    make_deb(folder, "e2fsprogs", {"sbin/mke2fs": program, "sbin/e2fsck": program})
    make_deb(folder, "libc6", {**libraries_of("/bin/true"), "lib/x86_64-linux-gnu/libno.so": b"x"})
    return folder


@pytest.fixture
def apt(packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apt:
    """A stand-in apt in front of PATH."""
    folder = tmp_path / "repo"
    folder.mkdir()
    for deb in packages.glob("*.deb"):
        shutil.copy(deb, folder)
    programs = tmp_path / "bin"
    programs.mkdir()
    dpkg = f'#!/bin/sh\ncat "{folder}/architecture" 2>/dev/null || echo amd64\n'
    for name, text in {"apt-cache": APT_CACHE, "apt-get": APT_GET, "dpkg": dpkg}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("REPO", str(folder))
    stand_in = Apt(folder)
    stand_in.release("1")
    return stand_in


def names_in(archive: bytes) -> set[str]:
    """The names in a cpio archive."""
    return {name.decode() for name in re.findall(rb"070701[0-9a-f]{104}([^\0]+)\0", archive)}


def folders_in(cache: Path) -> list[str]:
    """The names of the builds, and of whatever else was left beside them."""
    return sorted(p.name for p in (cache / "linux").iterdir() if p.is_dir())


def test_a_build_holds_what_the_guest_needs_and_no_more(apt: Apt, tmp_path: Path) -> None:
    """Kernel, programs, their libraries, modules in order and our scripts; nothing unasked for."""
    build = ensure_build(tmp_path / "cache")
    assert build.release == "6.1-toy"
    assert build.kernel.read_bytes() == b"the kernel"
    archive = build.initramfs.read_bytes()
    names = names_in(archive)
    programs = {"bin/busybox", "usr/sbin/dropbear", "usr/sbin/dropbearkey", "usr/sbin/mke2fs"}
    assert programs | {"init", "dev/console", "etc/vmops/boot", "etc/inittab"} <= names
    assert {"lib/x86_64-linux-gnu/libc.so.6", "lib64/ld-linux-x86-64.so.2"} <= names
    assert not {"usr/bin/dbclient", "usr/sbin/dbclient", "lib/x86_64-linux-gnu/libno.so"} & names
    assert "".join(f"{name}.ko\n" for name in MODULES).encode() in archive.replace(b"\0", b"")
    assert (build.kernel.parent.stat().st_mode & 0o777, build.kernel.stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )


def test_a_kernel_in_two_packages_is_found(apt: Apt, tmp_path: Path) -> None:
    """Ubuntu's way: metapackage, image and modules in three packages, packed with zstd."""
    apt.switch("no-kernel")
    apt.switch("ubuntu")
    folder = "lib/modules/6.8-generic"
    modules = {
        f"{folder}/kernel/{name}.ko": b"\x7fELF\0depends=\0" + name.encode() for name in MODULES[1:]
    }
    built_in = b"kernel/fs/ext4/ext4.ko\nkernel/drivers/virtio/virtio_pci.ko\n"
    modules[f"{folder}/modules.builtin"] = built_in
    make_deb(apt.folder, "linux-modules-6.8-generic", modules, "zstd")
    make_deb(apt.folder, "linux-image-6.8-generic", {"boot/vmlinuz-6.8-generic": b"k"}, "zstd")
    build = ensure_build(tmp_path / "cache")
    assert build.release == "6.8-generic"
    names = names_in(build.initramfs.read_bytes())
    assert "lib/modules/virtio_blk.ko" in names
    assert "lib/modules/virtio_pci.ko" not in names


def test_a_build_is_used_again_without_apt(
    apt: Apt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once built, the guest boots on a machine that has neither network nor apt."""
    build = ensure_build(tmp_path)
    monkeypatch.setenv("PATH", "")
    assert ensure_build(tmp_path) == build == existing_build(tmp_path)
    assert apt.downloads() == 1


def test_two_processes_build_once(apt: Apt, tmp_path: Path) -> None:
    """Processes that start together make one build, and all of them get it."""
    command = [sys.executable, "-m", "vmops_local.prefetch", "--if-missing"]
    command += ["--cache-dir", str(tmp_path / "cache")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(said) == 1
    assert apt.downloads() == 1
    assert len(folders_in(tmp_path / "cache")) == 1


def test_prefetch_and_backend_share_one_folder(
    apt: Apt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What prefetch builds by default is where VMOPS_LOCAL_CACHE_DIR sends the backend too."""
    monkeypatch.setenv("VMOPS_LOCAL_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert main([]) == 0
    assert existing_build(tmp_path / "elsewhere") is not None


def test_a_refresh_builds_only_what_is_new(apt: Apt, tmp_path: Path) -> None:
    """Newer packages make a new build; the old one stays, for VMs boot from it."""
    first = ensure_build(tmp_path)
    assert ensure_build(tmp_path, refresh=True) == first
    assert apt.downloads() == 1
    apt.release("2")
    second = ensure_build(tmp_path, refresh=True)
    assert apt.downloads() == 2
    assert second.kernel != first.kernel
    assert first.kernel.is_file()
    assert existing_build(tmp_path) == second


def test_what_a_killed_builder_left_is_removed(apt: Apt, tmp_path: Path) -> None:
    """Half a build is never used, and the next builder clears it away."""
    half = tmp_path / "linux" / "making-x" / "build"
    half.mkdir(parents=True)
    (half / "vmlinuz").touch()
    assert existing_build(tmp_path) is None
    build = ensure_build(tmp_path)
    assert folders_in(tmp_path) == [build.kernel.parent.name]


def test_a_build_whose_files_are_gone_is_no_build(apt: Apt, tmp_path: Path) -> None:
    """A build that lost its kernel, or a pointer that holds rubbish, counts as none."""
    build = ensure_build(tmp_path)
    build.kernel.unlink()
    assert existing_build(tmp_path) is None
    (pointer,) = (tmp_path / "linux").glob("*.current")
    pointer.write_bytes(b"\0\xff")
    assert existing_build(tmp_path) is None


@pytest.mark.parametrize(
    ("break_it", "error", "says", "code"),
    [
        (lambda apt: apt.switch("offline"), CloudError, "Failed to fetch.*apt-get update", 1),
        (lambda apt: apt.switch("no-lists"), MissingDependency, "sudo apt-get update", 3),
        (lambda apt: apt.switch("no-kernel"), NotSupported, "linux-image-cloud.*image=PATH", 3),
        (
            lambda apt: (apt.folder / "architecture").write_text("arm64"),
            NotSupported,
            "arm64.*image=PATH",
            3,
        ),
        (lambda apt: (apt.folder / "dropbear-bin.deb").unlink(), CloudError, "dropbear-bin", 1),
        (
            lambda apt: (apt.folder / "e2fsprogs.deb").write_bytes(b"<html>"),
            CloudError,
            "e2fsprogs.*cannot be read",
            1,
        ),
        (
            lambda apt: shutil.copy(apt.folder / "e2fsprogs.deb", apt.folder / "dropbear-bin.deb"),
            CloudError,
            "holds 'dropbear'",
            1,
        ),
    ],
)
def test_failures_are_typed_and_leave_nothing(  # noqa: PLR0917  (fixtures and cases)
    apt: Apt,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    break_it: Callable[[Apt], object],
    error: type[CloudError],
    says: str,
    code: int,
) -> None:
    """Offline, no lists, no kernel, another architecture, no package: each says what next."""
    break_it(apt)
    cache = tmp_path / "cache"
    with pytest.raises(error, match=says) as caught:
        ensure_build(cache)
    assert not isinstance(caught.value, TransientError)  # no VM was made: nothing is unknown
    assert main(["--cache-dir", str(cache)]) == code
    assert re.search(says, capsys.readouterr().err)
    assert not (cache / "linux").exists() or folders_in(cache) == []


def test_a_host_without_apt_is_not_supported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no apt, the error says so and names image= as the way."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotSupported, match=r"no dpkg.*image=PATH"):
        ensure_build(tmp_path / "cache")


def test_a_folder_of_another_kind_is_refused(apt: Apt, tmp_path: Path) -> None:
    """A cache path that is a file is an error that names it."""
    (tmp_path / "cache").touch()
    with pytest.raises(CloudError, match="cannot be used") as caught:
        ensure_build(tmp_path / "cache")
    assert caught.value.provider_code == "CacheFolder"
