"""What is written down of a VM, in `vm.json` in its folder: enough for any later process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from vmops.errors import CloudError
from vmops_local.disk_format import DiskFormat, ImageFacts
from vmops_local.files import write_over
from vmops_local.image import LocalImage
from vmops_local.parts import Disk, GuestParts

__all__ = ["RECORD", "Record", "Stopping", "read_record", "write_record"]

RECORD: Final = "vm.json"


@dataclass(frozen=True, slots=True)
class Stopping:
    """The power button was pressed at `since`; `grace` seconds later the VM is forced off."""

    since: float
    grace: float


@dataclass(frozen=True, slots=True)
class Record:
    """One VM.

    Args:
        name: Its name.
        uuid: Its UUID; QEMU carries it on its command line.
        token: The idempotency token of its create.
        tags: The caller's ownership tags.
        kind: The kind of guest, for the KVM verdict.
        parts: Its guest.
        memory_mib: Memory in MiB.
        cpus: Virtual processors.
        accel: What was asked for: `auto`, `tcg` or `kvm`.
        operation: Id of the last operation that was accepted.
        booted_with: `tcg` or `kvm`, of the present boot.
        on_trial: Whether the present boot is KVM's first with this kind of guest.
        started: Epoch seconds of the present boot.
        offset: Where the present boot begins in the serial log.
        stopping: Set while it is to shut down.
        forced: Whether its last stop had to be forced.
        ssh_port: The port on 127.0.0.1 that leads to its port 22.
    """

    name: str
    uuid: str
    token: str
    tags: dict[str, str]
    kind: str
    parts: GuestParts
    memory_mib: int
    cpus: int
    accel: str
    operation: str = ""
    booted_with: str = ""
    on_trial: bool = False
    started: float = 0.0
    offset: int = 0
    stopping: Stopping | None = None
    forced: bool = False
    ssh_port: int | None = None


def read_record(folder: Path) -> Record | None:
    """The record in a VM's folder; None if there is no such VM.

    Raises:
        CloudError: There is one that cannot be read; nothing is changed.
    """
    file = folder / RECORD
    try:
        values: dict[str, Any] = json.loads(file.read_text())
        parts = values["parts"]
        stopping = values["stopping"]
        return Record(
            **{
                **values,
                "parts": GuestParts(**{**parts, "disks": tuple(map(_disk, parts["disks"]))}),
                "stopping": Stopping(**stopping) if stopping else None,
            }
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise CloudError(
            f"{file}: cannot be read ({exc!r}); the VM was left as it is",
            provider_code="CorruptRecord",
            remains=f"VM {folder.name!r} in {folder}",
            hint=f"restore {file}, or end its QEMU and remove {folder}",
        ) from exc


def write_record(folder: Path, record: Record) -> Record:
    """Write the record down, whole and on disk."""
    write_over(folder / RECORD, json.dumps(asdict(record), default=str, indent=1).encode())
    return record


def _disk(values: dict[str, Any]) -> Disk:
    base = values["base"]
    if base is not None:
        facts = ImageFacts(**{**base["facts"], "format": DiskFormat(base["facts"]["format"])})
        base = LocalImage(Path(base["path"]), facts)
    return Disk(**{**values, "format": DiskFormat(values["format"]), "base": base})
