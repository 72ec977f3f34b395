"""Deciding: what a verb means for a VM as it was seen, by the tables and the journal."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from vmops.backend import Target
from vmops.connection import Connection
from vmops.errors import CloudError, Conflict, NotFound, NotSupported
from vmops.journal import Journal
from vmops.likeness import likeness
from vmops.looking import Answer, Job, Looker
from vmops.operation import Action, Handle, Operation
from vmops.params import Params
from vmops.records import FINISHED, Row, Stale
from vmops.semantics import POWER_CYCLE, UNCONFIRMED, UNSEEN, Decision, boot_id, decide
from vmops.vm import VM, State, Tags

__all__ = ["Planner"]

_ALIKE: Final = 16
"""Kinds of creates among which one that is alike is looked for."""
_BEGUN: Final = frozenset({("INTENT", Action.PROVISION), ("DELETING", Action.DEPROVISION)})
_HINTS = {
    (NotFound, State.ABSENT): "vm_provision makes it",
    (Conflict, State.STOPPED): "vm_start starts it",
    (Conflict, State.FAILED): "vm_deprovision deletes it",
}


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
        self.looker = Looker(connection, journal)

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
            if job.answer is None and self.early(job) > 0:
                later.append(job)
            elif job.answer is None:
                ready.append(job)
                taken.add(job.uid)
        return self._choose(ready), later

    def early(self, job: Job) -> float:
        """Seconds for which a create may not be repeated: the first one may be on its way.

        That counts on clouds where the same token can make a second VM.
        """
        backend, row = self._connection.backend, job.row
        if job.verb is not Action.PROVISION or backend.creates_once or row.state != "INTENT":
            return 0.0
        if row.sent == job.refused:  # what was sent last was refused: it is not on its way
            return 0.0
        return row.sent + backend.horizon - self._connection.clock.now()

    def _choose(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs whose creates have all choices made; those that are alike are asked for once."""
        answers: list[tuple[Params, Params | CloudError, str]] = []
        for job in jobs:
            if job.verb is Action.PROVISION:
                asked = job.bound.params
                found = next((a for a in answers[-_ALIKE:] if a[0] == asked), None)
                if found is None:
                    found = asked, self._resolved(asked), likeness(asked, self._journal.digest)
                    answers.append(found)
                _, answer, job.likeness = found
                if isinstance(answer, CloudError):
                    job.answer = answer
                else:
                    job.bound = replace(job.bound, params=answer)
        return [job for job in jobs if job.answer is None]

    def _resolved(self, params: Params) -> Params | CloudError:
        try:
            return self._connection.resolve(params)
        except CloudError as exc:
            return exc

    def _decide(self, action: Action, job: Job) -> Answer | None:
        """The answer where no call is needed; else None, with `job.verb` set."""
        self.looker.tell_apart(job)
        vm = job.vm = self._believed(action, job)
        self._check_owner(action, vm, job)
        if action is not Action.DEPROVISION:
            self._hold(action, job, vm)
        decision = decide(action, vm, job.bound.call.stop_mode)
        if decision in {Decision.CALL, Decision.START}:
            self._check_stop_mode(action, job)
            job.verb = Action.START if decision is Decision.START else action
            return None
        if decision is Decision.DONE:
            if vm.state is State.ABSENT and job.row.state not in FINISHED:
                self._journal.gone([job.row], settled=job.unseen)
            return vm
        if decision is Decision.JOIN:
            return self._joined(action, job, vm)
        kind = NotFound if decision is Decision.NOT_FOUND else Conflict
        name = job.ref.name or job.ref.id
        refusal = kind(
            f"cannot {action} VM {name!r}: it is {vm.state}",
            hint=_HINTS.get((kind, vm.state), "wait for what it is doing to end"),
        )
        if vm.error is not None:
            refusal.message += f": {vm.error.message}"
            refusal.provider_code = vm.error.provider_code
            refusal.hint = vm.error.hint or refusal.hint
        raise refusal

    def _hold(self, action: Action, job: Job, vm: VM) -> None:
        """Bring a row up to date with a VM of ours that the cloud was just seen to hold."""
        row = job.row
        if (
            job.is_by_id
            or job.unseen
            or vm.state in {State.ABSENT, State.DELETING}
            or not self.looker.owns(vm)
        ):
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
        gone = job.row.state == "GONE" and self.looker.token(seen) == job.row.token
        return job.row.state == "DELETING" or (gone and not self.is_settled(job))

    def _is_about(self, row: Row, seen: VM) -> bool:
        """Whether this is the row's VM, not one of the same name from before it."""
        if seen.state is State.ABSENT:
            same = seen.tags is not None and seen.tags.token == row.token
            return same or not seen.id or seen.id == row.vm_id or row.state in FINISHED
        older = self.looker.owns(seen) and seen.tags is not None and row.is_older(seen.tags)
        return not older  # what is older, reaping deletes

    def _check_owner(self, action: Action, vm: VM, job: Job) -> None:
        if vm.state is State.ABSENT or self.looker.owns(vm):
            self._check_phases(action, vm, job)
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

    def _check_phases(self, action: Action, vm: VM, job: Job) -> None:
        """A restart in two phases is asked for only where whoever waits may begin the second."""
        if action is not Action.RESTART or vm.state is State.ABSENT:
            return
        remembered = job.row.uid or vm.operation  # in the journal, or in the cloud's own record
        if not remembered and self._phases(vm, job) > 1:
            raise NotSupported(
                f"VM {vm.name!r} would stay stopped: a restart in two phases needs a journal",
                hint="use a journal, or vm_stop, wait, vm_start",
            )

    def _check_stop_mode(self, action: Action, job: Job) -> None:
        """A stop in a way that the cloud does not have is refused before any call."""
        backend, mode = self._connection.backend, job.bound.call.stop_mode
        if action is Action.STOP and mode not in backend.stop_modes:
            known = " or ".join(backend.stop_modes)
            raise NotSupported(
                f"{backend.name} stops no VM with stopMode={mode}", hint=f"give stopMode={known}"
            )

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
        if (job.row.state, action) in _BEGUN:  # its caller died before the answer was recorded
            self._journal.accepted([(job.row, operation)])
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
