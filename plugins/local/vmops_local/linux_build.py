"""The linux guest's kernel and initramfs, put together from Debian packages in pure Python.

The kernel is the distribution's own for virtual machines. The initramfs holds busybox, the SSH
server dropbear, e2fsprogs for the VM's disk, the libraries and kernel modules these need, and the
scripts under `rootfs/`, which are ours.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from vmops.errors import CloudError
from vmops_local import apt, modules
from vmops_local.deb import Member, read_members
from vmops_local.elf import read_needs
from vmops_local.initramfs import Archive

__all__ = ["KernelAndInitramfs", "build", "builder_version", "package_names"]

_PROGRAMS = frozenset({"busybox", "dropbear", "dropbearkey", "mke2fs", "e2fsck"})
_ROOT_PACKAGES = ("busybox-static", "dropbear-bin", "e2fsprogs")
_BIN_FOLDERS = frozenset({"bin", "sbin", "usr/bin", "usr/sbin"})
_LIBRARY_FOLDER = re.compile(r"(usr/)?lib(64|/x86_64-linux-gnu)?\Z")
_LIBRARIES = "lib/x86_64-linux-gnu"
_REQUIRED_MODULES = ("virtio_pci", "virtio_blk", "virtio_net", "ext4", "button", "evdev")
_OPTIONAL_MODULES = ("crc32c_generic", "virtio_rng")
_BUILDER_SOURCES = ("deb.py", "elf.py", "initramfs.py", "linux_build.py", "modules.py")
_FOLDERS = ("dev", "mnt", "proc", "run", "sbin", "sys", "tmp", "usr/bin", "usr/sbin", "var")


@dataclass(frozen=True, slots=True)
class KernelAndInitramfs:
    """What QEMU boots the linux guest from.

    Args:
        kernel: The bytes of vmlinuz.
        initramfs: The bytes of the cpio archive; uncompressed, for emulated unpacking is slow.
        release: The kernel's release, such as `6.1.0-56-cloud-amd64`.
    """

    kernel: bytes
    initramfs: bytes
    release: str


def builder_version() -> str:
    """A digest of all in this package that shapes the initramfs, so that none can be forgotten."""
    root = resources.files("vmops_local")
    digest = hashlib.sha256()
    for name in _BUILDER_SOURCES:
        digest.update(root.joinpath(name).read_bytes())
    for path, data in _own_files(root.joinpath("rootfs")):
        digest.update(f"{path}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:12]


def package_names() -> tuple[str, ...]:
    """The packages that the guest is made of, as this host's apt resolves them.

    Raises:
        MissingDependency: apt has no package lists.
        NotSupported: This host has no apt, is not amd64, or has no such kernel.
        CloudError: apt gave no answer (code `AptFailed`).
    """
    return (*apt.resolve_kernel(), *apt.required_packages(_ROOT_PACKAGES))


def build(debs: Mapping[str, Path]) -> KernelAndInitramfs:
    """The guest made from these packages' files.

    Args:
        debs: The file of every package in `package_names()`, by name.

    Raises:
        CloudError: A package lacks what it should hold, or is damaged.
        MissingDependency: A module is packed in a way that needs a program this host lacks.
    """
    kernel_debs = [deb for name, deb in debs.items() if name.startswith("linux-")]
    kernel = _merge(read_members(deb, _is_kernel_file) for deb in kernel_debs)
    user = _merge(
        read_members(deb, _is_user_file) for name, deb in debs.items() if deb not in kernel_debs
    )
    image = next((m for path, m in kernel.items() if path.startswith("boot/vmlinuz-")), None)
    if image is None:
        raise _lacks("boot/vmlinuz", kernel_debs)
    archive = Archive()
    _add_folders(archive)
    _add_programs(archive, user)
    _add_modules(archive, kernel)
    for path, data in _own_files(resources.files("vmops_local").joinpath("rootfs")):
        archive.file(path, data, 0o755 if path.startswith("etc/vmops/") else 0o644)
    release = image.name.removeprefix("boot/vmlinuz-")
    return KernelAndInitramfs(image.data, archive.to_bytes(), release)


def _own_files(root: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in sorted(root.iterdir(), key=lambda e: e.name):
        path = f"{prefix}{entry.name}"
        if entry.is_dir():
            yield from _own_files(entry, f"{path}/")
        else:
            yield path, entry.read_bytes()


def _is_kernel_file(path: str) -> bool:
    return (
        path.startswith("boot/vmlinuz-")
        or modules.is_module(path)
        or path.endswith("/modules.builtin")
    )


def _is_user_file(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    if folder in _BIN_FOLDERS:
        return name in _PROGRAMS
    return ".so" in name and _LIBRARY_FOLDER.match(folder) is not None


def _merge(parts: Iterable[dict[str, Member]]) -> dict[str, Member]:
    return {path: member for part in parts for path, member in part.items()}


def _lacks(what: str, debs: Iterable[Path]) -> CloudError:
    names = ", ".join(sorted(deb.name for deb in debs))
    return CloudError(
        f"guest=linux: {what} is in none of {names}",
        provider_code="BadPackage",
        hint="report this with your distribution's name; meanwhile use image=PATH",
    )


def _add_folders(archive: Archive) -> None:
    for folder in _FOLDERS:
        archive.directory(folder)
    archive.directory("root", 0o700)
    # before anything is mounted, process 1 has no other way to speak
    archive.device("dev/console", 5, 1)
    archive.symlink("init", "bin/busybox")


def _add_programs(archive: Archive, files: Mapping[str, Member]) -> None:
    # a link and its target may share a name (the loader does): the file is what is wanted
    links_first = sorted(files, key=lambda path: not files[path].link)
    by_name = {PurePosixPath(path).name: path for path in links_first}
    pending: list[str] = []
    for name in sorted(_PROGRAMS):
        member = _resolved(files, by_name, name)
        folder = "bin" if name == "busybox" else "usr/sbin"
        archive.file(f"{folder}/{name}", member.data, 0o755)
        needs = read_needs(member.data)
        pending.extend(needs.libraries)
        if needs.interpreter:
            pending.append(PurePosixPath(needs.interpreter).name)
    added: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in added:
            added.add(name)
            data = _resolved(files, by_name, name).data
            archive.file(f"{_LIBRARIES}/{name}", data, 0o755)
            pending.extend(read_needs(data).libraries)
    for loader in sorted(name for name in added if name.startswith("ld-linux")):
        archive.symlink(f"lib64/{loader}", f"/{_LIBRARIES}/{loader}")


def _resolved(files: Mapping[str, Member], by_name: Mapping[str, str], name: str) -> Member:
    """The file a name stands for, symbolic links followed by name (they stay in one folder)."""
    for _ in range(8):
        path = by_name.get(name)
        if path is None:
            break
        member = files[path]
        if not member.link:
            return member
        name = PurePosixPath(member.link).name
    message = f"guest=linux: no package that it is made of holds {name!r}"
    raise CloudError(message, provider_code="BadPackage", hint="report your distribution's name")


def _add_modules(archive: Archive, files: Mapping[str, Member]) -> None:
    packed = {
        modules.module_name(path): (path, member.data)
        for path, member in files.items()
        if modules.is_module(path)
    }
    listings = [m.data.decode() for path, m in files.items() if path.endswith("/modules.builtin")]
    built_in = [modules.module_name(line) for text in listings for line in text.split()]
    order = modules.load_order(
        packed, built_in, required=_REQUIRED_MODULES, optional=_OPTIONAL_MODULES
    )
    for name, data in order.items():
        archive.file(f"lib/modules/{name}.ko", data)
    archive.file("lib/modules/order", "".join(f"{name}.ko\n" for name in order).encode())
