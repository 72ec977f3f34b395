"""How operations stand: a few are waited for by GCE itself, of many the finished ones are listed.

The list begins with the newest operation and tells of each that it is done, so that a thousand of
them cost a page or two a look, and none is believed to be over because it is missing somewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from vmops import VM, Action, Failed, Next, Operation, Pending, Progress, Ref, State, Succeeded
from vmops_gcp.client import Compute
from vmops_gcp.errors import read
from vmops_gcp.held import MOST, HeldWaits
from vmops_gcp.machines import Machines
from vmops_gcp.operations import Operations, Record, begun, name_of

__all__ = ["Waiting"]

_RESET: Final = "unconfirmed"
"""The core's mode of a restart in one phase, which a record confirms all the same."""
_GLANCE: Final = 1.0
"""Seconds: who waits no longer than this wants to know how it is now."""
_HOLD: Final = 0.5
"""Seconds after which a look returns, that others may join it; what GCE holds stays held."""
_LISTS: Final = (1.0, 3.0)
"""Seconds between two lists: while operations end, and at most while none does."""
_SLOWER: Final = 0.1
_OVERDUE: Final = 60.0
"""Seconds after which an operation that no list shows is asked about by itself."""
_REMEMBERED: Final = 1000


class Waiting:
    """Polls the operations of one connection.

    Args:
        compute: The connection.
        machines: Describes VMs.
        operations: Asks about operations.
    """

    def __init__(self, compute: Compute, machines: Machines, operations: Operations) -> None:
        """Ask nothing yet."""
        self._compute = compute
        self._machines = machines
        self._operations = operations
        self._held = HeldWaits(operations.wait)
        self._listed = 0.0
        self._changed = 0.0
        self._asked: dict[str, float] = {}
        self._ended: dict[str, Record] = {}

    def begun(self, record: Record) -> None:
        """An operation was begun here; one that is done already needs no further question."""
        if record.done:
            self._ended[record.name] = record
            while len(self._ended) > _REMEMBERED:
                self._ended.pop(next(iter(self._ended)), None)

    def progress(
        self, operations: Sequence[Operation], now: float, timeout: float
    ) -> dict[str, Progress]:
        """How operations stand, by id; those that GCE keeps no record of are left out."""
        found: dict[str, Progress] = {}
        open_: dict[str, Operation] = {}
        for operation in operations:
            name = name_of(operation)
            if (ended := self._ended.pop(name, None)) is not None:
                if ended.is_about(operation):
                    found[operation.id] = self._step(operation, ended)
            elif name:
                open_[name] = operation
        if not open_:
            return found
        if timeout <= _GLANCE and len(open_) <= MOST:
            return found | self._seen(open_, self._glances(list(open_)))
        if self._held.room(list(open_)):
            pause = 0.0 if found else min(_HOLD, timeout)
            answers = self._held.answers(list(open_), timeout, pause)
            return found | self._seen(open_, answers)
        return found | self._in_lists(open_, now)

    # -- a few ------------------------------------------------------------------------------------

    def _glances(self, names: list[str]) -> dict[str, Record | Exception]:
        """These operations as they are at this moment."""

        def ask(name: str) -> Record | Exception:
            try:
                return self._operations.get(name)
            except Exception as exc:
                if read(exc) is None:
                    raise
                return exc

        return dict(zip(names, self._compute.each(ask, names), strict=True))

    def _seen(
        self, operations: dict[str, Operation], answers: dict[str, Record | Exception]
    ) -> dict[str, Progress]:
        """What answers say. An operation without one goes on; one that GCE forgot is left out.

        Raises:
            Exception: What Google's libraries raise, where no answer told anything.
        """
        found: dict[str, Progress] = {}
        troubles: list[Exception] = []
        for name, operation in operations.items():
            answer = answers.get(name)
            if isinstance(answer, Exception):
                fault = read(answer)
                if fault is not None and fault.code in {"notFound", "forbidden"}:
                    continue  # forgotten, or not for us to see: its VM tells
                if not _is_time_out(answer):
                    troubles.append(answer)
                found[operation.id] = Pending(fault.retry_after if fault else None)
            elif answer is None:
                found[operation.id] = Pending()
            elif answer.is_about(operation):
                found[operation.id] = self._step(operation, answer)
        if troubles and len(troubles) == len(answers):
            raise troubles[0]
        return found

    # -- many -------------------------------------------------------------------------------------

    def _in_lists(self, operations: dict[str, Operation], now: float) -> dict[str, Progress]:
        """What the list of finished operations says; between two lists, nothing."""
        wanted = dict(operations)
        self._changed = max(self._changed, *(one.at for one in operations.values()))
        if (left := self._listed + self._pause(now) - now) > 0:
            return {one.id: Pending(left) for one in operations.values()}
        found: dict[str, Progress] = {}
        since = min(begun(one) for one in operations.values())
        try:
            for records in self._operations.finished(since):
                for record in records:
                    operation = wanted.pop(record.name, None)
                    if operation is not None and record.is_about(operation):
                        found[operation.id] = self._step(operation, record)
                if not wanted:
                    break
        except Exception as exc:
            fault = read(exc)
            if fault is None or fault.code != "forbidden":
                raise
            return {}  # not for us to see: the VMs tell
        self._listed = now
        if found:
            self._changed = now
        overdue = self._overdue(wanted, now)
        found |= self._seen(overdue, self._glances(list(overdue)))
        pending = [one for name, one in wanted.items() if name not in overdue]
        return found | {one.id: Pending(self._pause(now)) for one in pending}

    def _pause(self, now: float) -> float:
        """Seconds from one list to the next: longer while nothing ends."""
        quick, slow = _LISTS
        return max(quick, min((now - self._changed) * _SLOWER, slow))

    def _overdue(self, operations: dict[str, Operation], now: float) -> dict[str, Operation]:
        """A few operations that no list has shown for long; GCE may have forgotten them."""
        late: dict[str, Operation] = {}
        asked: dict[str, float] = {}
        for name, operation in operations.items():
            asked[name] = self._asked.get(name, now)
            if now - asked[name] > _OVERDUE and len(late) < MOST:
                late[name], asked[name] = operation, now
        self._asked = asked
        return late

    # -- each -------------------------------------------------------------------------------------

    def _step(self, operation: Operation, record: Record) -> Progress:
        if not record.done:
            return Pending()
        error = record.error(operation.vm)
        if error is None:
            return self._done(operation)
        if operation.action is Action.DEPROVISION and error.provider_code == "RESOURCE_NOT_FOUND":
            return self._done(operation)
        return Failed(error)

    def _done(self, operation: Operation) -> Progress:
        """An operation that succeeded, and what it has left."""
        if operation.action is Action.DEPROVISION:
            return Succeeded(vm=VM(operation.vm, State.ABSENT, id=operation.vm_id))
        if operation.action is Action.RESTART and operation.mode == _RESET:
            ref = Ref(operation.vm, operation.vm_id)
            seen = next(iter(self._machines.describe([ref])), None)
            return Succeeded({"restartConfirmed": True}, vm=seen)
        if operation.action is Action.RESTART and operation.phase == 1:
            return Next()
        return Succeeded(vm=self._left(operation))

    def _left(self, operation: Operation) -> VM | None:
        """The VM as an operation has left it; None where only a look can tell.

        When it booted last is not known: who needs it for a restart looks.
        """
        known = self._machines.known(operation.vm_id)
        if known is None or operation.action is Action.PROVISION:
            return None
        if operation.action is Action.STOP:
            info = {key: value for key, value in known.info.items() if key != "publicIp"}
            return replace(known, state=State.STOPPED, info=info, error=None)
        if not self._machines.keeps_addresses(operation.vm_id):
            return None
        return replace(known, state=State.RUNNING, started=None, error=None)


def _is_time_out(error: Exception) -> bool:
    """Whether a request that GCE held was given up because nobody waits for it any longer."""
    from requests.exceptions import ReadTimeout

    return isinstance(error, ReadTimeout)
