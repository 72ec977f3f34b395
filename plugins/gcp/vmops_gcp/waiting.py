"""How operations stand: a few are waited for by GCE itself, of many the finished ones are listed.

The list begins with the newest operation and tells of each that it is done, so that a thousand of
them cost a page or two a look, and none is believed to be over because it is missing somewhere.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Final

from vmops import (
    VM,
    Action,
    Failed,
    Next,
    Operation,
    Pending,
    Progress,
    Ref,
    State,
    Succeeded,
    side_by_side,
)
from vmops.errors import NotFound
from vmops_gcp.errors import read
from vmops_gcp.held import MOST, HeldWaits
from vmops_gcp.machines import Machines
from vmops_gcp.memory import Memory
from vmops_gcp.operations import Operations, Record, begun, misnamed, name_of

__all__ = ["Waiting"]

_RESET: Final = "unconfirmed"
"""The core's mode of a restart in one phase, which a record confirms all the same."""
_GLANCE: Final = 1.0
"""Seconds: who waits no longer than this wants to know how it is now."""
_HOLD: Final = 0.5
"""Seconds after which a look returns, that others may join it; what GCE holds stays held."""
_LISTS: Final = (0.7, 3.0)
"""Seconds between two lists: while operations end, and at most while none does."""
_SLOWER: Final = 0.1
_PAGES: Final = 3
"""Pages of a list that are read; what is older is asked about by itself."""
_OVERDUE: Final = 60.0
"""Seconds after which an operation that no list shows is asked about by itself."""
_UNKNOWN: Final = frozenset({"notFound", "forbidden"})
"""Forgotten, or not for us to see: the VM tells."""

Answer = Record | Exception


class Waiting:
    """Polls the operations of one connection.

    Args:
        machines: Describes VMs.
        operations: Asks about operations.
    """

    def __init__(self, machines: Machines, operations: Operations) -> None:
        """Ask nothing yet."""
        self._machines = machines
        self._operations = operations
        self._held = HeldWaits(operations.wait)
        self._ended: Memory[Record] = Memory(1000)
        self._listed = 0.0
        self._changed = 0.0
        self._since: dict[str, float] = {}

    def begun(self, record: Record) -> None:
        """An operation was begun here; one that is done already needs no further question."""
        if record.done:
            self._ended.keep(record.name, record)

    def progress(
        self, operations: Sequence[Operation], now: float, timeout: float
    ) -> dict[str, Progress]:
        """How operations stand, by id; those that GCE keeps no record of are left out."""
        named: dict[str, list[Operation]] = {}
        for operation in operations:
            if name := name_of(operation):
                named.setdefault(name, []).append(operation)
        ended = {name: record for name in named if (record := self._ended.take(name)) is not None}
        found = self._told({name: named[name] for name in ended}, ended)
        if left := {name: some for name, some in named.items() if name not in ended}:
            found |= self._asked(left, now, timeout, at_once=bool(found))
        return found | self._misnamed([one for one in operations if one.id not in found])

    def _misnamed(self, operations: Sequence[Operation]) -> dict[str, Progress]:
        """Those without a record that are none: the core judges the others by the numbers alone."""
        numbered = [one for one in operations if one.vm_id not in {"", one.vm}]
        unseen = [Ref(one.vm, one.vm_id) for one in numbered if not self._name(one)]
        try:
            self._machines.describe(unseen)
        except Exception as exc:  # the core meets it as well, and knows what to do
            if read(exc) is None:
                raise
        refused = {one.id: misnamed(one, self._name(one)) for one in numbered}
        return {id_: Failed(error) for id_, error in refused.items() if error is not None}

    def _name(self, operation: Operation) -> str:
        """What GCE calls the VM with an operation's number; empty if it has not been seen."""
        vm = self._machines.known(operation.vm_id)
        return "" if vm is None else vm.name

    def _asked(
        self,
        operations: Mapping[str, list[Operation]],
        now: float,
        timeout: float,
        *,
        at_once: bool,
    ) -> dict[str, Progress]:
        """What GCE says of these operations, in the way that costs the fewest calls."""
        names = list(operations)
        if timeout <= _GLANCE and len(names) <= MOST:
            return self._told(operations, self._glances(names, timeout))
        if self._held.room(names):
            pause = 0.0 if at_once else min(_HOLD, timeout)
            return self._told(operations, self._held.answers(names, timeout, pause))
        return self._in_lists(operations, now, timeout)

    def _glances(self, names: list[str], timeout: float) -> dict[str, Answer]:
        """These operations as they are at this moment."""
        ask = partial(self._glance, max(timeout, _GLANCE))
        return dict(zip(names, side_by_side(ask, names), strict=True))

    def _glance(self, timeout: float, name: str) -> Answer:
        try:
            return self._operations.get(name, timeout)
        except Exception as exc:
            if read(exc) is None:
                raise
            return exc

    def _told(
        self, operations: Mapping[str, list[Operation]], answers: Mapping[str, Answer]
    ) -> dict[str, Progress]:
        """What answers say. Operations without one go on; those that GCE forgot are left out.

        Raises:
            Exception: What Google's libraries raise, where no answer told anything.
        """
        found: dict[str, Progress] = {}
        troubles: list[Exception] = []
        for name, some in operations.items():
            answer = answers.get(name)
            if isinstance(answer, Record):
                found |= {one.id: self._step(one, answer) for one in some if answer.is_about(one)}
                continue
            fault = read(answer) if answer is not None else None
            if fault is not None and fault.code in _UNKNOWN:
                continue
            if answer is not None and not _is_time_out(answer):
                troubles.append(answer)
            found |= {one.id: Pending(fault.retry_after if fault else None) for one in some}
        if troubles and len(troubles) == len(answers):
            raise troubles[0]
        return found

    # -- many -------------------------------------------------------------------------------------

    def _in_lists(
        self, operations: Mapping[str, list[Operation]], now: float, timeout: float
    ) -> dict[str, Progress]:
        """What the list of finished operations says; between two lists, nothing."""
        all_of_them = [one for some in operations.values() for one in some]
        self._changed = max(self._changed, *(one.at for one in all_of_them))
        left = self._listed + self._pause(now) - now
        if left > 0 and timeout > _GLANCE:
            return {one.id: Pending(left) for one in all_of_them}
        began = time.monotonic()
        try:
            records = self._finished(operations, timeout)
        except Exception as exc:
            fault = read(exc)
            if fault is None or fault.code != "forbidden":
                raise
            return {}  # not for us to see: the VMs tell
        self._listed = now
        if records:
            self._changed = now
        wanted = {name: some for name, some in operations.items() if name not in records}
        overdue = self._overdue(list(wanted), now)
        found = self._told({n: operations[n] for n in records}, records)
        found |= self._told({n: operations[n] for n in overdue}, self._glances(overdue, timeout))
        pending = [one for name, some in wanted.items() if name not in overdue for one in some]
        rest = max(self._pause(now) - (time.monotonic() - began), 0.0)  # from list to list
        return found | {one.id: Pending(rest) for one in pending}

    def _finished(
        self, operations: Mapping[str, list[Operation]], timeout: float
    ) -> dict[str, Record]:
        """Those of these operations that are done, as far as the newest pages show them."""
        since = min(begun(one) for some in operations.values() for one in some)
        found: dict[str, Record] = {}
        pages = self._operations.finished(since, max(timeout, _GLANCE))
        for records in islice(pages, _PAGES):
            found |= {record.name: record for record in records if record.name in operations}
            if len(found) == len(operations):
                break
        return found

    def _pause(self, now: float) -> float:
        """Seconds from one list to the next: longer while nothing ends."""
        quick, slow = _LISTS
        return max(quick, min((now - self._changed) * _SLOWER, slow))

    def _overdue(self, names: list[str], now: float) -> list[str]:
        """A few operations that no list has shown for long; GCE may have forgotten them."""
        self._since = {name: self._since.get(name, now) for name in names}
        late = [name for name in names if now - self._since[name] > _OVERDUE][:MOST]
        self._since |= dict.fromkeys(late, now)
        return late

    # -- each -------------------------------------------------------------------------------------

    def _step(self, operation: Operation, record: Record) -> Progress:
        if refused := misnamed(operation, record.target):
            return Failed(refused)
        if not record.done:
            return Pending()
        error = record.error(operation.vm)
        gone = operation.action is Action.DEPROVISION and isinstance(error, NotFound)
        return self._done(operation) if error is None or gone else Failed(error)

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
