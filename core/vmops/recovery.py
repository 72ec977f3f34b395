"""Recovery: what a dead process left unfinished is looked at, and finished or given up.

Nothing is created here. A create whose outcome is unknown is looked for; if it does not show
within the consistency horizon it is abandoned, and what still arrives after that is reaped.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from vmops.binding import Bound
from vmops.connection import Connection
from vmops.errors import VMOpsError
from vmops.journal import Journal
from vmops.looking import Job
from vmops.operation import Action, Operation
from vmops.outcomes import End, Outcome, Wait
from vmops.planning import Planner
from vmops.records import Row
from vmops.submission import Submitter
from vmops.tracker import Tracker
from vmops.vm import VM, Ref, State

__all__ = ["Found", "Recoverer", "Recovery"]

_ROWS_TELL: Final = frozenset({Action.PROVISION, Action.DEPROVISION})
"""Actions that the VM's row holds unfinished, too: it is told of once."""


class Found(StrEnum):
    """What recovery found out about a VM, or did about it."""

    LIVE = "live"
    GONE = "gone"
    FAILED = "failed"
    ABANDONED = "abandoned"
    DELETING = "deleting"
    WAITING = "waiting"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Recovery:
    """What became of one VM that somebody left unfinished.

    Args:
        vm: The VM's name.
        backend: The backend's name.
        was: What its row said: INTENT (a create that nobody knows the outcome of), ACCEPTED (a
            create), DELETING; or the action of an operation that nobody waited for to the end.
        found: `live`, `gone`, `failed` (its create), `abandoned` (its create never showed),
            `deleting` (asked for again), `waiting` (nothing is proved yet, or the operation goes
            on) or `trouble`.
        until: Epoch seconds before which looking again proves nothing more; 0 if it is over.
        url: The operation to wait for, if there is one.
        error: What kept it from being recovered, or why its create failed.
    """

    vm: str
    backend: str
    was: str
    found: Found
    until: float = 0.0
    url: str = ""
    error: Exception | None = None


class Recoverer:
    """Finishes what was left unfinished on one connection.

    Args:
        connection: The cloud.
        journal: What was left.
        submitter: Sends deletions again.
        tracker: Looks at operations that nobody waited for.
        idle: Params with nothing given.
    """

    def __init__(
        self,
        connection: Connection,
        journal: Journal,
        submitter: Submitter,
        tracker: Tracker,
        idle: Bound,
    ) -> None:
        """Ask nothing of the cloud yet."""
        self._connection = connection
        self._journal = journal
        self._submitter = submitter
        self._tracker = tracker
        self._planner = Planner(connection, journal)
        self._idle = idle

    def recover(self) -> list[Recovery]:
        """One pass over the operations and rows whose lease has ended.

        Raises:
            JournalError: The journal cannot be read.
            CloudError: The account could not be proved, or the cloud gave no answer.
        """
        return [*self._operations(), *self._rows(self._connection.clock.now())]

    def _operations(self) -> list[Recovery]:
        """One look at every operation that nobody has seen end; waiting does the rest."""
        here = self._connection
        asked = self._journal.open_operations(here.backend.name)
        waits = [Wait(o, deadline=here.clock.now()) for o in asked if here.is_here(o)]
        found = {
            End.SUCCEEDED: {Action.DEPROVISION: Found.GONE},
            End.FAILED: {Action.PROVISION: Found.FAILED},
        }
        recovered: list[Recovery] = []
        for _, outcome in self._tracker.wait_many(waits):
            operation, action = outcome.operation, outcome.operation.action
            if outcome.end is not End.TIMED_OUT:
                what = found[outcome.end].get(action, Found.LIVE)
                error = outcome.error
                recovered.append(
                    Recovery(operation.vm, operation.backend, action.value, what, error=error)
                )
            elif self._is_unfinished(operation):
                recovered.append(self._goes_on(outcome))
        return recovered

    def _is_unfinished(self, operation: Operation) -> bool:
        """Whether it was asked last of its VM, and not so long ago that its end will not come."""
        age = self._connection.clock.now() - operation.at
        within = age < self._connection.backend.poll_timeout
        return within and operation.action not in _ROWS_TELL and self._journal.names(operation)

    def _goes_on(self, outcome: Outcome) -> Recovery:
        """An operation that is not over."""
        operation, now = outcome.operation, self._connection.clock.now()
        return Recovery(
            operation.vm,
            operation.backend,
            operation.action.value,
            Found.WAITING,
            until=now + self._tracker.pace.step(operation.action, now - operation.at),
            url=operation.to_url(),
            error=outcome.error,
        )

    def _rows(self, now: float) -> list[Recovery]:
        place = self._connection.place.to_text()
        left = [self._waiting(row) for row in self._journal.leased(place, now)]
        rows = self._journal.claim(place, now)
        if not rows:
            return left
        seen = self._connection.find([Ref(r.vm, r.vm_id, r.token) for r in rows])
        return left + [self._row(row, vm, now) for row, vm in zip(rows, seen, strict=True)]

    def _row(self, row: Row, vm: VM | Exception | None, asked: float) -> Recovery:
        if isinstance(vm, Exception):
            return self._report(row, Found.TROUBLE, error=vm)
        state = self._state(row, vm, asked)
        if row.state == "DELETING":
            return self._deletion(row, vm, state)
        return self._creation(row, vm, state)

    def _state(self, row: Row, vm: VM | None, asked: float) -> State | None:
        """The state of the row's own VM; None while nothing is proved."""
        if vm is not None:
            token = self._planner.looker.token(vm)
            if token == row.token or (not token and vm.id == row.vm_id):
                return vm.state
        return State.ABSENT if self._connection.proves_absence(row.sent, asked) else None

    def _creation(self, row: Row, vm: VM | None, state: State | None) -> Recovery:
        if state is None:
            return self._waiting(row)
        if vm is None or state in {State.ABSENT, State.FAILED}:
            found = Found.ABANDONED if vm is None else Found.FAILED  # one that comes late is reaped
            self._journal.gone([row], found.value.upper(), settled=vm is None)
            return self._report(row, found, error=vm.error if vm is not None else None)
        if state is State.STARTING:
            return self._starting(row, vm)
        self._journal.live(row, vm.id)
        return self._report(row, Found.LIVE)

    def _starting(self, row: Row, vm: VM) -> Recovery:
        url = row.url
        if row.state == "INTENT":
            operation = self._operation(Action.PROVISION, row, vm)
            self._journal.accepted([(row, operation)])
            url = operation.to_url()
        return replace(self._waiting(row), url=url)

    def _deletion(self, row: Row, vm: VM | None, state: State | None) -> Recovery:
        if state is State.ABSENT:
            self._journal.gone([row], settled=vm is None)
            return self._report(row, Found.GONE)
        if state is None or vm is None or state is State.DELETING:
            return self._waiting(row)
        job = self._job(row, vm)
        answer = self._submitter.delete([job])[job]
        if isinstance(answer, Operation):
            return self._report(row, Found.DELETING, url=answer.to_url())
        if not isinstance(answer, VMOpsError):
            return self._waiting(row)  # somebody else has taken it over
        return self._report(row, Found.TROUBLE, error=answer)

    def _job(self, row: Row, vm: VM) -> Job:
        return Job(self._idle, Ref(row.vm, vm.id), row.uid, row=row, vm=vm)

    def _operation(self, action: Action, row: Row, vm: VM) -> Operation:
        return self._planner.operation(action, self._job(row, vm), vm, {}, secrets.token_hex(8))

    def _waiting(self, row: Row) -> Recovery:
        until = max(row.sent + self._connection.backend.horizon, row.lease_until)
        return self._report(row, Found.WAITING, until=until)

    def _report(
        self,
        row: Row,
        found: Found,
        *,
        until: float = 0.0,
        url: str = "",
        error: Exception | None = None,
    ) -> Recovery:
        name = self._connection.backend.name
        return Recovery(row.vm, name, row.state, found, until, url, error)
