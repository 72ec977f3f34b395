"""A cloud and a journal in a folder: what a process works on, and what is looked at afterwards."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from vmops import VMOps
from vmops.clock import SystemClock
from vmops.durable_journal import DurableJournal
from vmops.records import UNFINISHED
from vmops.sql_tables import vms
from vmops.store import SqlStore
from vmops.vm import VM, State

_SIM = {f"{verb}Seconds": "0" for verb in ("provision", "start", "stop", "restart", "deprovision")}
_NOT_THERE = {State.ABSENT, State.DELETING}


@dataclass(frozen=True)
class Scene:
    """Where a test takes place.

    Args:
        folder: Holds the cloud's state and, if it is SQLite, the journal.
        backend: `sim` or `local`.
        database: URL of a PostgreSQL journal.
        lease: Seconds of the journal's leases.
        settings: More settings of the backend.
    """

    folder: Path
    backend: str = "sim"
    database: str = ""
    lease: float = 60.0
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def journal(self) -> str:
        """The journal's place."""
        return self.database or str(self.folder / "journal.db")

    @property
    def cloud(self) -> Path:
        """The folder of the cloud's state."""
        return self.folder / "cloud"

    @contextmanager
    def open(self) -> Iterator[VMOps]:
        """VMOps over the cloud, with the journal opened on first use."""
        sim = {**_SIM, "tick": 0.01} if self.backend == "sim" else {}
        config = {"backend": self.backend, "stateDir": str(self.cloud), **sim, **self.settings}
        journal = DurableJournal(SqlStore(self.journal), lease=self.lease)
        with VMOps(config, journal=journal) as ops:
            yield ops
        journal.close()

    def copy(self, folder: Path) -> Scene:
        """The same scene elsewhere; only for a cloud that is all files."""
        shutil.copytree(self.folder, folder)
        return replace(self, folder=folder)


@contextmanager
def later(seconds: float) -> Iterator[None]:
    """Let it be so much later for this process: leases and horizons are over."""
    original = SystemClock.now
    SystemClock.now = lambda self: original(self) + seconds  # type: ignore[method-assign]
    try:
        yield
    finally:
        SystemClock.now = original  # type: ignore[method-assign]


@dataclass(frozen=True)
class Audit:
    """What is wrong: all counts are to be 0, `corrupt` and `refused` (a repeated verb) empty."""

    leaked: int
    lost: int
    stuck: int
    duplicated: int
    corrupt: str = ""
    refused: str = ""
    told: str = ""

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (
            self.leaked
            or self.lost
            or self.stuck
            or self.duplicated
            or self.corrupt
            or self.refused
        )


def audit(scene: Scene, ops: VMOps) -> Audit:
    """Compare the cloud with the journal."""
    alive = [vm for vm in ops.list_vms() if vm.state not in _NOT_THERE]
    rows = _rows(scene)
    held = {row["vm_id"] for row in rows if row["state"] == "LIVE"}
    names = Counter(vm.name for vm in alive)
    return Audit(
        leaked=sum(vm.id not in held for vm in alive) + _stray_processes(scene, alive),
        lost=len(held - {vm.id for vm in alive}),
        stuck=sum(row["state"] in UNFINISHED for row in rows),
        duplicated=sum(count - 1 for count in names.values()) + _overlaps(scene),
        corrupt=_integrity(scene),
        told=f"alive: {[(v.name, v.id, v.state.value) for v in alive]}, rows: {rows}",
    )


def _rows(scene: Scene) -> list[dict[str, Any]]:
    store = SqlStore(scene.journal)
    with store.reading() as tables:
        columns = (vms.c.vm, vms.c.state, vms.c.vm_id, vms.c.generation)
        found = [dict(row) for row in tables.connection.execute(sa.select(*columns)).mappings()]
    store.close()
    return found


def _integrity(scene: Scene) -> str:
    if scene.database:
        return ""
    with closing(sqlite3.connect(scene.journal)) as connection:
        ((said,),) = connection.execute("pragma integrity_check").fetchall()
    return "" if said == "ok" else str(said)


def _overlaps(scene: Scene) -> int:
    """How many VMs the simulated cloud made while another one of that name was there."""
    file = scene.cloud / "default.json"
    if scene.backend != "sim" or not file.exists():
        return 0
    machines = json.loads(file.read_text())["machines"].values()
    lives: dict[str, list[tuple[float, float]]] = {}
    for machine in machines:
        gone = machine["gone"] or float("inf")
        lives.setdefault(machine["name"], []).append((machine["visible"], gone))
    overlaps = 0
    for spans in lives.values():
        spans.sort()
        overlaps += sum(one[1] > other[0] for one, other in pairwise(spans))
    return overlaps


def made(scene: Scene) -> int:
    """How many VMs the simulated cloud made, as far as it remembers."""
    return len(json.loads((scene.cloud / "default.json").read_text())["machines"])


def _stray_processes(scene: Scene, alive: list[VM]) -> int:
    """How many QEMU processes of the scene belong to no VM."""
    if scene.backend != "local":
        return 0
    marks = [vm.id for vm in alive]
    strays = 0
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().decode(errors="replace")
        except OSError:
            continue  # it has ended
        if "qemu" in line and str(scene.folder) in line:
            strays += not any(mark in line for mark in marks)
    return strays
