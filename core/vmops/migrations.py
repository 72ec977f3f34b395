"""Taking a journal from one schema version to the next, all of it or nothing."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

import sqlalchemy as sa

from vmops.errors import JournalError
from vmops.records import Place
from vmops.sql_tables import meta, tables, vms

__all__ = ["SCHEMA_VERSION", "prepare"]


def _to_2(connection: sa.Connection) -> None:
    """Rows learn their place, and whether an answer is missing; the journal gets an id."""
    for name in ("place", "unsure"):
        _add_column(connection, name)
    connection.exec_driver_sql("DROP INDEX IF EXISTS ix_vms_state")
    for table in tables.tables.values():
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    for (uid,) in connection.execute(sa.select(vms.c.uid)).all():
        place = _place_of(uid).to_text()
        connection.execute(sa.update(vms).where(vms.c.uid == uid).values(place=place))
    connection.execute(sa.insert(meta), [{"key": "journal", "value": secrets.token_hex(8)}])


def _place_of(uid: str) -> Place:
    """The place that stands in a row's key, as schema 1 has it."""
    backend, account, rest = uid.split("/", 2)
    where = rest.rpartition("/")[0]
    return Place(backend, account, dict(pair.split("=", 1) for pair in where.split(",") if pair))


def _to_3(connection: sa.Connection) -> None:
    """Rows learn what was asked for."""
    _add_column(connection, "likeness")


def _add_column(connection: sa.Connection, name: str) -> None:
    column = sa.schema.CreateColumn(vms.c[name]).compile(dialect=connection.dialect)
    connection.exec_driver_sql(f"ALTER TABLE vms ADD COLUMN {column}")


_STEPS: Final[dict[int, Callable[[sa.Connection], None]]] = {1: _to_2, 2: _to_3}
"""Schema version -> what takes a journal from it to the next."""

SCHEMA_VERSION: Final = max(_STEPS) + 1


def prepare(connection: sa.Connection, place: str) -> dict[str, str]:
    """Make the tables if there are none, or bring them up to date; what `meta` says then.

    Args:
        connection: A connection with a writing transaction begun.
        place: The journal's name, for errors.

    Raises:
        JournalError: The journal is of a newer schema, or the database holds something else.
    """
    names = set(sa.inspect(connection).get_table_names())
    if "meta" not in names:
        _make(connection, names, place)
    known = _known(connection)
    if not {"schema", "install", "sequence"} <= set(known):
        raise JournalError(f"journal {place}: this is no journal of vmops; name another file")
    version = int(known["schema"])
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"journal {place}: schema {version} is newer than {SCHEMA_VERSION}, the newest this"
            " vmops knows; upgrade vmops"
        )
    for step in range(version, SCHEMA_VERSION):
        _STEPS[step](connection)
    if version < SCHEMA_VERSION:
        values = sa.update(meta).where(meta.c.key == "schema").values(value=str(SCHEMA_VERSION))
        connection.execute(values)
        known = _known(connection)
    return known


def _make(connection: sa.Connection, names: set[str], place: str) -> None:
    if names & set(tables.tables):
        raise JournalError(f"journal {place}: it holds tables of something else; name another")
    tables.create_all(connection)
    connection.execute(
        sa.insert(meta),
        [
            {"key": "schema", "value": str(SCHEMA_VERSION)},
            {"key": "install", "value": secrets.token_hex(8)},
            {"key": "journal", "value": secrets.token_hex(8)},
            {"key": "sequence", "value": "0"},
        ],
    )


def _known(connection: sa.Connection) -> dict[str, str]:
    return {row.key: row.value for row in connection.execute(sa.select(meta))}
