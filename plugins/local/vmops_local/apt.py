"""Fetching Debian packages with the host's own apt: no root, and nothing is installed.

apt checks every package against the distribution's signed index, so no trust is added here. No
failure is a TransientError, after which a verb's outcome would count as unknown: no VM was made.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmops.errors import CloudError, MissingDependency, NotSupported

__all__ = ["Package", "download", "locate", "required_packages", "resolve_kernel"]

KERNELS = ("linux-image-cloud-amd64", "linux-image-virtual")
"""Small kernels for virtual machines, by metapackage: Debian's and Ubuntu's."""

_USE_IMAGE = "use guest=nano, or image=PATH with a cloud image"
_KERNEL_PARTS = ("linux-image-", "linux-modules-")
_ONLY_DEPENDS = (
    "--no-recommends",
    "--no-suggests",
    "--no-conflicts",
    "--no-breaks",
    "--no-replaces",
    "--no-enhances",
)
_ASK_SECONDS = 120.0
_DOWNLOAD_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Package:
    """One package as apt would fetch it now.

    Args:
        name: Its name, such as `dropbear-bin`.
        file: The name of its file; holds version and architecture.
        digest: Its hash by the distribution's signed index, such as `SHA256:...`.
    """

    name: str
    file: str
    digest: str


def resolve_kernel() -> tuple[str, ...]:
    """The packages that hold the kernel and its modules, on this distribution.

    Raises:
        MissingDependency: There is no apt, or its package lists were never fetched.
        NotSupported: No kernel package for x86-64 virtual machines is known here.
    """
    _require_amd64()
    for meta in KERNELS:
        if parts := _kernel_parts(meta):
            return parts
    if not _depends(["busybox-static"]):
        message = "apt knows no packages: its lists were never fetched"
        raise MissingDependency(message, install="sudo apt-get update")
    message = f"guest=linux: apt offers none of {', '.join(KERNELS)}"
    raise NotSupported(message, hint=_USE_IMAGE)


def required_packages(names: Sequence[str]) -> tuple[str, ...]:
    """These packages and all that they depend on, sorted.

    Raises:
        NotSupported: apt does not offer one of them.
    """
    listing = _depends(names, "--recurse")
    found = {line for line in listing if line[:1].isalnum() and ":" not in line}
    if missing := sorted(set(names) - found):
        message = f"guest=linux: apt does not offer {', '.join(missing)}"
        raise NotSupported(message, hint=f"run `sudo apt-get update`, or {_USE_IMAGE}")
    return tuple(sorted(found))


def locate(names: Sequence[str]) -> tuple[Package, ...]:
    """What apt would fetch for these names: versions and hashes, without fetching.

    Raises:
        CloudError: apt cannot say (code `AptFailed`).
    """
    answer = _apt("apt-get", "download", "--print-uris", *names, seconds=_ASK_SECONDS)
    lines = [line.split() for line in answer.stdout.splitlines() if line.startswith("'")]
    packages = tuple(Package(file.partition("_")[0], file, digest) for _, file, _, digest in lines)
    if answer.returncode != 0 or {p.name for p in packages} != set(names):
        raise _failure("say where its packages are", answer)
    return packages


def download(packages: Iterable[Package], folder: Path) -> dict[str, Path]:
    """The packages' files in `folder`, by package name.

    Raises:
        CloudError: The download failed (code `AptFailed`).
    """
    names = [package.name for package in packages]
    answer = _apt("apt-get", "download", "-qq", *names, seconds=_DOWNLOAD_SECONDS, folder=folder)
    if answer.returncode != 0:
        raise _failure(f"download {len(names)} packages", answer)
    # the file name on disk keeps a version's colon as %3a, so only the package's name is compared
    files = {path.name.partition("_")[0]: path for path in folder.glob("*.deb")}
    if missing := sorted(set(names) - files.keys()):
        message = f"apt-get download ended well but left out {', '.join(missing)}"
        raise CloudError(message, provider_code="AptIncomplete", hint="run it again")
    return files


def _require_amd64() -> None:
    answer = _apt("dpkg", "--print-architecture", seconds=_ASK_SECONDS)
    if (architecture := answer.stdout.strip()) != "amd64":
        message = f"guest=linux is built from amd64 packages; this host's dpkg is {architecture!r}"
        raise NotSupported(message, hint=_USE_IMAGE)


def _kernel_parts(meta: str) -> tuple[str, ...]:
    """The real packages behind a kernel's metapackage; empty if apt does not know it."""
    parts: dict[str, None] = {}
    fresh = [meta]
    while fresh:
        needed = [
            name
            for name in _dependencies(_depends(fresh))
            if name.startswith(_KERNEL_PARTS) and name not in parts
        ]
        parts.update(dict.fromkeys(needed))
        fresh = needed
    return tuple(parts)


def _dependencies(listing: Iterable[str]) -> Iterator[str]:
    for line in listing:
        relation, colon, name = line.partition(":")
        if colon and relation.strip(" |") in {"Depends", "PreDepends"}:
            yield name.strip()


def _depends(names: Sequence[str], *options: str) -> list[str]:
    """The lines of `apt-cache depends`; none if apt knows none of the packages."""
    answer = _apt("apt-cache", "depends", *_ONLY_DEPENDS, *options, *names, seconds=_ASK_SECONDS)
    return answer.stdout.splitlines()


def _apt(
    program: str, *arguments: str, seconds: float, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    if shutil.which(program) is None:
        message = f"guest=linux: this host has no {program}; it is built from Debian packages"
        raise NotSupported(message, hint=_USE_IMAGE)
    try:
        return subprocess.run(  # noqa: S603  (fixed programs; names come from apt itself)
            [program, *arguments],
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},  # the listings are read by a program
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        message = f"{program} {arguments[0]} gave no answer within {seconds:.0f} s"
        hint = "check the network, then run it again"
        raise CloudError(message, provider_code="AptFailed", hint=hint) from exc


def _failure(what: str, answer: subprocess.CompletedProcess[str]) -> CloudError:
    said = [line for line in answer.stderr.splitlines() if line.startswith("E:")]
    more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
    reason = said[0] + more if said else f"code {answer.returncode}"
    message = f"guest=linux: apt could not {what}: {reason}"
    hint = (
        "check the network and run `sudo apt-get update`, then `python -m vmops_local.prefetch`;"
        f" offline, {_USE_IMAGE}"
    )
    return CloudError(message, provider_code="AptFailed", hint=hint)
