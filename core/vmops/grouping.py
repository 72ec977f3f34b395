"""Grouping: which VMs may leave in one call, and which must."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from vmops.connection import Connection
from vmops.journal import Journal
from vmops.looking import Job
from vmops.operation import Action
from vmops.params import revealed
from vmops.vm import Ref

__all__ = ["Grouper"]


class Grouper:
    """Groups the VMs of one connection's verbs.

    Args:
        connection: The cloud, which takes many VMs in one call or not.
        journal: Tells requests apart, and which VMs were asked for together.
    """

    def __init__(self, connection: Connection, journal: Journal) -> None:
        """Nothing is asked of either yet."""
        self._connection = connection
        self._journal = journal

    def alike(self, verb: Action, jobs: Sequence[Job]) -> Iterator[list[Job]]:
        """The jobs, grouped by what may leave in one call."""
        if len(jobs) == 1:
            yield list(jobs)
            return
        groups: dict[str, list[Job]] = {}
        for job in jobs:
            groups.setdefault(self._likeness(verb, job), []).append(job)
        for group in groups.values():
            if verb is Action.PROVISION and self._connection.sender.can_send_many(verb):
                jobs_of = {job.name: job for job in group}
                params = group[0].bound.params
                for names in self._connection.backend.provision_parts(list(jobs_of), params):
                    yield [jobs_of[name] for name in names]
            else:
                yield group

    def _likeness(self, verb: Action, job: Job) -> str:
        """What jobs must share to leave in one call."""
        if not self._connection.sender.can_send_many(verb):
            return ""
        if verb in {Action.PROVISION, Action.RESTART}:
            return self.digest(job)
        return job.bound.call.stop_mode

    def digest(self, job: Job) -> str:
        """What tells a create from another one: all that it asks for, its secrets included."""
        params = job.bound.params
        values = {name: revealed(getattr(params, name)) for name in type(params).model_fields}
        return self._journal.digest({"params": values, "ttl": job.bound.call.ttl})

    def calls(self, verb: Action, jobs: list[Job]) -> Iterable[list[Job]]:
        """The jobs as they leave: creates with one token are one call, and are never split."""
        if verb is Action.DEPROVISION:  # of what nobody has seen yet, nothing can be sent
            unseen = [job for job in jobs if not job.present_vm.id]
            seen = [job for job in jobs if job.present_vm.id]
            most = self._connection.limiter(verb.value).batch
            parts = [seen[start : start + most] for start in range(0, len(seen), most)]
            return [*parts, *filter(None, [unseen])]
        if verb is not Action.PROVISION or not self._connection.sender.can_send_many(verb):
            return [jobs] if jobs else []
        calls: dict[str, list[Job]] = {}
        for job in jobs:
            calls.setdefault(job.row.token, []).append(job)
        return [self._whole_batch(call) for call in calls.values()]

    def _whole_batch(self, jobs: list[Job]) -> list[Job]:
        """The jobs with all other members of their batch: it is re-sent whole, in its order."""
        first = jobs[0]
        if len(first.batch) <= 1:  # new ones, or one by itself: in the order in which they came
            return jobs
        present = {job.uid: job for job in jobs}
        return [
            present.get(row.uid) or replace(first, ref=Ref(row.vm), uid=row.uid, row=row, vm=None)
            for row in first.batch
        ]
