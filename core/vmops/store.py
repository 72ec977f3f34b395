"""The journal's database: where it is, how it is opened safely, and its transactions.

SQLite and PostgreSQL are used alike: one writer at a time, which takes its turn at a lock of its
own before the transaction begins, so that what was read in it is still so when it is committed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from vmops.errors import JournalError, MissingDependency
from vmops.migrations import prepare
from vmops.sql_tables import SqlTables
from vmops.sqlite_file import SqliteFile

__all__ = ["SqlStore", "default_journal", "postgresql_engine", "sqlite_path", "translated"]

_PATIENCE: Final = 30
"""Seconds for which a writer waits for its turn."""
_POSTGRESQL: Final = (
    f"-c lock_timeout={_PATIENCE}s -c idle_in_transaction_session_timeout={_PATIENCE // 2}s"
)
_ADVISORY: Final = 0x766D6F7073  # "vmops": the lock that makes PostgreSQL's writers take turns


def default_journal() -> str:
    """Where the journal is unless told otherwise: `VMOPS_JOURNAL`, else the user's state folder."""
    given = os.environ.get("VMOPS_JOURNAL")
    if given:
        return given
    import platformdirs

    return str(platformdirs.user_state_path("vmops") / "journal.db")


class SqlStore:
    """An open journal database.

    Args:
        place: A file's path (SQLite), or a SQLAlchemy URL of a PostgreSQL database.

    Raises:
        JournalError: It cannot be opened, is another user's, damaged, or of a newer schema.
        MissingDependency: The driver for PostgreSQL is not installed.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        """Open it, making it first if there is none."""
        text = os.fspath(place)
        self._thread_lock = threading.Lock()
        self._file: SqliteFile | None = None
        self._engine: sa.Engine
        if (path := sqlite_path(text)) is None:
            self.place = sa.make_url(text).render_as_string()
            with translated(self.place):
                self._engine = postgresql_engine(text)
                known = self._prepare()
        else:
            self.place = str(path)
            with translated(self.place):
                self._file = SqliteFile(path, _PATIENCE)
                self._engine = self._file.open(lambda connection: prepare(connection, self.place))
                known = self._prepare()
        self.install_id, self.journal_id = known["install"], known["journal"]

    def _prepare(self) -> dict[str, str]:
        try:
            with self._transaction(durable=True) as connection:
                return prepare(connection, self.place)
        except BaseException:
            self.close()  # nobody else has this store yet
            raise

    @contextmanager
    def reading(self) -> Iterator[SqlTables]:
        """A transaction that only reads."""
        with translated(self.place), self._engine.begin() as connection:
            yield SqlTables(connection)

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[SqlTables]:
        """A transaction that writes, alone; with `durable` it is on disk when this has ended."""
        with self._transaction(durable=durable) as connection:
            yield SqlTables(connection)

    @contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[sa.Connection]:
        with translated(self.place), self._thread_lock, self._turn(durable) as connection:
            yield connection

    def _turn(self, durable: bool) -> AbstractContextManager[sa.Connection]:  # noqa: FBT001
        if self._file is not None:
            return self._file.writing(self._engine, durable=durable)
        return _postgresql_writing(self._engine, durable=durable)

    def close(self) -> None:
        """Close all connections."""
        if self._file is not None:
            self._file.close(self._engine)
        else:
            self._engine.dispose()


def sqlite_path(text: str) -> Path | None:
    """The file that a journal's place names; None for a database server."""
    if "://" not in text:
        return Path(text).absolute()
    url = sa.make_url(text)
    if url.get_backend_name() != "sqlite":
        return None
    if not url.database or url.database == ":memory:":
        raise JournalError(f"journal {text}: memory does not outlive a crash; name a file")
    return Path(url.database).absolute()


def postgresql_engine(text: str) -> sa.Engine:
    """Connections to a PostgreSQL database, tried before use so that a restart is survived.

    Raises:
        JournalError: The URL names some other database.
        MissingDependency: The driver is not installed.
    """
    url = sa.make_url(text)
    if url.get_backend_name() != "postgresql":
        raise JournalError(
            f"journal {url.render_as_string()}: a journal is an SQLite file or a PostgreSQL"
            " database; give a path, or postgresql://USER@HOST/NAME"
        )
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    arguments: dict[str, Any] = {}
    if url.drivername == "postgresql+psycopg":
        arguments = {"connect_timeout": 5, "options": _POSTGRESQL}
    try:
        return sa.create_engine(url, pool_pre_ping=True, connect_args=arguments)
    except ImportError as exc:
        raise MissingDependency(
            f"journal {url.render_as_string()}: the driver is not installed ({exc})",
            install="pip install 'vmops[postgresql]'",
        ) from exc


@contextmanager
def _postgresql_writing(engine: sa.Engine, *, durable: bool) -> Iterator[sa.Connection]:
    # the lock goes with the transaction, so a killed writer lets go of it at once
    commit = "on" if durable else "off"  # off: at most the last moments are lost by a power cut
    turn = sa.select(
        sa.func.pg_advisory_xact_lock(_ADVISORY),
        sa.func.set_config("synchronous_commit", commit, True),  # noqa: FBT003
    )
    with engine.begin() as connection:
        connection.execute(turn)
        yield connection


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn what a database raises into a JournalError that says what to do."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, OSError) as exc:
        cause = str(getattr(exc, "orig", None) or exc).strip()
        advice = next((text for sign, text in _ADVICE.items() if sign in cause), _MEND)
        raise JournalError(f"journal {place}: {cause}; {advice}") from exc


_MEND: Final = "mend it, or name another by VMOPS_JOURNAL"
_RESTORE: Final = (
    "it is damaged and was not touched: restore it from a backup, or move it away (or name another"
    " by VMOPS_JOURNAL) to begin a new one; vmops reap --install-id then finds the old one's VMs"
)
_ADVICE: Final = {
    "not a database": _RESTORE,
    "malformed": _RESTORE,
    "disk is full": "nothing was asked of the cloud; make room, then repeat the call",
}
