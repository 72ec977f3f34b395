"""Every disk and network system call of a verb: killed there, or given an error there."""

from __future__ import annotations

import re
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from processes.forks import answer, need_strace, running, traced
from processes.scene import Audit, Scene
from processes.work import act, prepare, recover

CALLS = (
    *("openat", "write", "pwrite64", "writev", "fdatasync", "fsync", "ftruncate", "unlink"),
    *("rename", "mkdir", "flock", "connect", "sendto", "sendmsg", "recvfrom", "recvmsg"),
    *("bind", "listen", "chmod", "fallocate", "unlinkat", "rmdir", "symlink", "link", "kill"),
    *("pidfd_send_signal", "vfork", "clone", "clone3"),
)
"""The system calls that change a disk, speak to another process, or make one."""
_LINE = re.compile(r"^(\w+)\((.*)$", re.MULTILINE)
_ENDS = ("", "-wal", "-shm", "-journal", ".lock")
_SECONDS = 90.0
_numbers = count()


@dataclass(frozen=True)
class Point:
    """The n-th system call of its name that a verb makes."""

    verb: str
    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.verb} at {self.call} {self.number}"


class Stage:
    """A scene before a verb, to be had again and again.

    Args:
        scene: An empty one.
        verb: One of `work.ACTS`.
    """

    def __init__(self, scene: Scene, verb: str) -> None:
        self._scene = scene
        self.verb = verb
        self._copies = scene.backend == "sim" and not scene.database
        if self._copies:
            answer(prepare, scene, verb)

    def fresh(self) -> Scene:
        """The scene as it is before the verb."""
        number = next(_numbers)
        folder = self._scene.folder.with_name(f"{self._scene.folder.name}-{number}")
        if self._copies:
            return self._scene.copy(folder)
        folder.mkdir()
        scene = replace(self._scene, folder=folder)
        answer(prepare, scene, self.verb)
        return scene

    def points(self) -> list[Point]:
        """Every system call of the verb that counts, in order of their names."""
        scene = self.fresh()
        log = scene.folder / "trace"
        with running(act, scene, self.verb) as (process, pipe):
            assert pipe.recv() == "ready"
            with traced(process.pid or 0, log, "-e", f"trace={','.join(CALLS)}"):
                pipe.send("go")
                assert pipe.poll(_SECONDS), f"{self.verb}: no answer"
                pipe.recv()
                process.join(_SECONDS)
            assert process.exitcode == 0, process.exitcode
        assert "CLONE_THREAD" not in log.read_text(), "another thread would not be traced"
        found = list(self._found(log.read_text(), str(scene.folder)))
        clean_up(scene)
        return found

    def _found(self, log: str, folder: str) -> Iterator[Point]:
        numbers: Counter[str] = Counter()
        for name, arguments in _LINE.findall(log):
            numbers[name] += 1
            if name != "openat" or folder in arguments:  # not the files of Python itself
                yield Point(self.verb, name, numbers[name])

    def kill_at(self, point: Point, *, repeat: bool) -> tuple[bool, Audit]:
        """Whether the process was killed there, and what a new process made of what it left."""
        scene = self.fresh()
        inject = f"inject={point.call}:signal=SIGKILL:when={point.number}"
        with running(act, scene, self.verb) as (process, pipe):
            assert pipe.recv() == "ready"
            with traced(
                process.pid or 0, scene.folder / "trace", "-e", f"trace={point.call}", "-e", inject
            ):
                pipe.send("go")
                process.join(_SECONDS)
            killed = process.exitcode == -signal.SIGKILL
        found = answer(recover, scene, self.verb, repeat)
        clean_up(scene)
        return killed, found

    def fail_at(
        self, point: Point, error: str, *, for_good: bool
    ) -> tuple[tuple[str, str, str], Audit]:
        """What a verb said whose n-th call on the journal met an error, and what was left."""
        scene = self.fresh()
        places = (f"{scene.journal}{new}{end}" for new in ("", ".new") for end in _ENDS)
        paths = [option for place in places for option in ("-P", place)]
        when = f"{point.number}{'+' if for_good else ''}"
        inject = f"inject={point.call}:error={error}:when={when}"
        log = scene.folder / "trace"
        with running(act, scene, self.verb) as (process, pipe):
            assert pipe.recv() == "ready"
            with traced(process.pid or 0, log, *paths, "-e", f"trace={point.call}", "-e", inject):
                pipe.send("go")
                assert pipe.poll(_SECONDS), f"{point}: no answer"
                said = pipe.recv()
                process.join(_SECONDS)
            assert process.exitcode == 0, f"{point}: exit code {process.exitcode}"
        said = (*said[:2], "injected" if "(INJECTED)" in log.read_text() else "")
        found = answer(recover, scene, self.verb, False)
        clean_up(scene)
        return said, found


def clean_up(scene: Scene) -> None:
    """Leave no VM behind, even of a test that failed."""
    if scene.backend == "local":
        with scene.open() as ops:
            for vm in ops.list_vms():
                ops.vm_deprovision({"vmName": vm.name, "deleteUnowned": True})
    shutil.rmtree(scene.folder, ignore_errors=True)


def share(points: Sequence[Point], part: int, parts: int) -> Iterator[Point]:
    """Every so-many-th of the points, for workers side by side."""
    yield from points[part::parts]


def stage(folder: Path, verb: str, backend: str = "sim") -> Stage:
    """The stage of a verb in a folder of its own; skips where there is no strace."""
    need_strace()
    place = folder / verb.replace(" ", "-")
    place.mkdir()
    return Stage(Scene(place, backend), verb)
