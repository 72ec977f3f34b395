"""What the simulated programs do with vmops: overlapping lists of jobs, so that they race."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from simulator.scheduler import Process
from vmops import Result, Status, VMOps
from vmops.errors import VMOpsError

__all__ = ["Client", "Job", "Watcher", "tidy"]


@dataclass(frozen=True, slots=True)
class Job:
    """The life of some VMs as one program wants it: a create, some acts, mostly a deletion.

    Args:
        names: The VMs; several are asked for in one call.
        ttl: Seconds after which they may be reaped; None for never.
        acts: What is done in between, each with the pause before it.
        deleted: Whether they are deleted at the end.
        patient: Whether the program waits for what it asked for.
    """

    names: tuple[str, ...]
    ttl: float | None
    acts: tuple[tuple[float, str], ...]
    deleted: bool
    patient: bool

    @classmethod
    def random(cls, rng: random.Random, names: list[str], *, batches: bool) -> Job:
        """Some job on some of these names."""
        count = rng.randint(2, 3) if batches and rng.random() < 0.25 else 1
        ttl = rng.uniform(60, 600) if rng.random() < 0.3 else None
        weights = (6, 1, 1, 1, 4 if ttl else 0)
        acts = rng.choices(
            ("sleep", "restart", "stop", "start", "renew"), weights, k=rng.randint(1, 4)
        )
        return cls(
            tuple(rng.sample(names, min(count, len(names)))),
            ttl,
            tuple((rng.uniform(1, 100 if ttl else 40), act) for act in acts),
            deleted=rng.random() < 0.7,
            patient=rng.random() < 0.7,
        )


class Watcher(Protocol):
    """Who is told what the programs ask for."""

    def calling(
        self, process: Process, kind: str, names: tuple[str, ...]
    ) -> AbstractContextManager[None]: ...

    def renewed(self, name: str, expires: float, began: float) -> None: ...


class Client:
    """One program: started again whenever it is killed, it goes on with the job it was at."""

    def __init__(self, jobs: list[Job], open_ops: Callable[[], VMOps], watcher: Watcher) -> None:
        self.jobs = deque(jobs)
        self._open_ops = open_ops
        self._watcher = watcher

    def live(self, process: Process) -> None:
        """The program's main function."""
        ops = self._open_ops()
        tidy(ops, process)
        while self.jobs:
            self._do(ops, process, self.jobs[0])
            self.jobs.popleft()
            if process.scheduler.fate.rng.random() < 0.2:
                tidy(ops, process)

    def _do(self, ops: VMOps, process: Process, job: Job) -> None:
        self._create(ops, process, job)
        for pause, act in job.acts:
            process.sleep(pause)
            if act != "sleep":
                self._act(ops, process, job, act)
        if job.deleted:
            for name in job.names:
                with self._watcher.calling(process, "deprovision", (name,)):
                    asked = ops.vm_deprovision({"vmName": name})
                self._wait(ops, process, job, asked)

    def _create(self, ops: VMOps, process: Process, job: Job) -> None:
        params = [{"vmName": name, **({"ttl": job.ttl} if job.ttl else {})} for name in job.names]
        with self._watcher.calling(process, "provision", job.names):
            if len(params) == 1:
                asked = [ops.vm_provision(params[0])]
            else:
                asked = [answer for _, *answer in ops.run_many("provision", params)]
        pending = [result for status, result in asked if status is Status.PENDING]
        if job.patient and pending:
            list(ops.wait_many(pending))

    def _act(self, ops: VMOps, process: Process, job: Job, act: str) -> None:
        name = job.names[0]
        with self._watcher.calling(process, act, (name,)):
            if act == "renew":
                began = process.scheduler.now
                status, result = ops.renew({"vmName": name, "ttl": 1000.0})
                if status is Status.SUCCEEDED:
                    self._watcher.renewed(name, result["expires"], began)
                return
            asked = getattr(ops, f"vm_{act}")({"vmName": name})
        self._wait(ops, process, job, asked)

    def _wait(self, ops: VMOps, process: Process, job: Job, asked: tuple[Any, Result]) -> None:
        status, result = asked
        if job.patient and status is Status.PENDING:
            process.activity = ""
            ops.wait_vm_operation(result)


def tidy(ops: VMOps, process: Process) -> None:
    """What every program does when it starts, and a timer does now and then."""
    for activity, act in (("recover", ops.recover), ("reap", lambda: ops.reap(yes=True))):
        process.activity = activity
        try:
            act()
        except VMOpsError as exc:
            process.scheduler.tell(f"{activity} ends with {exc}")
