"""Looking: what journal and cloud say of each VM that a verb is about."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vmops.backend import Target
from vmops.binding import Bound
from vmops.clock import Clock
from vmops.connection import Connection
from vmops.errors import JournalError, TransientError
from vmops.journal import Journal
from vmops.operation import Action, Operation
from vmops.records import FINISHED, UNKNOWN, Row
from vmops.semantics import Decision, decide
from vmops.vm import VM, Ref, State

__all__ = ["Answer", "Found", "Job", "Looker"]

_log = logging.getLogger("vmops")

Answer = VM | Operation | Exception
"""A VM: done at once. An Operation: accepted. An exception: refused."""


@dataclass(frozen=True, slots=True)
class Found:
    """A VM as it is now, and where that is: what a URL about it is made of.

    Args:
        name: What it goes by: its name, or its id where it was asked for by that.
        vm: The VM; ABSENT where the cloud shows none.
        backend: The plugin's name.
        account: The identity the connection proved.
        scope: The shareable settings.
        clock: What the backend's time is measured by.
        login: The account that its params say may log in; empty where they say none.
    """

    name: str
    vm: VM
    backend: str
    account: str
    scope: Mapping[str, str]
    clock: Clock
    login: str = ""


@dataclass(slots=True, eq=False)
class Job:
    """One VM's way through `Submitter.submit`."""

    bound: Bound
    ref: Ref
    uid: str
    row: Row = UNKNOWN
    batch: Sequence[Row] = ()
    vm: VM | None = None
    verb: Action | None = None
    likeness: str = ""
    answer: Answer | None = None
    asked: float = 0.0
    unseen: bool = False
    sent: bool = False
    looked_again: bool = False
    refused: float = -1.0
    not_found: bool = False
    last: bool = True

    @property
    def is_by_id(self) -> bool:
        """Whether its id alone names the VM: it is not ours, or not the one in the journal."""
        return not self.ref.name

    @property
    def name(self) -> str:
        """The VM's name, as far as it is known."""
        seen = self.vm.name if self.vm is not None else ""  # by its tags, which may be lost
        return self.ref.name or self.row.vm or seen or self.ref.id

    @property
    def present_vm(self) -> VM:
        """The VM as it was seen, ABSENT where it was not."""
        return self.vm or VM(self.name, State.ABSENT)


class Looker:
    """Looks at the VMs of one connection before anything is decided.

    Args:
        connection: The cloud.
        journal: What is known of the VMs.
    """

    def __init__(self, connection: Connection, journal: Journal) -> None:
        """Ask nothing of the cloud yet."""
        self._connection = connection
        self._journal = journal
        self._where = ""  # what all keys of this connection begin with

    def job(self, action: Action, bound: Bound) -> Job:
        """The job of one call. A create goes by name: its VM has no id yet."""
        vm_id = "" if action is Action.PROVISION else bound.call.vm_id
        ref = Ref(bound.call.vm_name or "", vm_id or "")
        return Job(bound, ref, self._uid(ref))

    def _uid(self, ref: Ref) -> str:
        if not self._where:
            self._where = self._connection.place.uid("")
        return self._where + (ref.name or ref.id)

    def look(self, action: Action, jobs: Sequence[Job], *, again: bool = False) -> None:
        """Fill in what journal and cloud say of each job's VM.

        Args:
            action: The verb.
            jobs: The VMs.
            again: Whether what was seen before has turned out wrong.
        """
        self._find_names([job for job in jobs if not job.ref.name])
        # the journal first: a row that changes after this makes the intent Stale, never a duplicate
        rows = self._rows(action, [job.uid for job in jobs])
        unseen: list[Job] = []
        for job in jobs:
            job.row, job.answer = rows[job.uid], None
            recent = self._connection.recent(job.name)
            if recent is not None and not again and self._is_enough(action, job, recent[1]):
                job.asked, job.vm = recent
            else:
                unseen.append(job)
        if unseen:
            self._see(unseen)

    def tell_apart(self, job: Job) -> None:
        """A VM that was asked for by its id, and has the name of another one, goes by the id."""
        seen, wanted = job.vm, job.ref.id
        if seen is None or not wanted or seen.state is State.ABSENT:
            return
        if job.row.vm_id not in {"", wanted}:
            job.ref = Ref("", wanted)
            job.uid = self._uid(job.ref)
            job.row = self._journal.rows([job.uid])[job.uid]

    def _is_enough(self, action: Action, job: Job, seen: VM) -> bool:
        """Whether what a wait has just seen is enough to act on: the cloud refuses if it errs."""
        if action is Action.PROVISION or job.ref.id not in {"", seen.id}:
            return False
        if not self.owns(seen):
            return False
        if job.row.uid and not (job.row.present and self.token(seen) == job.row.token):
            return False
        if action is Action.RESTART and seen.started is None and self._needs_boot(job, seen):
            return False
        return decide(action, seen, job.bound.call.stop_mode) is Decision.CALL

    def _needs_boot(self, job: Job, seen: VM) -> bool:
        """Whether only another boot will tell that a restart is over."""
        return self._connection.backend.restart_phases(Target(seen, job.bound.params)) > 1

    def _see(self, jobs: Sequence[Job]) -> None:
        """Ask the cloud for the VMs, by the ids that the journal knows first."""
        refs = [self._ref(job) for job in jobs]
        for job in jobs:
            job.asked = self._connection.clock.now()
        try:
            seen = self._connection.find(refs)
        except TransientError as exc:
            seen = [exc] * len(jobs)
        for job, vm in zip(jobs, seen, strict=True):
            job.answer = vm if isinstance(vm, Exception) else None
            job.vm = vm if isinstance(vm, VM) else None

    @staticmethod
    def _ref(job: Job) -> Ref:
        known = "" if job.row.state in FINISHED else job.row.vm_id
        # an id that the caller gave decides alone
        return Ref(job.ref.name, known, job.row.token) if not job.ref.id else Ref("", job.ref.id)

    def _rows(self, action: Action, uids: Sequence[str]) -> Mapping[str, Row]:
        try:
            return self._journal.rows(uids)
        except JournalError as exc:
            # a restart may need the journal for its second phase, the others for their intent
            if action not in {Action.START, Action.STOP}:
                raise
            _log.warning("%s goes on without the journal: %s", action, exc)
            return dict.fromkeys(uids, UNKNOWN)

    def _find_names(self, jobs: Sequence[Job]) -> None:
        """The journal knows VMs by name: ask the cloud for the names of those given by id."""
        seen = self._connection.look_patiently([job.ref for job in jobs]) if jobs else []
        for job, vm in zip(jobs, seen, strict=True):
            if isinstance(vm, VM) and vm.tags is not None:
                job.ref = Ref(vm.name, vm.id)
                job.uid = self._uid(job.ref)

    def owns(self, vm: VM) -> bool:
        """Whether the VM carries our install id."""
        return vm.tags is not None and vm.tags.owner == self._journal.owner

    def token(self, vm: VM) -> str:
        """The token that a VM of ours was created with; empty for one that is not ours."""
        return vm.tags.token if vm.tags is not None and self.owns(vm) else ""
