"""A kill storm: processes work on one journal and one cloud while they are killed at random."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

from processes.forks import answer, forkserver
from processes.scene import Audit, Scene
from processes.work import look, storm


@dataclass(frozen=True)
class Ended:
    """How a storm ended.

    Args:
        kills: How many processes were killed.
        pauses: How many were stopped for a while.
        broken: How many ended by themselves, which none should.
        audit: What was found afterwards.
        machines: How many VMs the cloud made.
    """

    kills: int
    pauses: int
    broken: int
    machines: int
    audit: Audit


class _Crowd:
    """Workers that are replaced when they die."""

    def __init__(self, scene: Scene, workers: int, names: int, seed: int) -> None:
        self._scene = scene
        self._names = names
        self._context = forkserver()
        self.random = random.Random(seed)
        self.broken = 0
        self.workers = [self._start() for _ in range(workers)]

    def _start(self) -> BaseProcess:
        arguments = (self._scene, self._names, self.random.randrange(1 << 30))
        process: BaseProcess = self._context.Process(target=storm, args=arguments, daemon=True)
        process.start()
        return process

    def any(self) -> BaseProcess:
        """One of them; whoever ended by itself is counted and replaced."""
        for place, worker in enumerate(self.workers):
            if not worker.is_alive():
                self.broken += 1
                self.workers[place] = self._start()
        return self.random.choice(self.workers)

    def kill(self, worker: BaseProcess) -> None:
        """SIGKILL it, and let another one take its place."""
        worker.kill()
        worker.join()
        self.workers[self.workers.index(worker)] = self._start()

    def close(self) -> None:
        """Kill them all."""
        for worker in self.workers:
            worker.kill()
            worker.join()


@contextmanager
def _paused(worker: BaseProcess) -> Iterator[None]:
    os.kill(worker.pid or 0, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker.pid or 0, signal.SIGCONT)


def rage(
    scene: Scene,
    *,
    seconds: float,
    workers: int = 4,
    names: int = 6,
    interval: float = 0.3,
    seed: int = 1,
) -> Ended:
    """Let a storm rage over a scene for so many seconds, then recover and look."""
    crowd = _Crowd(scene, workers, names, seed)
    kills = pauses = 0
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            time.sleep(crowd.random.expovariate(1 / interval))
            if crowd.random.random() < 0.1:
                pauses += 1
                with ExitStack() as stack:
                    stack.enter_context(_paused(crowd.any()))
                    time.sleep(crowd.random.uniform(0, 3 * scene.lease))
            else:
                kills += 1
                crowd.kill(crowd.any())
    finally:
        crowd.close()
    audit, machines = answer(look, scene)
    return Ended(kills, pauses, crowd.broken, machines, audit)
