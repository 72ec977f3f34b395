"""The journal in a SQL database: one small transaction per step of a VM's life."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from vmops.errors import Conflict
from vmops.journal import Intent, Row, Stale, canonical
from vmops.operation import Action, Operation
from vmops.outcomes import End, Outcome
from vmops.store import Store, operations, vms

__all__ = ["SqlJournal"]


class SqlJournal:
    """The journal in a SQL database.

    Args:
        store: The opened database.

    Raises:
        JournalError: From any method, when the database cannot be read or written.
    """

    def __init__(self, store: Store) -> None:
        """Read the install id."""
        self._store = store
        self.owner = store.install_id

    def rows(self, uids: Sequence[str]) -> Mapping[str, Row]:
        """What is known of these VMs; an unknown one gets an empty Row."""
        with self._store.reading() as connection:
            found = _select(connection, uids)
        return {uid: found.get(uid, Row(uid)) for uid in uids}

    def digest(self, request: Mapping[str, Any]) -> str:
        """A digest keyed by the install id, so that a short secret cannot be guessed from it."""
        return hmac.new(self.owner.encode(), canonical(request), hashlib.sha256).hexdigest()

    def intend_creates(
        self, intents: Sequence[Intent], now: float, *, together: bool
    ) -> list[Row | Exception]:
        """Make creates durable in one fsynced commit; see `Journal`."""
        with self._store.writing(durable=True) as connection:
            current = _select(connection, [intent.row.uid for intent in intents])
            fresh = [i for i in intents if _is_free(current.get(i.row.uid))]
            shared = self._token(fresh) if together and len(fresh) > 1 else ""
            places = {id(intent): place for place, intent in enumerate(fresh)}
            sequence = self._store.take_sequence(connection, len(fresh))
            answers: list[Row | Exception] = []
            for intent in intents:
                row = current.get(intent.row.uid, Row(intent.row.uid))
                if _version(row) != _version(intent.row):
                    answers.append(Stale())
                elif row.state == "INTENT":
                    answers.append(self._intend_again(connection, intent, row, now))
                else:
                    place = places[id(intent)]
                    values = {
                        **_new_intent(intent, now),
                        "token": shared or self._token([intent]),
                        "batch": len(fresh) if shared else 0,
                        "member": place if shared else 0,
                        "sequence": sequence + place,
                    }
                    answers.append(_put(connection, row, values))
            return answers

    def _intend_again(
        self, connection: sa.Connection, intent: Intent, row: Row, now: float
    ) -> Row | Exception:
        if row.digest != intent.digest:
            return Conflict(
                f"VM {intent.vm!r} is being created with other parameters",
                hint="repeat vm_provision with the parameters of the first call, or deprovision",
            )
        return _put(connection, row, {"fence": row.fence + 1, "sent": now})

    def _token(self, intents: Sequence[Intent]) -> str:
        members = ",".join(f"{i.row.uid}/{i.row.generation + 1}" for i in intents)
        return hashlib.sha256(f"{self.owner}/{members}".encode()).hexdigest()[:32]

    def members(self, row: Row) -> list[Row]:
        """All rows of the batch that this row was created in, in order."""
        query = sa.select(*_COLUMNS).where(vms.c.token == row.token).order_by(vms.c.member)
        with self._store.reading() as connection:
            return [Row(*found) for found in connection.execute(query)]

    def intend_deletes(self, intents: Sequence[Intent], now: float) -> list[Row | Exception]:
        """Make deletions durable, in one fsynced commit."""
        with self._store.writing(durable=True) as connection:
            current = _select(connection, [intent.row.uid for intent in intents])
            return [
                _put(
                    connection,
                    row := current.get(intent.row.uid, Row(intent.row.uid)),
                    {
                        "generation": max(row.generation, 0),
                        "state": "DELETING",
                        "token": row.token or self._token([intent]),
                        "vm": intent.vm,
                        "vm_id": intent.vm_id or row.vm_id,
                        "sent": now,
                        "fence": row.fence + 1,
                    },
                )
                for intent in intents
            ]

    def accepted(self, pairs: Iterable[tuple[Row, Operation]]) -> None:
        """The cloud accepted these creates and deletions as these operations."""
        pairs = list(pairs)
        with self._store.writing() as connection:
            for row, operation in pairs:
                creating = operation.action is Action.PROVISION
                values = {
                    "state": "ACCEPTED" if creating else "DELETING",
                    "url": operation.to_url(),
                    "vm_id": operation.vm_id or row.vm_id,
                }
                _update(connection, row.uid, values, vms.c.fence == row.fence)
            _insert_operations(connection, [(row.uid, operation) for row, operation in pairs])

    def refused(self, rows: Iterable[Row]) -> None:
        """A refused create never was; a refused deletion leaves the VM alive."""
        with self._store.writing() as connection:
            for row in rows:
                state = "FAILED" if row.state == "INTENT" else "LIVE"
                _update(connection, row.uid, {"state": state}, vms.c.fence == row.fence)

    def gone(self, rows: Iterable[Row]) -> None:
        """The cloud proved that these VMs do not exist (any more)."""
        with self._store.writing() as connection:
            for row in rows:
                _update(connection, row.uid, {"state": "GONE"}, vms.c.fence == row.fence)

    def live(self, row: Row, vm_id: str) -> None:
        """The cloud was seen to run this VM."""
        values = {"state": "LIVE", "vm_id": vm_id}
        with self._store.writing() as connection:
            _update(connection, row.uid, values, vms.c.fence == row.fence)

    def record(self, asked: Iterable[tuple[str, Operation]]) -> None:
        """Remember other operations, by uid, as the last thing asked of their VMs."""
        with self._store.writing() as connection:
            _insert_operations(connection, list(asked))

    def names(self, operation: Operation) -> bool:
        """Whether this operation is the last thing that was asked of its VM."""
        uid = sa.select(operations.c.uid).where(operations.c.id == operation.id)
        query = (
            sa.select(operations.c.id)
            .where(operations.c.uid == uid.scalar_subquery())
            .order_by(operations.c.number.desc())
            .limit(1)
        )
        with self._store.reading() as connection:
            return connection.execute(query).scalar() == operation.id

    def ended(self, outcomes: Iterable[Outcome]) -> None:
        """These operations were seen to end; a time-out ends nothing, a stranger's is skipped."""
        over = {o.operation.id: o for o in outcomes if o.end is not End.TIMED_OUT}
        if not over:
            return
        with self._store.writing() as connection:
            for id_, uid in _uids(connection, list(over)):
                outcome = over[id_]
                _end_operation(connection, outcome)
                state = _END_STATES.get((outcome.operation.action, outcome.end))
                if state is not None:
                    same = vms.c.url.like(f"%id={id_}%")
                    vm_id = outcome.info.get("vmId") or outcome.operation.vm_id
                    _update(connection, uid, {"state": state, "vm_id": vm_id}, same)

    def close(self) -> None:
        """Let go of files and connections."""
        self._store.close()


_END_STATES: Final = {
    (Action.PROVISION, End.SUCCEEDED): "LIVE",
    (Action.PROVISION, End.FAILED): "FAILED",
    (Action.DEPROVISION, End.SUCCEEDED): "GONE",
    (Action.DEPROVISION, End.FAILED): "LIVE",
}


def _new_intent(intent: Intent, now: float) -> dict[str, Any]:
    return {
        "generation": intent.row.generation + 1,
        "state": "INTENT",
        "digest": intent.digest,
        "vm": intent.vm,
        "vm_id": "",
        "url": "",
        "sent": now,
        "fence": intent.row.fence + 1,
        "expires": intent.expires,
    }


def _version(row: Row) -> tuple[int, int, str]:
    """What changes whenever a row does: an answer that was written down changes only the state."""
    return row.generation, row.fence, row.state


def _is_free(row: Row | None) -> bool:
    return row is None or row.state != "INTENT"


_VARIABLES: Final = 500  # in one query: SQLite takes a limited number
_COLUMNS: Final = [vms.c[name] for name in Row.__slots__]


def _select(connection: sa.Connection, uids: Sequence[str]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for start in range(0, len(uids), _VARIABLES):
        query = sa.select(*_COLUMNS).where(vms.c.uid.in_(uids[start : start + _VARIABLES]))
        found.update((row.uid, Row(*row)) for row in connection.execute(query))
    return found


def _uids(connection: sa.Connection, ids: Sequence[str]) -> list[tuple[str, str]]:
    """(operation id, uid) of those that this journal knows."""
    found: list[tuple[str, str]] = []
    for start in range(0, len(ids), _VARIABLES):
        some = operations.c.id.in_(ids[start : start + _VARIABLES])
        query = sa.select(operations.c.id, operations.c.uid).where(some)
        found += [(row.id, row.uid) for row in connection.execute(query)]
    return found


def _put(connection: sa.Connection, row: Row, values: Mapping[str, Any]) -> Row:
    merged = {name: getattr(row, name) for name in Row.__slots__} | dict(values)
    columns = {**merged, "backend": row.uid.partition("/")[0]}
    if row.generation < 0:
        connection.execute(sa.insert(vms).values(**columns))
    else:
        connection.execute(sa.update(vms).where(vms.c.uid == row.uid).values(**columns))
    return Row(**{name: merged[name] for name in Row.__slots__})


def _update(
    connection: sa.Connection, uid: str, values: Mapping[str, Any], *where: sa.ColumnElement[bool]
) -> None:
    connection.execute(sa.update(vms).where(vms.c.uid == uid, *where).values(**values))


def _insert_operations(connection: sa.Connection, asked: list[tuple[str, Operation]]) -> None:
    if asked:
        rows = [
            {
                "id": operation.id,
                "uid": uid,
                "backend": operation.backend,
                "vm": operation.vm,
                "action": operation.action.value,
                "url": operation.to_url(),
                "asked": operation.at,
            }
            for uid, operation in asked
        ]
        connection.execute(sa.insert(operations), rows)


def _end_operation(connection: sa.Connection, outcome: Outcome) -> None:
    values = {
        "ended": outcome.ended,
        "status": outcome.end.value,
        "error": str(outcome.error)[:500] if outcome.error else "",
    }
    where = operations.c.id == outcome.operation.id
    connection.execute(sa.update(operations).where(where).values(**values))
