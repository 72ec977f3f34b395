"""Reaping: VMs of ours that nobody needs any more are found in the cloud, and deleted.

The cloud is listed first and the journal read second, so that whatever is created meanwhile is in
the journal by the time its VM is judged. Nothing is deleted on a guess: each VM carries our install
id, is looked at twice, and is finished with by the journal's own word or past its time to live.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from vmops.backend import Target
from vmops.binding import Bound
from vmops.connection import Connection
from vmops.journal import Journal
from vmops.looking import Job
from vmops.operation import Action, Operation
from vmops.planning import Planner
from vmops.records import FINISHED, Row
from vmops.submission import Submitter
from vmops.vm import VM, Ref, State, Tags

__all__ = ["Reaper", "Reaping", "Reason"]


class Reason(StrEnum):
    """Why a VM may be deleted, or is left."""

    EXPIRED = "expired"
    FINISHED = "finished"
    OLDER = "older"
    UNRECORDED = "unrecorded"


@dataclass(frozen=True, slots=True)
class Reaping:
    """One VM that reaping found.

    Args:
        vm: What the cloud shows.
        backend: The backend's name.
        reason: `expired` (past its time to live), `finished` (its row is gone, failed or
            abandoned), `older` (its name has a newer VM), or `unrecorded` (no row knows it).
        due: Whether it is to be deleted.
        url: The deletion to wait for, if it was asked for.
        error: Why it was not deleted though it was due.
    """

    vm: VM
    backend: str
    reason: Reason
    due: bool
    url: str = ""
    error: Exception | None = None


class Reaper:
    """Finds and deletes what nobody needs on one connection.

    Args:
        connection: The cloud.
        journal: What is still needed.
        submitter: Sends deletions.
        idle: Params with nothing given.
    """

    def __init__(
        self, connection: Connection, journal: Journal, submitter: Submitter, idle: Bound
    ) -> None:
        """Ask nothing of the cloud yet."""
        self._connection = connection
        self._journal = journal
        self._submitter = submitter
        self._planner = Planner(connection, journal)
        self._idle = idle

    def reap(self, *, install_id: str, unrecorded: bool, yes: bool) -> list[Reaping]:
        """What was found, and with `yes` deleted.

        Args:
            install_id: Whose VMs are meant: the journal's own, or a lost one's.
            unrecorded: Whether the lost journal's other VMs are deleted, too.
            yes: Whether anything is deleted.

        Raises:
            JournalError: The journal cannot be read; nothing was deleted.
            CloudError: The cloud could not be listed; nothing was deleted.
        """
        found = self._find(install_id, unrecorded=unrecorded)
        if not yes:
            return found
        due = [item for item in found if item.due]
        rows = self._rows([item.vm for item in due])  # whoever renews after this changes the row
        due = self._seen_again(due)
        deleted = self._deleted(due, rows) if due else {}
        return [
            deleted.get(id(item), item) for item in found if not item.due or id(item) in deleted
        ]

    def _find(self, install_id: str, *, unrecorded: bool) -> list[Reaping]:
        over = {State.ABSENT, State.DELETING}
        vms = [
            vm
            for vm in self._connection.list_vms()
            if vm.tags is not None and vm.tags.owner == install_id and vm.state not in over
        ]
        rows = self._rows(vms)
        cloud_now = self._connection.cloud_time() if vms else 0.0
        # of our own install only rows that were lost can be unknown: those VMs may be in use
        unknown_too = unrecorded and install_id != self._journal.owner
        name = self._connection.backend.name
        found: list[Reaping] = []
        for vm in vms:
            reason = self._reason(vm, rows[vm.name], cloud_now)
            if reason is not None:
                due = reason is not Reason.UNRECORDED or unknown_too
                found.append(Reaping(vm, name, reason, due))
        return found

    def _rows(self, vms: Sequence[VM]) -> Mapping[str, Row]:
        uids = {vm.name: self._connection.place.uid(vm.name) for vm in vms}
        rows = self._journal.rows(list(uids.values()))
        return {name: rows[uid] for name, uid in uids.items()}

    def _reason(self, vm: VM, row: Row, cloud_now: float) -> Reason | None:
        assert vm.tags is not None  # noqa: S101  (the caller saw to it)
        tags = vm.tags
        if 0 < self._expiry(tags, row) <= cloud_now and not self._is_being_made(vm, row):
            return Reason.EXPIRED
        if not self._planner.looker.owns(vm):
            return Reason.UNRECORDED
        if self._connection.clock.now() < row.lease_until:
            return None  # somebody may be at work on it
        if row.is_older(tags) and tags.journal in {"", self._journal.id}:
            return self._leftover(vm, row)
        if tags.token != row.token:
            return Reason.UNRECORDED
        return self._same_generation(vm, row)

    @staticmethod
    def _expiry(tags: Tags, row: Row) -> int:
        """When its time is up; a cloud may still show the tag from before a renewal."""
        if not (row.present and row.token == tags.token):
            return tags.expires
        return max(tags.expires, row.expires) if tags.expires else 0

    def _is_being_made(self, vm: VM, row: Row) -> bool:
        return row.state == "INTENT" and self._planner.looker.token(vm) == row.token

    def _leftover(self, vm: VM, row: Row) -> Reason | None:
        """A VM from before its row's generation, once that is settled and cannot be mistaken."""
        if row.state in FINISHED:
            return Reason.FINISHED
        another = row.state == "LIVE" and row.vm_id not in {"", vm.id}
        return Reason.OLDER if another else None

    def _same_generation(self, vm: VM, row: Row) -> Reason | None:
        if row.state in {"GONE", "ABANDONED"}:
            return Reason.FINISHED
        if row.state == "FAILED":
            return Reason.FINISHED if vm.state is State.FAILED else None
        return Reason.OLDER if row.state == "LIVE" and row.vm_id not in {"", vm.id} else None

    def _seen_again(self, due: Sequence[Reaping]) -> list[Reaping]:
        """Those that a second look shows unchanged: neither renewed, nor replaced, nor going."""
        refs = [Ref(i.vm.name, i.vm.id, i.vm.tags.token if i.vm.tags else "") for i in due]
        seen = self._connection.look_patiently(refs) if refs else []
        going = {State.ABSENT, State.DELETING}
        return [
            item
            for item, vm in zip(due, seen, strict=True)
            if isinstance(vm, VM) and vm.tags == item.vm.tags and vm.state not in going
        ]

    def _deleted(self, due: Sequence[Reaping], rows: Mapping[str, Row]) -> dict[int, Reaping]:
        """What became of each, by its identity; those that the journal holds leave together."""
        cloud_now = self._connection.cloud_time()
        done: dict[int, Reaping] = {}
        jobs: dict[int, Job] = {}
        for item in due:
            vm, row = item.vm, rows[item.vm.name]
            if not self._planner.looker.owns(vm) or (row.present and row.vm_id != vm.id):
                done[id(item)] = _told(item, self._delete_unrecorded(vm))  # the row is another VM's
            elif self._reason(vm, row, cloud_now) is not item.reason:
                done[id(item)] = replace(item, due=False)  # the journal says otherwise by now
            elif row.uid not in {job.row.uid for job in jobs.values()}:  # else next time
                uid = self._connection.place.uid(vm.name)
                jobs[id(item)] = Job(self._idle, Ref(vm.name, vm.id), uid, row=row, vm=vm)
        answers = self._submitter.delete(list(jobs.values()))
        return done | {
            id(item): _told(item, answers[jobs[id(item)]]) for item in due if id(item) in jobs
        }

    def _delete_unrecorded(self, vm: VM) -> Operation | Exception:
        target = Target(vm, self._idle.params, alone=True)  # the journal may hold another one
        token = vm.tags.token if vm.tags else ""
        handle = self._connection.sender.send(Action.DEPROVISION, [target], [token], "release")[0]
        if isinstance(handle, Exception):
            return handle
        job = Job(self._idle, Ref(vm.name, vm.id), "", vm=vm)
        return self._planner.operation(Action.DEPROVISION, job, vm, handle, token[:16])


def _told(item: Reaping, answer: Operation | Exception) -> Reaping:
    if isinstance(answer, Operation):
        return replace(item, url=answer.to_url())
    return replace(item, error=answer)
