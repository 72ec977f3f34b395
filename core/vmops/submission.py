"""Submitting: one flow for every verb, one VM or a thousand.

journal row -> look at the VM -> decide (semantics.TABLE) -> intent (fsync) -> call -> Operation
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from vmops.backend import Limit, Target
from vmops.batching import Batcher, Limiter
from vmops.binding import Bound
from vmops.connection import Connection
from vmops.errors import (
    CloudError,
    Conflict,
    JournalError,
    NotFound,
    TransientError,
    Unavailable,
)
from vmops.grouping import Grouper
from vmops.journal import Journal
from vmops.likeness import differences
from vmops.looking import Answer, Job
from vmops.operation import Action, Handle, Operation
from vmops.planning import Planner
from vmops.records import Intent, Row, Stale
from vmops.sending import Patience
from vmops.vm import VM, Ref, State, Tags

__all__ = ["Submitter"]

_log = logging.getLogger("vmops")

_ATTEMPTS: Final = 5
_NOT_YET: Final = 0.5
"""Seconds, doubled each time, before asking again for a VM that the cloud does not know yet."""
_RENEWALS: Final = 2
"""Leases written before a call: another one where writing the first took longer than it lasts."""
_ONLY_REPORTS: Final = 10.0
"""Seconds between two looks at a VM that only somebody else can bring further."""
_UNLIMITED: Final = Limit()
_DURABLE: Final = frozenset({Action.PROVISION, Action.DEPROVISION})


class Submitter:
    """Submits verbs on one connection.

    Args:
        connection: The cloud.
        journal: Where intents are made durable.
        submitted: Told of every operation the cloud accepted.
    """

    def __init__(
        self,
        connection: Connection,
        journal: Journal,
        submitted: Callable[[Operation], None] = lambda _: None,
    ) -> None:
        """Ask nothing of the cloud yet."""
        self._connection = connection
        self._journal = journal
        self._submitted = submitted
        self._planner = Planner(connection, journal)
        self._grouper = Grouper(connection, journal)
        self._batchers: dict[tuple[Action, Action], Batcher[Job, Operation]] = {}

    def submit(self, action: Action, bounds: Sequence[Bound]) -> list[Answer]:
        """What became of `action` on each VM, in order; one member's failure is its own."""
        jobs = [self._planner.looker.job(action, bound) for bound in bounds]
        waiting = jobs
        for attempt in range(_ATTEMPTS):
            self._planner.looker.look(action, waiting, again=attempt > 0)
            ready, later = self._planner.plan(action, waiting)
            for job in ready:
                job.last = attempt == _ATTEMPTS - 1
            later += self._send(action, ready)
            if not later:
                break
            if any(job.not_found for job in later):
                self._connection.clock.sleep(_NOT_YET * 2**attempt)
            for job in later:
                self._wait_until_repeated(job)
            waiting = [job for job in later if job.answer is None]
        return [
            Conflict(f"VM {job.name!r} keeps changing hands; try again")
            if job.answer is None
            else job.answer
            for job in jobs
        ]

    def _wait_until_repeated(self, job: Job) -> None:
        """Let the time pass within which a create must not be repeated, or refuse it."""
        left = self._planner.early(job)
        if left <= 0:
            return
        error = Unavailable(
            f"VM {job.name!r}: its create has been sent, and may be on its way: repeated too early,"
            " it could make a second VM",
            hint=f"repeat the call in {left:.0f} seconds",
            retry_after=left,
        )
        try:
            Patience(self._connection.clock).pause(error)
        except Unavailable as exc:
            job.answer = exc

    def changes(self, bound: Bound) -> list[str] | None:
        """The params that differ from those a VM was made with; None where nothing is known.

        Raises:
            JournalError: The journal cannot be read.
        """
        uid = self._planner.looker.job(Action.PROVISION, bound).uid
        row = self._journal.rows([uid])[uid]
        if not (row.present and row.likeness):
            return None
        return differences(row.likeness, bound.params, self._journal.digest)

    def delete(self, jobs: list[Job]) -> Mapping[Job, Operation | Exception]:
        """What became of deleting VMs that were looked at by recovery or reaping."""
        return self._send_group(Action.DEPROVISION, Action.DEPROVISION, jobs) if jobs else {}

    def _send(self, action: Action, jobs: Sequence[Job]) -> list[Job]:
        """Send what is ready; the jobs that must be decided again."""
        again: list[Job] = []
        for verb in dict.fromkeys(job.verb for job in jobs if job.verb):
            group = [job for job in jobs if job.verb is verb]
            for job, answer in zip(group, self._batcher(action, verb).submit(group), strict=True):
                job.not_found = isinstance(answer, NotFound)
                if isinstance(answer, Stale) or (
                    not job.last and self._worth_another_look(verb, job, answer)
                ):
                    job.looked_again = not isinstance(answer, Stale)
                    if job.looked_again:
                        job.refused = job.row.sent
                    again.append(job)
                else:
                    job.answer = answer
        return again

    def _worth_another_look(self, verb: Action, job: Job, answer: Operation | Exception) -> bool:
        """Whether a conflict may be our own doing: an answer that was lost, or a racing create.

        And a VM that was seen, or just made, but that the verb does not find, may not be known in
        all of the cloud yet.
        """
        if job.not_found and verb is not Action.PROVISION:
            return job.sent
        once = job.sent and not job.looked_again
        return once and isinstance(answer, Conflict) and verb is not Action.RESTART

    def _batcher(self, action: Action, verb: Action) -> Batcher[Job, Operation]:
        key = (action, verb)
        if key not in self._batchers:
            many = self._connection.sender.can_send_many(verb)
            limiter = self._connection.limiter(verb.value)
            send = partial(self._send_batch, action, verb)
            free = Limiter(_UNLIMITED, self._connection.clock)
            batcher = Batcher(send, limiter if many else free, overlap=True)
            self._batchers.setdefault(key, batcher)
        return self._batchers[key]

    def _send_batch(
        self, action: Action, verb: Action, jobs: Sequence[Job]
    ) -> list[Operation | Exception]:
        """One leader's batch: durable first, then called, group by group of equal requests."""
        answers: dict[Job, Operation | Exception] = {}
        for place, group in enumerate(self._grouper.alike(verb, jobs)):
            try:
                answers.update(self._send_group(action, verb, group, prepaid=place == 0))
            except JournalError as exc:
                answers.update(dict.fromkeys(group, exc))
        return [answers[job] for job in jobs]

    def _send_group(
        self, action: Action, verb: Action, jobs: list[Job], *, prepaid: bool = False
    ) -> Mapping[Job, Operation | Exception]:
        answers: dict[Job, Operation | Exception] = {}
        if verb in _DURABLE:
            answers.update(self._make_durable(verb, jobs))
            jobs = [job for job in jobs if job not in answers]
        for call in self._grouper.calls(verb, jobs):
            for job in call:
                job.sent = True
            tokens = [self._token(verb, job) for job in call]
            handles = self._sent(verb, call, tokens, prepaid=prepaid)
            prepaid = False
            answers.update(self._settle(action, verb, call, tokens, handles))
        return answers

    def _sent(
        self, verb: Action, jobs: Sequence[Job], tokens: Sequence[str], *, prepaid: bool
    ) -> Sequence[Handle | Exception]:
        """The handles of one call, or of a deletion of which nothing is to be seen yet."""
        if verb is Action.DEPROVISION and not jobs[0].present_vm.id:
            return [{}] * len(jobs)
        targets = [self._target(verb, job) for job in jobs]
        renew = partial(self._renew, jobs) if verb in _DURABLE else None
        mode = jobs[0].bound.call.stop_mode
        return self._connection.sender.send(verb, targets, tokens, mode, renew, prepaid=prepaid)

    def _renew(self, jobs: Sequence[Job], indices: Sequence[int], again: bool) -> None:  # noqa: FBT001
        """Send nothing whose lease has ended, or that somebody else has taken over."""
        sending = [jobs[i] for i in indices]
        for _ in range(_RENEWALS):
            if not (again or any(self._now() >= job.row.lease_until for job in sending)):
                return
            again = False
            rows = self._journal.renew([job.row for job in sending], self._now())
            for job, row in zip(sending, rows, strict=True):
                job.row = row

    def _now(self) -> float:
        return self._connection.clock.now()

    def _make_durable(self, verb: Action, jobs: Sequence[Job]) -> Iterator[tuple[Job, Exception]]:
        """Write the intents; the jobs that may not be sent, and why."""
        for job, rows in zip(jobs, self._intend(verb, jobs), strict=True):
            if isinstance(rows, Exception):
                yield job, rows
            else:
                job.batch = rows
                job.row = next(row for row in rows if row.uid in {job.uid, ""})

    def _intend(self, verb: Action, jobs: Sequence[Job]) -> Sequence[list[Row] | Exception]:
        now = self._now()
        place = self._connection.place.to_text()
        if verb is Action.PROVISION:
            intents = [
                Intent(
                    job.row,
                    job.ref.name,
                    digest=self._grouper.digest(job),
                    likeness=job.likeness,
                    expires=int(now + job.bound.call.ttl) if job.bound.call.ttl else 0,
                    place=place,
                    settled=self._planner.is_settled(job),
                )
                for job in jobs
            ]
            together = self._connection.sender.can_send_many(verb)
            return self._journal.intend_creates(intents, now, together=together)
        intents = [
            Intent(
                job.row,
                job.name,
                vm_id=job.present_vm.id,
                place=place,
                token=self._planner.looker.token(job.present_vm),
            )
            for job in jobs
        ]
        rows = self._journal.intend_deletes(intents, now)
        return [row if isinstance(row, Exception) else [row] for row in rows]

    def _token(self, verb: Action, job: Job) -> str:
        if verb is Action.PROVISION:
            return job.row.token
        if verb is Action.DEPROVISION:  # the same in every attempt, whoever makes it
            return hashlib.sha256(f"{job.row.token}/deprovision".encode()).hexdigest()[:32]
        return secrets.token_hex(16)

    def _target(self, verb: Action, job: Job) -> Target[Any]:
        if verb is not Action.PROVISION:
            return Target(job.present_vm, job.bound.params, alone=job.is_by_id)
        row = job.row
        owner, journal = self._journal.owner, self._journal.id
        tags = Tags(owner, row.vm, row.token, row.expires, row.sequence, journal)
        return Target(VM(row.vm, State.ABSENT), job.bound.params, tags)

    def _settle(
        self,
        action: Action,
        verb: Action,
        jobs: Sequence[Job],
        tokens: Sequence[str],
        handles: Sequence[Handle | Exception],
    ) -> Iterator[tuple[Job, Operation | Exception]]:
        accepted: list[tuple[Job, Operation]] = []
        refused: list[Row] = []
        for job, token, handle in zip(jobs, tokens, handles, strict=True):
            answer = self._settled(verb, job, handle)
            if isinstance(answer, Exception):
                if isinstance(answer, CloudError) and not isinstance(answer, TransientError):
                    refused.append(job.row)
                yield job, answer
            else:
                id_ = secrets.token_hex(8) if verb in _DURABLE else token
                operation = self._planner.operation(action, job, job.present_vm, answer, id_)
                accepted.append((job, operation))
                yield job, operation
        self._remember(verb, accepted, refused)
        for _, operation in accepted:
            self._submitted(operation)

    def _settled(self, verb: Action, job: Job, handle: Handle | Exception) -> Handle | Exception:
        if isinstance(handle, NotFound) and verb is Action.DEPROVISION and job.last:
            return {}  # gone already, or still not visible: the wait tells which
        if isinstance(handle, TransientError):
            if verb is Action.RESTART and not handle.unsent:
                return {}  # it may have happened: the wait looks for evidence
            handle.remains = handle.remains or f"VM {job.name!r} may have been changed"
            handle.hint = handle.hint or "repeat the call: it asks for the same thing again"
        return handle

    def _remember(
        self, verb: Action, accepted: Sequence[tuple[Job, Operation]], refused: Sequence[Row]
    ) -> None:
        """Write down what the cloud answered; if that fails, the intent stands."""
        try:
            if verb in _DURABLE:
                if refused:
                    self._journal.refused(refused)
                self._journal.accepted([(job.row, operation) for job, operation in accepted])
            elif accepted:
                self._journal.record([(job.uid, operation) for job, operation in accepted])
        except JournalError as exc:
            _log.warning("the answer was not written down: %s", exc)

    def advance(self, operation: Operation, params: Any) -> Operation:  # noqa: ANN401
        """Begin the second phase of a restart, if that is ours to do; idempotent.

        Raises:
            Unavailable: The VM is not ours, or something else was asked of it since: waiting may
                only report.
        """
        seen = self._connection.look([Ref(operation.vm, operation.vm_id)])[0]
        if isinstance(seen, Exception):
            raise seen
        vm = seen or VM(operation.vm, State.ABSENT)
        if vm.state is not State.STOPPED:
            return operation.next_phase(_without_handle(operation))
        named = vm.operation == operation.id or self._names(operation)
        if not (self._planner.looker.owns(vm) and named):
            raise Unavailable(
                f"VM {vm.name!r} has stopped for its restart, but it is not this install's, or"
                " something else was asked of it since; waiting can only report",
                hint="vm_start starts it",
                retry_after=_ONLY_REPORTS,
            )
        target = Target(vm, params)
        handle = self._connection.sender.send(Action.START, [target], [operation.id], "release")[0]
        if isinstance(handle, Conflict):  # it has stopped, but cannot be started yet
            raise Unavailable(f"VM {vm.name!r}: {handle}", hint=handle.hint) from handle
        if isinstance(handle, Exception):
            raise handle
        return operation.next_phase({**_without_handle(operation), **handle})

    def _names(self, operation: Operation) -> bool:
        try:
            return self._journal.names(operation)
        except JournalError as exc:
            _log.warning("the journal cannot be asked about a restart: %s", exc)
            return False


def _without_handle(operation: Operation) -> Handle:
    return {key: operation.handle[key] for key in ("vmId", "boot") if key in operation.handle}
