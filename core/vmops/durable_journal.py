"""The rules of the journal, over any database: compare, then set, in one small transaction each.

A row belongs to whoever wrote it last: every writer after a pause compares the row's fence with
the one it knows, and writes nothing if somebody else has taken the row over since.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from vmops.errors import Conflict
from vmops.journal import canonical
from vmops.operation import Action, Operation
from vmops.outcomes import End, Outcome
from vmops.records import UNFINISHED, Intent, Place, Row, Stale, Store, Tables
from vmops.semantics import UNSEEN
from vmops.vm import VM

__all__ = ["DurableJournal"]

_ENDS: Final = {
    (Action.PROVISION, End.SUCCEEDED): ("ACCEPTED", "LIVE"),
    (Action.PROVISION, End.FAILED): ("ACCEPTED", "FAILED"),
    (Action.DEPROVISION, End.SUCCEEDED): ("DELETING", "GONE"),
    (Action.DEPROVISION, End.FAILED): ("DELETING", "LIVE"),
}
"""What an operation's end makes of a row that is still in the state the operation left it in."""


class DurableJournal:
    """A journal that outlives its process.

    Args:
        store: The opened database.
        lease: Seconds for which nobody else takes over what was begun. More than two request
            timeouts of a cloud and the difference between its users' clocks.

    Raises:
        JournalError: From any method, when the database cannot be read or written.
    """

    def __init__(self, store: Store, lease: float = 60.0) -> None:
        """Read the install id."""
        self.owner = store.install_id
        self.id = store.journal_id
        self.lease = lease
        self._store = store
        self._holder = secrets.token_hex(8)

    def rows(self, uids: Sequence[str]) -> Mapping[str, Row]:
        """What is known of these VMs; an unknown one gets an empty Row."""
        with self._store.reading() as tables:
            found = tables.rows(uids)
        return {uid: found.get(uid) or Row(uid) for uid in uids}

    def digest(self, request: Mapping[str, Any]) -> str:
        """A digest keyed by the install id, so that a short secret cannot be guessed from it."""
        return hmac.new(self.owner.encode(), canonical(request), hashlib.sha256).hexdigest()

    def intend_creates(
        self, intents: Sequence[Intent], now: float, *, together: bool
    ) -> list[list[Row] | Exception]:
        """Make creates durable in one fsynced commit; see `Journal`."""
        with self._store.writing(durable=True) as tables:
            batches: dict[str, list[Row]] = {}
            verdicts: dict[int, list[Row] | Exception | None] = {}
            # repeats first: a batch that is sent again fences its cancelled members off
            for repeats in (True, False):
                some = [i for i in intents if (i.row.state == "INTENT") is repeats]
                current = tables.rows([intent.row.uid for intent in some])
                for intent in some:
                    row = current.get(intent.row.uid) or Row(intent.row.uid)
                    verdicts[id(intent)] = self._verdict(tables, intent, row, now, batches)
            fresh = [intent for intent in intents if verdicts[id(intent)] is None]
            new = self._new_generations(tables, fresh, now, together=together)
            tables.put(new)
            made = iter(new)
            answers = [verdicts[id(intent)] for intent in intents]
            return [[next(made)] if answer is None else answer for answer in answers]

    def _verdict(
        self,
        tables: Tables,
        intent: Intent,
        row: Row,
        now: float,
        batches: dict[str, list[Row]],
    ) -> list[Row] | Exception | None:
        """The intents to repeat, why there can be none, or None for a new generation."""
        if _fenced(row, intent.row):
            return Stale()
        if row.state == "INTENT":
            if row.sent != intent.row.sent:  # it was sent again since it was looked at
                return Stale()
            return self._repeated(tables, intent, row, now, batches)
        if row.unsure and row.lease_until > now:
            return Conflict(
                f"VM {intent.vm!r}: a request about its predecessor may still arrive",
                hint=f"try again in {row.lease_until - now:.0f} s",
                retry_after=row.lease_until - now,
            )
        return None

    def _repeated(
        self,
        tables: Tables,
        intent: Intent,
        row: Row,
        now: float,
        batches: dict[str, list[Row]],
    ) -> list[Row] | Exception | None:
        if row.token in batches and row.digest == intent.digest:
            return batches[row.token]  # taken over with another member
        members = tables.members(row.token) if row.batch else [row]
        whole = len(members) == max(row.batch, 1)
        if whole and row.digest == intent.digest:
            # members that are cancelled by now come to life again: they are taken over as well
            batches[row.token] = [self._taken(member, now, sent=now) for member in members]
            tables.put(batches[row.token])
            return batches[row.token]
        if intent.settled and row.lease_until <= now:
            return None  # nothing came of it, and nothing can any more
        wait = max(row.lease_until - now, 0.0)
        parameters = "other parameters" if whole else "other VMs, some of which are gone"
        return Conflict(
            f"VM {intent.vm!r} is being created with {parameters}",
            hint="repeat vm_provision with the parameters of the first call, or deprovision it"
            + (f", or try again in {wait:.0f} s" if wait else ""),
            retry_after=wait or None,
        )

    def _taken(self, row: Row, now: float, **changes: Any) -> Row:  # noqa: ANN401
        """The row in our hands: whoever held it before is fenced off."""
        return replace(
            row,
            fence=row.fence + 1,
            unsure=True,
            lease_owner=self._holder,
            lease_until=now + self.lease,
            **changes,
        )

    def _new_generations(
        self, tables: Tables, intents: Sequence[Intent], now: float, *, together: bool
    ) -> list[Row]:
        shared = self._token(intents) if together and len(intents) > 1 else ""
        sequence = tables.take_sequence(len(intents))
        return [
            Row(
                uid=intent.row.uid,
                generation=intent.row.generation + 1,
                state="INTENT",
                token=shared or self._token([intent]),
                digest=intent.digest,
                likeness=intent.likeness,
                vm=intent.vm,
                sent=now,
                fence=intent.row.fence + 1,
                sequence=sequence + place,
                batch=len(intents) if shared else 0,
                member=place if shared else 0,
                expires=intent.expires,
                place=intent.place,
                lease_owner=self._holder,
                lease_until=now + self.lease,
            )
            for place, intent in enumerate(intents)
        ]

    def _token(self, intents: Sequence[Intent]) -> str:
        members = ",".join(f"{i.row.uid}/{i.row.generation + 1}" for i in intents)
        return hashlib.sha256(f"{self.owner}/{members}".encode()).hexdigest()[:32]

    def intend_deletes(self, intents: Sequence[Intent], now: float) -> list[Row | Exception]:
        """Make deletions durable, in one fsynced commit."""
        with self._store.writing(durable=True) as tables:
            current = tables.rows([intent.row.uid for intent in intents])
            answers = [
                self._deletion(intent, current.get(intent.row.uid) or Row(intent.row.uid), now)
                for intent in intents
            ]
            tables.put([answer for answer in answers if isinstance(answer, Row)])
            return answers

    def _deletion(self, intent: Intent, row: Row, now: float) -> Row | Exception:
        if _fenced(row, intent.row):
            return Stale()
        return replace(
            self._taken(row, now, sent=now),
            generation=max(row.generation, 0),
            state="DELETING",
            token=intent.token or row.token or self._token([intent]),
            vm=intent.vm,
            vm_id=intent.vm_id or row.vm_id,
            place=intent.place,
            unsure=row.state == "DELETING",
        )

    def renew(self, rows: Sequence[Row], now: float) -> list[Row]:
        """The rows with a new lease, before they are sent again.

        Raises:
            Stale: Somebody else has taken one of them over.
        """
        with self._store.writing() as tables:
            current = tables.rows([row.uid for row in rows])
            held = [current.get(row.uid) or Row(row.uid) for row in rows]
            if any(_fenced(now_, row) for now_, row in zip(held, rows, strict=True)):
                raise Stale
            lease = now + self.lease
            renewed = [replace(row, sent=now, lease_until=lease, unsure=True) for row in held]
            tables.put(renewed)
            return renewed

    def claim(self, place: str, now: float) -> list[Row]:
        """The unfinished rows of a place whose lease has ended, now in our hands."""
        with self._store.reading() as tables:
            if not tables.unfinished(place, now):
                return []
        with self._store.writing() as tables:
            claimed = [self._taken(row, now) for row in tables.unfinished(place, now)]
            tables.put(claimed)
            return claimed

    def leased(self, place: str, now: float) -> list[Row]:
        """The unfinished rows of a place that somebody is at work on, by their lease."""
        with self._store.reading() as tables:
            rows = tables.unfinished(place, float("inf"))
        return [row for row in rows if row.lease_until > now]

    def accepted(self, pairs: Iterable[tuple[Row, Operation]]) -> None:
        """The cloud accepted these creates and deletions as these operations."""
        pairs = list(pairs)
        urls = {row.uid: (operation.to_url(), operation.vm_id) for row, operation in pairs}

        def accept(row: Row) -> Row:
            url, vm_id = urls[row.uid]
            state = "ACCEPTED" if row.state == "INTENT" else row.state
            return replace(row, state=state, url=url, vm_id=vm_id or row.vm_id)

        with self._store.writing() as tables:
            _change(tables, [row for row, _ in pairs], {"INTENT", "DELETING"}, accept)
            tables.log([(row.uid, operation) for row, operation in pairs])

    def refused(self, rows: Iterable[Row]) -> None:
        """A refused create never was, a refused deletion leaves the VM alive.

        Not so if an earlier request got no answer: that one may have been carried out.
        """

        def refuse(row: Row) -> Row:
            over = "FAILED" if row.state == "INTENT" else "LIVE"
            return row if row.unsure else replace(row, state=over)

        with self._store.writing() as tables:
            _change(tables, list(rows), {"INTENT", "DELETING"}, refuse)

    def gone(self, rows: Iterable[Row], state: str = "GONE", *, settled: bool) -> None:
        """The cloud proved that these VMs do not exist (any more); see `Journal`."""

        def finish(row: Row) -> Row:
            return replace(row, state=state, unsure=row.unsure and not settled)

        with self._store.writing() as tables:
            _change(tables, list(rows), {*UNFINISHED, "LIVE"}, finish)

    def live(self, row: Row, vm_id: str) -> None:
        """The cloud was seen to hold the VM that this create asked for."""
        with self._store.writing() as tables:
            _change(
                tables,
                [row],
                {"INTENT", "ACCEPTED"},
                lambda held: replace(held, state="LIVE", vm_id=vm_id),
            )

    def adopt(self, row: Row, vm: VM, place: str) -> None:
        """Hold a VM of ours that this journal believed gone, or never knew.

        Raises:
            Stale: The row changed since it was read.
        """
        assert vm.tags is not None  # noqa: S101  (only a VM of ours is adopted)
        with self._store.writing(durable=True) as tables:
            held = tables.rows([row.uid]).get(row.uid) or Row(row.uid)
            if _fenced(held, row):
                raise Stale
            tables.raise_sequence(vm.tags.sequence)
            adopted = replace(
                held,
                state="LIVE",
                generation=max(held.generation, 0),
                token=vm.tags.token,
                sequence=vm.tags.sequence,
                expires=vm.tags.expires,
                vm=vm.name,
                vm_id=vm.id,
                fence=held.fence + 1,
                place=place,
            )
            tables.put([adopted])

    def renewed(self, row: Row, expires: int) -> None:
        """The VM's tag says now that it may be reaped at `expires`.

        Raises:
            Stale: The row changed since it was read.
        """
        with self._store.writing() as tables:
            held = tables.rows([row.uid]).get(row.uid)
            # an answer that was written down meanwhile changes the state, not whose row it is
            if held is None or held.fence != row.fence or not held.present:
                raise Stale
            tables.put([replace(held, expires=expires, fence=held.fence + 1)])

    def record(self, asked: Iterable[tuple[str, Operation]]) -> None:
        """Remember other operations, by uid, as the last thing asked of their VMs."""
        with self._store.writing() as tables:
            tables.log(list(asked))

    def names(self, operation: Operation) -> bool:
        """Whether this operation is the last thing that was asked of its VM."""
        with self._store.reading() as tables:
            return tables.last_operation(operation.id) == operation.id

    def ended(self, outcomes: Iterable[Outcome]) -> None:
        """These operations were seen to end; a time-out ends nothing, a stranger's is skipped."""
        over = {o.operation.id: o for o in outcomes if o.end is not End.TIMED_OUT}
        if not over:
            return
        with self._store.writing() as tables:
            tables.end(list(over.values()))
            known = tables.uids([id_ for id_, outcome in over.items() if _ends_a_row(outcome)])
            rows = tables.rows([uid for _, uid in known])
            changed = [_after(rows.get(uid), over[id_]) for id_, uid in known]
            tables.put([row for row in changed if row is not None])

    def open_operations(self, backend: str) -> list[Operation]:
        """The operations of a backend that nobody has seen end."""
        with self._store.reading() as tables:
            return tables.open_operations(backend)

    def places(self, *, finished: bool) -> list[Place]:
        """Where this journal holds VMs, or where it ever did."""
        with self._store.reading() as tables:
            return [Place.from_text(text) for text in tables.places(finished=finished)]

    def close(self) -> None:
        """Let go of files and connections."""
        self._store.close()


def _fenced(held: Row, known: Row) -> bool:
    """Whether the row was written by somebody else since it was read."""
    return held.version != known.version


def _change(
    tables: Tables, rows: Sequence[Row], states: Iterable[str], change: Callable[[Row], Row]
) -> None:
    """Change those of the rows that are still ours and in one of the states."""
    current = tables.rows([row.uid for row in rows])
    pairs = [(current[row.uid], row) for row in rows if row.uid in current]
    ours = [held for held, row in pairs if not _fenced(held, row) and held.state in set(states)]
    tables.put([change(held) for held in ours])


def _ends_a_row(outcome: Outcome) -> bool:
    return (outcome.operation.action, outcome.end) in _ENDS


def _after(row: Row | None, outcome: Outcome) -> Row | None:
    """The row after an operation's end; None where the row is about something else by now."""
    operation = outcome.operation
    before, after = _ENDS[operation.action, outcome.end]
    if row is None or row.state != before or f"&id={operation.id}" not in row.url:
        return None
    if operation.mode == UNSEEN and outcome.end is End.FAILED:
        return None  # nothing was asked yet: recovery goes on with the deletion
    if getattr(outcome.error, "remains", ""):
        after = "LIVE"  # it failed, and yet there is a VM
    vm_id = str(outcome.info.get("vmId") or operation.vm_id or row.vm_id)
    return replace(row, state=after, vm_id=vm_id)
