"""Deciding: look at the VM, then at the tables, before anything is sent."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vmops.backend import Target
from vmops.binding import Bound
from vmops.connection import Connection
from vmops.errors import CloudError, Conflict, JournalError, NotFound, NotSupported, TransientError
from vmops.journal import Journal
from vmops.operation import Action, Handle, Operation
from vmops.records import FINISHED, UNKNOWN, Row, Stale
from vmops.semantics import POWER_CYCLE, UNCONFIRMED, UNSEEN, Decision, boot_id, decide
from vmops.vm import VM, Ref, State, Tags

__all__ = ["Answer", "Job", "Planner"]

_log = logging.getLogger("vmops")

_HINTS = {
    (NotFound, State.ABSENT): "vm_provision makes it",
    (Conflict, State.STOPPED): "vm_start starts it",
    (Conflict, State.FAILED): "vm_deprovision deletes it",
}

Answer = VM | Operation | Exception
"""A VM: done at once. An Operation: accepted. An exception: refused."""


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
    answer: Answer | None = None
    asked: float = 0.0
    unseen: bool = False
    sent: bool = False
    looked_again: bool = False
    not_found: bool = False
    last: bool = True

    @property
    def name(self) -> str:
        """The VM's name, as far as it is known."""
        return self.vm.name if self.vm is not None else self.ref.name or self.row.vm or self.ref.id

    @property
    def present_vm(self) -> VM:
        """The VM as it was seen, ABSENT where it was not."""
        return self.vm or VM(self.name, State.ABSENT)


class Planner:
    """Decides what a verb means for VMs as they are now.

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

    def _is_enough(self, action: Action, job: Job, seen: VM) -> bool:
        """Whether what a wait has just seen is enough to act on: the cloud refuses if it errs."""
        if action is Action.PROVISION or job.ref.id not in {"", seen.id}:
            return False
        if not self.owns(seen):
            return False
        if job.row.uid and not (job.row.present and self.token(seen) == job.row.token):
            return False
        return decide(action, seen, job.bound.call.stop_mode) is Decision.CALL

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

    def plan(self, action: Action, jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
        """The jobs that need a call, and those that name a VM another job is about to change."""
        ready: list[Job] = []
        later: list[Job] = []
        taken: set[str] = set()
        for job in jobs:
            if job.answer is not None:
                continue
            if job.uid in taken:
                later.append(job)
                continue
            try:
                job.answer = self._decide(action, job)
            except CloudError as exc:
                job.answer = exc
            except Stale:
                later.append(job)
                continue
            if job.answer is None:
                ready.append(job)
                taken.add(job.uid)
        return ready, later

    def _decide(self, action: Action, job: Job) -> Answer | None:
        """The answer where no call is needed; else None, with `job.verb` set."""
        vm = job.vm = self._believed(action, job)
        self._check_owner(action, vm, job)
        if action is not Action.DEPROVISION:
            self._hold(action, job, vm)
        decision = decide(action, vm, job.bound.call.stop_mode)
        if decision in {Decision.CALL, Decision.START}:
            job.verb = Action.START if decision is Decision.START else action
            if job.verb is Action.PROVISION:
                resolved = self._connection.resolve(job.bound.params)
                job.bound = replace(job.bound, params=resolved)
            return None
        if decision is Decision.DONE:
            if vm.state is State.ABSENT and job.row.state not in FINISHED:
                self._journal.gone([job.row], settled=job.unseen)
            return vm
        if decision is Decision.JOIN:
            return self._joined(action, job, vm)
        kind = NotFound if decision is Decision.NOT_FOUND else Conflict
        name = job.ref.name or job.ref.id
        raise kind(
            f"cannot {action} VM {name!r}: it is {vm.state}",
            hint=_HINTS.get((kind, vm.state), "wait for what it is doing to end"),
        )

    def _hold(self, action: Action, job: Job, vm: VM) -> None:
        """Bring a row up to date with a VM of ours that the cloud was just seen to hold."""
        row = job.row
        if job.unseen or vm.state in {State.ABSENT, State.DELETING} or not self.owns(vm):
            return
        if not row.uid:
            return  # there is no journal, or it cannot be read now
        assert vm.tags is not None  # noqa: S101  (it is ours)
        if row.state in FINISHED or vm.tags.token != row.token:
            self._journal.adopt(row, vm, self._connection.place.to_text())
        elif (
            action is Action.PROVISION
            and row.state in {"INTENT", "ACCEPTED"}
            and vm.state in {State.RUNNING, State.STOPPED}
        ):
            self._journal.live(row, vm.id)

    def _believed(self, action: Action, job: Job) -> VM:
        """The VM as the cloud shows it; what was just asked for may not be shown yet."""
        row, seen = job.row, job.vm
        if seen is not None and self._is_about(row, seen):
            if action is not Action.DEPROVISION and self._is_deleted(job, seen):
                return replace(seen, state=State.DELETING)  # whoever began it, or recovery, goes on
            return seen
        job.unseen = True
        name = job.ref.name or row.vm or job.ref.id
        if self.is_settled(job):
            return VM(name, State.ABSENT)
        state = {"ACCEPTED": State.STARTING, "LIVE": State.STARTING, "DELETING": State.DELETING}
        if action is Action.DEPROVISION:  # a create that nobody has seen yet
            state["INTENT"] = State.STARTING
        tags = Tags(self._journal.owner, name, row.token)
        return VM(name, state.get(row.state, State.ABSENT), id=row.vm_id, tags=tags)

    def is_settled(self, job: Job) -> bool:
        """Whether the row's last request was too long ago to have had no effect by now."""
        return self._connection.proves_absence(job.row.sent, job.asked)

    def _is_deleted(self, job: Job, seen: VM) -> bool:
        """Whether a VM that is shown is being deleted, or was, and is only still shown."""
        if seen.state is State.ABSENT:
            return False
        gone = job.row.state == "GONE" and self.token(seen) == job.row.token
        return job.row.state == "DELETING" or (gone and not self.is_settled(job))

    def _is_about(self, row: Row, seen: VM) -> bool:
        """Whether this is the row's VM, not one of the same name from before it."""
        if seen.state is State.ABSENT:
            same = seen.tags is not None and seen.tags.token == row.token
            return same or not seen.id or seen.id == row.vm_id or row.state in FINISHED
        older = self.owns(seen) and seen.tags is not None and row.is_older(seen.tags)
        return not older  # what is older, reaping deletes

    def _check_owner(self, action: Action, vm: VM, job: Job) -> None:
        if vm.state is State.ABSENT or self.owns(vm):
            return
        owner = f"vmops install {vm.tags.owner!r}" if vm.tags else "something other than vmops"
        if action is Action.PROVISION:
            raise Conflict(
                f"VM {vm.name!r} exists already and was made by {owner}",
                hint="choose another vmName",
            )
        if action is Action.DEPROVISION and not job.bound.call.delete_unowned:
            raise Conflict(
                f"VM {vm.name!r} was made by {owner}; it is not deleted",
                hint="deleteUnowned=true deletes it all the same",
            )
        if action is Action.RESTART and self._phases(vm, job) > 1:
            raise NotSupported(
                f"VM {vm.name!r} was made by {owner}; a restart in two phases is for our own VMs",
                hint="vm_stop, wait, vm_start",
            )

    def owns(self, vm: VM) -> bool:
        """Whether the VM carries our install id."""
        return vm.tags is not None and vm.tags.owner == self._journal.owner

    def token(self, vm: VM) -> str:
        """The token that a VM of ours was created with; empty for one that is not ours."""
        return vm.tags.token if vm.tags is not None and self.owns(vm) else ""

    def _phases(self, vm: VM, job: Job) -> int:
        return self._connection.backend.restart_phases(Target(vm, job.bound.params))

    def _restart_mode(self, vm: VM, job: Job) -> str:
        if self._phases(vm, job) > 1:
            return POWER_CYCLE
        return "" if self._connection.backend.confirms_restart else UNCONFIRMED

    def _joined(self, action: Action, job: Job, vm: VM) -> Operation:
        if job.row.url and job.row.state not in FINISHED:
            recorded = Operation.from_url(job.row.url)
            if recorded.action is action and recorded.vm_id in {"", vm.id}:
                return recorded
        operation = self.operation(action, job, vm, {}, secrets.token_hex(8))
        if job.row.state == "INTENT" and action is Action.PROVISION:
            self._journal.accepted([(job.row, operation)])  # a create whose caller died
        return operation

    def operation(self, action: Action, job: Job, vm: VM, handle: Handle, id_: str) -> Operation:
        """The operation that a handle stands for."""
        extras = {"vmId": vm.id, "boot": boot_id(vm) if action is not Action.PROVISION else ""}
        mode: str = job.bound.call.stop_mode if action is Action.STOP else ""
        if action is Action.DEPROVISION and job.unseen and not vm.id:
            mode = UNSEEN
        if action is Action.RESTART:
            mode = self._restart_mode(vm, job)
        return Operation(
            backend=self._connection.backend.name,
            vm=job.name,
            action=action,
            id=id_,
            at=self._connection.clock.now(),
            account=self._connection.account(),
            scope=self._connection.scope,
            handle={**{key: value for key, value in extras.items() if value}, **handle},
            mode=mode,
        )
