"""The journal's tables, and what one transaction does with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from vmops.operation import Operation
from vmops.outcomes import Outcome
from vmops.records import FINISHED, UNFINISHED, Row

__all__ = ["SqlTables", "meta", "operations", "tables", "vms"]

tables = sa.MetaData()

meta = sa.Table(
    "meta",
    tables,
    sa.Column("key", sa.String(40), primary_key=True),
    sa.Column("value", sa.String(200), nullable=False),
)
vms = sa.Table(
    "vms",
    tables,
    sa.Column("uid", sa.String(500), primary_key=True),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("token", sa.String(64), nullable=False, index=True),
    sa.Column("digest", sa.String(64), nullable=False, default=""),
    sa.Column("backend", sa.String(40), nullable=False),
    sa.Column("vm", sa.String(255), nullable=False),
    sa.Column("vm_id", sa.String(500), nullable=False, default=""),
    sa.Column("url", sa.Text, nullable=False, default=""),
    sa.Column("sent", sa.Double, nullable=False, default=0.0),
    sa.Column("fence", sa.Integer, nullable=False, default=0),
    sa.Column("sequence", sa.BigInteger, nullable=False, default=0),
    sa.Column("batch", sa.Integer, nullable=False, default=0),
    sa.Column("member", sa.Integer, nullable=False, default=0),
    sa.Column("expires", sa.BigInteger, nullable=False, default=0),
    sa.Column("lease_owner", sa.String(64), nullable=False, default=""),
    sa.Column("lease_until", sa.Double, nullable=False, default=0.0),
    sa.Column("place", sa.String(500), nullable=False, server_default=""),
    sa.Column("unsure", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("likeness", sa.Text, nullable=False, server_default=""),
    sa.Index("ix_vms_due", "place", "state", "lease_until"),
)
operations = sa.Table(
    "operations",
    tables,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(40), nullable=False, unique=True),
    sa.Column("uid", sa.String(500), nullable=False, index=True),
    sa.Column("backend", sa.String(40), nullable=False),
    sa.Column("vm", sa.String(255), nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("asked", sa.Double, nullable=False),
    sa.Column("ended", sa.Double),
    sa.Column("status", sa.String(16), nullable=False, default=""),
    sa.Column("error", sa.String(500), nullable=False, default=""),
    sa.Index(
        "ix_operations_open",
        "backend",
        sqlite_where=sa.text("ended IS NULL"),
        postgresql_where=sa.text("ended IS NULL"),
    ),
)

_VARIABLES: Final = 500  # in one query: SQLite takes a limited number
_COLUMNS: Final = [vms.c[name] for name in Row.__slots__]
_INSERTS: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

# The statements of every verb are put together once: that takes longer than running them.
_ROWS: Final = sa.select(*_COLUMNS).where(vms.c.uid.in_(sa.bindparam("uids", expanding=True)))
_IS_SEQUENCE: Final = meta.c.key == "sequence"
_SEQUENCE: Final = sa.select(meta.c.value).where(_IS_SEQUENCE)
_SET_SEQUENCE: Final = sa.update(meta).where(_IS_SEQUENCE)
_LOG: Final = sa.insert(operations)
_UIDS: Final = sa.select(operations.c.id, operations.c.uid).where(
    operations.c.id.in_(sa.bindparam("ids", expanding=True))
)
_END: Final = sa.update(operations).where(
    operations.c.id == sa.bindparam("which"), operations.c.ended.is_(None)
)
"""The columns to set are the other keys of the values. Whoever saw the end first tells when."""


@cache
def _upsert(dialect: str) -> Any:  # noqa: ANN401  (the dialects' inserts have no common type)
    insert = _INSERTS[dialect](vms)
    replaced = {column.name: insert.excluded[column.name] for column in vms.c}
    return insert.on_conflict_do_update(index_elements=["uid"], set_=replaced)


class SqlTables:
    """The tables within one transaction; see `vmops.records.Tables`.

    Args:
        connection: A connection with a transaction begun.
    """

    def __init__(self, connection: sa.Connection) -> None:
        """Read nothing yet."""
        self.connection = connection

    def rows(self, uids: Sequence[str]) -> dict[str, Row]:
        """The rows of these VMs, those that exist."""
        found: dict[str, Row] = {}
        for start in range(0, len(uids), _VARIABLES):
            some = {"uids": uids[start : start + _VARIABLES]}
            rows = (Row(*row) for row in self.connection.execute(_ROWS, some))
            found.update((row.uid, row) for row in rows)
        return found

    def members(self, token: str) -> list[Row]:
        """The rows with this token, by their place in the batch."""
        return self._select(vms.c.token == token, order=vms.c.member)

    def unfinished(self, place: str, before: float) -> list[Row]:
        """The rows of a place in an UNFINISHED state whose lease ended by `before`."""
        return self._select(
            vms.c.state.in_(sorted(UNFINISHED)),
            vms.c.lease_until <= before,
            vms.c.place == place,
            order=vms.c.lease_until,
        )

    def _select(
        self, *where: sa.ColumnElement[bool], order: sa.ColumnElement[Any] | None = None
    ) -> list[Row]:
        query = sa.select(*_COLUMNS).where(*where).order_by(order)
        return [Row(*found) for found in self.connection.execute(query)]

    def places(self, *, finished: bool) -> list[str]:
        """The places of all rows, or without `finished` of those in no FINISHED state."""
        query = sa.select(vms.c.place).distinct().order_by(vms.c.place)
        if not finished:
            query = query.where(vms.c.state.not_in(sorted(FINISHED)))
        return [place for (place,) in self.connection.execute(query)]

    def put(self, rows: Iterable[Row]) -> None:
        """Insert these rows, or replace those of the same uid."""
        values = [_values(row) for row in rows]
        if values:
            self.connection.execute(_upsert(self.connection.dialect.name), values)

    def take_sequence(self, count: int) -> int:
        """The first of `count` numbers that are greater than all before them."""
        first = self.sequence() + 1
        if count:
            self._set_sequence(first + count - 1)
        return first

    def sequence(self) -> int:
        """The last number taken."""
        return int(self.connection.execute(_SEQUENCE).scalar_one())

    def raise_sequence(self, floor: int) -> None:
        """Let no number up to `floor` be taken any more."""
        if floor > self.sequence():
            self._set_sequence(floor)

    def _set_sequence(self, value: int) -> None:
        self.connection.execute(_SET_SEQUENCE, {"value": str(value)})

    def log(self, asked: Sequence[tuple[str, Operation]]) -> None:
        """Append operations, by uid, as the last thing asked of their VMs."""
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
        if rows:
            self.connection.execute(_LOG, rows)

    def last_operation(self, operation_id: str) -> str:
        """The id of what was asked last of the VM of this operation; empty if it is unknown."""
        uid = sa.select(operations.c.uid).where(operations.c.id == operation_id)
        query = (
            sa.select(operations.c.id)
            .where(operations.c.uid == uid.scalar_subquery())
            .order_by(operations.c.number.desc())
            .limit(1)
        )
        return self.connection.execute(query).scalar() or ""

    def uids(self, operation_ids: Sequence[str]) -> list[tuple[str, str]]:
        """(operation id, uid) of those that are known."""
        found: list[tuple[str, str]] = []
        for start in range(0, len(operation_ids), _VARIABLES):
            some = {"ids": operation_ids[start : start + _VARIABLES]}
            found += [(id_, uid) for id_, uid in self.connection.execute(_UIDS, some)]
        return found

    def end(self, outcomes: Sequence[Outcome]) -> None:
        """Write down how these operations ended."""
        values = [
            {
                "which": outcome.operation.id,
                "ended": outcome.ended,
                "status": outcome.end.value,
                "error": str(outcome.error)[:500] if outcome.error else "",
            }
            for outcome in outcomes
        ]
        if values:
            self.connection.execute(_END, values)

    def open_operations(self, backend: str) -> list[Operation]:
        """The operations of a backend that nobody has seen end."""
        unended = operations.c.ended.is_(None)
        query = sa.select(operations.c.url).where(operations.c.backend == backend, unended)
        return [Operation.from_url(url) for (url,) in self.connection.execute(query)]


def _values(row: Row) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in Row.__slots__}
    return {**values, "backend": row.uid.partition("/")[0]}
