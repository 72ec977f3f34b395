"""Kernel modules for the linux guest: which to load, in which order.

Every module names what it needs in its `.modinfo` section (`depends=` and `softdep=pre:`), so no
modules.dep is required; a kernel package holds none until depmod has run on the host.
"""

from __future__ import annotations

import gzip
import lzma
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from vmops.errors import CloudError, MissingDependency

__all__ = ["is_module", "load_order", "module_name"]

_SUFFIX = re.compile(r"\.ko(\.xz|\.gz|\.zst)?\Z")
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")
_SOFTDEP = re.compile(rb"\0softdep=pre: ?([^\0]*)\0")


def is_module(path: str) -> bool:
    """Whether a path is that of a kernel module, compressed or not."""
    return _SUFFIX.search(path) is not None


def module_name(path: str) -> str:
    """The name by which other modules call the one at this path (`virtio-rng.ko`: `virtio_rng`)."""
    return _SUFFIX.sub("", PurePosixPath(path).name).replace("-", "_")


def load_order(
    packed: Mapping[str, tuple[str, bytes]],
    built_in: Iterable[str],
    *,
    required: Iterable[str],
    optional: Iterable[str] = (),
) -> dict[str, bytes]:
    """The modules to insert, plain, each after those that it needs.

    Args:
        packed: Every module of the kernel by name: its path and its bytes, as in the package.
        built_in: The names of what this kernel has without a module.
        required: Names to load; each is a module or built in.
        optional: Names to load where this kernel has them.

    Raises:
        CloudError: A required module is missing from this kernel (code `NoModule`).
    """
    order: dict[str, bytes] = {}
    settled = set(built_in)  # softdeps may point in circles: a module is visited once

    def visit(name: str, wanted_by: str) -> None:
        if name in settled:
            return
        if name not in packed:
            message = f"the kernel package holds no module {name!r}, which {wanted_by} needs"
            hint = "report the kernel's version; meanwhile use image=PATH"
            raise CloudError(message, provider_code="NoModule", hint=hint)
        settled.add(name)
        data = _plain(*packed[name])
        for needed in _names(_DEPENDS, data):
            visit(needed, name)
        for useful in _names(_SOFTDEP, data):
            if useful in packed:
                visit(useful, name)
        order[name] = data

    for name in required:
        visit(name, "guest=linux")
    for name in optional:
        if name in packed:
            visit(name, "guest=linux")
    return order


def _names(pattern: re.Pattern[bytes], data: bytes) -> list[str]:
    # the section's first string has no NUL before it: the one put here makes all strings alike
    match = pattern.search(b"\0" + data)
    found = re.split(r"[ ,]+", match[1].decode("ascii")) if match else []
    return [name.replace("-", "_") for name in found if name]


def _plain(path: str, data: bytes) -> bytes:
    match = _SUFFIX.search(path)
    packing = match[1] if match else None
    if packing == ".xz":
        return lzma.decompress(data)
    if packing == ".gz":
        return gzip.decompress(data)
    return _unzstd(path, data) if packing == ".zst" else data


def _unzstd(path: str, data: bytes) -> bytes:
    zstd = shutil.which("zstd")
    if zstd is None:
        message = f"{PurePosixPath(path).name} is packed with zstd, and this host has no zstd"
        raise MissingDependency(message, install="sudo apt-get install -y zstd")
    command = [zstd, "-dc"]
    done = subprocess.run(command, input=data, capture_output=True, check=False)  # noqa: S603
    if done.returncode != 0:
        message = f"{PurePosixPath(path).name}: zstd ended with code {done.returncode}"
        raise CloudError(message, provider_code="BadPackage", hint="run the prefetch again")
    return done.stdout
