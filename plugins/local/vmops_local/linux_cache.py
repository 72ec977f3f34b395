"""Where the built linux guest is kept, so that it is made once and used offline ever after.

`<cache>/linux/<builder>-<packages>/` holds one build: kernel, initramfs and `build.json`. It is
made in a folder of its own and renamed, under a lock; a build that exists is complete. The file
`<builder>.current` names the one in use. Builds are never changed or removed: VMs boot from them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vmops.errors import CloudError
from vmops_local import apt, linux_build
from vmops_local.files import exclusive, private_folder, write_new

__all__ = ["LinuxBuild", "ensure_build", "existing_build"]

_KERNEL, _INITRAMFS, _RECORD = "vmlinuz", "initramfs.cpio", "build.json"


@dataclass(frozen=True, slots=True)
class LinuxBuild:
    """A complete build of the linux guest.

    Args:
        kernel: The file of the kernel.
        initramfs: The file of the initramfs.
        release: The kernel's release, such as `6.1.0-56-cloud-amd64`.
        packages: The files of the packages it was made from; they hold the versions.
    """

    kernel: Path
    initramfs: Path
    release: str
    packages: tuple[str, ...]


def existing_build(cache: Path) -> LinuxBuild | None:
    """The build in use, or None; neither network nor apt is asked."""
    folder = cache / "linux"
    try:
        name = _pointer(folder).read_text().strip()
        record = json.loads((folder / name / _RECORD).read_text())
        release, packages = record["release"], tuple(record["packages"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    build = LinuxBuild(folder / name / _KERNEL, folder / name / _INITRAMFS, release, packages)
    return build if build.kernel.is_file() and build.initramfs.is_file() else None


def ensure_build(cache: Path, *, refresh: bool = False) -> LinuxBuild:
    """A build that is ready to boot; made now if there is none.

    Args:
        cache: The user's cache folder; made with mode 0700 if missing.
        refresh: Whether to ask apt for newer packages even if there is a build.

    Raises:
        MissingDependency: apt has no package lists, or a program is missing.
        NotSupported: This host has no apt, is not amd64, or has no such kernel.
        CloudError: apt failed, a package lacks what it should hold, or the cache cannot be used.
    """
    if not refresh and (build := existing_build(cache)) is not None:
        return build
    folder = private_folder(private_folder(cache) / "linux")
    with exclusive(folder / "lock"):
        if not refresh and (build := existing_build(cache)) is not None:
            return build  # another process made it while this one waited
        packages = apt.locate(linux_build.package_names())
        name = f"{linux_build.builder_version()}-{_digest(packages)}"
        if not (folder / name).exists():
            _make(folder, name, packages)
        _point_to(folder, name)
    made = existing_build(cache)
    if made is None:
        message = f"{folder / name}: the build cannot be read back"
        raise CloudError(message, provider_code="CacheFolder", hint=f"remove {folder} and repeat")
    return made


def _pointer(folder: Path) -> Path:
    return folder / f"{linux_build.builder_version()}.current"


def _digest(packages: Sequence[apt.Package]) -> str:
    text = "\n".join(sorted(f"{package.file} {package.digest}" for package in packages))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _make(folder: Path, name: str, packages: Sequence[apt.Package]) -> None:
    """Build in a temporary folder beside `name`, then rename it."""
    for left in folder.glob("making-*"):  # of a process that was killed: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=folder) as temporary:
        debs, out = Path(temporary, "debs"), Path(temporary, "build")
        debs.mkdir(mode=0o700)
        out.mkdir(mode=0o700)
        made = linux_build.build(apt.download(packages, debs))
        record = {"release": made.release, "packages": sorted(p.file for p in packages)}
        try:
            write_new(out / _KERNEL, made.kernel)
            write_new(out / _INITRAMFS, made.initramfs)
            write_new(out / _RECORD, json.dumps(record, indent=1).encode())
            out.rename(folder / name)
        except OSError as exc:
            message = f"{folder}: the linux guest cannot be written ({exc.strerror})"
            hint = "make room there, or set cacheDir to a larger disk"
            raise CloudError(message, provider_code="CacheFolder", hint=hint) from exc


def _point_to(folder: Path, name: str) -> None:
    fresh = folder / f"{name}.new"
    fresh.unlink(missing_ok=True)
    write_new(fresh, f"{name}\n".encode())
    fresh.rename(_pointer(folder))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
