"""The simulated cloud's memory: machines, operations and counters, in this process or in a file.

A world in a file is shared by all processes that name its folder. It is replaced as a whole under a
lock, so whoever is killed leaves the old world or the new one.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

try:
    import fcntl
except ImportError:  # Windows: a world in a file needs POSIX locks; worlds in memory do not
    fcntl = None  # type: ignore[assignment]

__all__ = ["FileStore", "Machine", "MemoryStore", "SimOperation", "Store", "World"]


@dataclass(slots=True)
class Machine:
    """One VM, as the cloud keeps it.

    Args:
        id: The cloud's id.
        name: What its creator called it; names need not be unique.
        token: The idempotency token it was made with.
        digest: The request it was made by.
        tags: Its tags.
        state: `starting`, `running`, `stopping`, `stopped`, `deleting`, `absent` or `failed`.
        goal: The state it is on its way to, or empty.
        until: When it gets there.
        visible: Before this moment `describe` may not show it.
        started: When its present boot began; 0 when it does not run.
        gone: When it was deleted; its tombstone stays for a while.
        size, zone, spot, holds_compute, address: As one would think.
        cause: Code of the error that it is failed or gone by.
    """

    id: str
    name: str
    token: str
    digest: str
    tags: dict[str, str]
    state: str
    goal: str = ""
    until: float = 0.0
    visible: float = 0.0
    started: float = 0.0
    gone: float = 0.0
    size: str = ""
    zone: str = ""
    spot: bool = False
    holds_compute: bool = False
    address: str = ""
    cause: str = ""


@dataclass(slots=True)
class SimOperation:
    """One operation, as the cloud keeps it: ends at `until`, with an error code if `fails`."""

    id: str
    machine: str
    action: str
    until: float
    fails: str = ""
    forgotten: bool = False


@dataclass(slots=True)
class World:
    """All there is: machines and operations by id, calls by kind, and what was drawn so far."""

    machines: dict[str, Machine] = field(default_factory=dict)
    operations: dict[str, SimOperation] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    buckets: dict[str, tuple[float, float]] = field(default_factory=dict)
    drawn: int = 0


class Store(Protocol):
    """Where a world is kept."""

    def open(self) -> AbstractContextManager[World]:
        """The world, nobody else in it; what was changed is kept."""
        ...


class MemoryStore:
    """A world in this process."""

    def __init__(self) -> None:
        """Start with an empty world."""
        self._world = World()
        self._lock = threading.RLock()

    @contextlib.contextmanager
    def open(self) -> Iterator[World]:
        """The world, no other thread in it."""
        with self._lock:
            yield self._world


class FileStore:
    """A world in a file.

    Args:
        folder: Its folder; made with mode 0700 if missing.
        name: The world's name.
    """

    def __init__(self, folder: Path, name: str) -> None:
        """Touch nothing yet."""
        if fcntl is None:
            raise OSError("a world in a file needs a POSIX system; leave out stateDir")
        self._file = folder / f"{name}.json"
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def open(self) -> Iterator[World]:
        """The world, no other process in it."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        with self._lock:
            descriptor = os.open(self._file.with_suffix(".lock"), flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                world = self._read()
                try:
                    yield world
                finally:  # a refused call was a call all the same
                    self._write(world)
            finally:
                os.close(descriptor)

    def _read(self) -> World:
        try:
            values: dict[str, Any] = json.loads(self._file.read_text())
        except FileNotFoundError:
            return World()
        return World(
            machines={key: Machine(**machine) for key, machine in values["machines"].items()},
            operations={key: SimOperation(**o) for key, o in values["operations"].items()},
            calls=values["calls"],
            buckets={key: (pair[0], pair[1]) for key, pair in values["buckets"].items()},
            drawn=values["drawn"],
        )

    def _write(self, world: World) -> None:
        fresh = self._file.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(world), file)
        fresh.replace(self._file)
