"""The journal's database: where it is, how it is opened safely, its tables and its transactions."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from vmops.errors import JournalError

try:
    import fcntl
except ImportError:  # Windows: SQLite's own locking has to do
    fcntl = None  # type: ignore[assignment]

__all__ = ["SCHEMA_VERSION", "Store", "default_journal", "meta", "operations", "vms"]

SCHEMA_VERSION: Final = 1

_tables = sa.MetaData()

meta = sa.Table(
    "meta",
    _tables,
    sa.Column("key", sa.String(40), primary_key=True),
    sa.Column("value", sa.String(200), nullable=False),
)
vms = sa.Table(
    "vms",
    _tables,
    sa.Column("uid", sa.String(500), primary_key=True),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("token", sa.String(64), nullable=False, index=True),
    sa.Column("digest", sa.String(64), nullable=False, default=""),
    sa.Column("backend", sa.String(40), nullable=False),
    sa.Column("vm", sa.String(255), nullable=False),
    sa.Column("vm_id", sa.String(500), nullable=False, default=""),
    sa.Column("url", sa.Text, nullable=False, default=""),
    sa.Column("sent", sa.Float, nullable=False, default=0.0),
    sa.Column("fence", sa.Integer, nullable=False, default=0),
    sa.Column("sequence", sa.Integer, nullable=False, default=0),
    sa.Column("batch", sa.Integer, nullable=False, default=0),
    sa.Column("member", sa.Integer, nullable=False, default=0),
    sa.Column("expires", sa.Integer, nullable=False, default=0),
    sa.Column("lease_owner", sa.String(64), nullable=False, default=""),
    sa.Column("lease_until", sa.Float, nullable=False, default=0.0),
)
operations = sa.Table(
    "operations",
    _tables,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(40), nullable=False, unique=True),
    sa.Column("uid", sa.String(500), nullable=False, index=True),
    sa.Column("backend", sa.String(40), nullable=False),
    sa.Column("vm", sa.String(255), nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("asked", sa.Float, nullable=False),
    sa.Column("ended", sa.Float),
    sa.Column("status", sa.String(16), nullable=False, default=""),
    sa.Column("error", sa.String(500), nullable=False, default=""),
)


def default_journal() -> str:
    """Where the journal is unless told otherwise: `VMOPS_JOURNAL`, else the user's state folder."""
    given = os.environ.get("VMOPS_JOURNAL")
    if given:
        return given
    import platformdirs

    return str(platformdirs.user_state_path("vmops") / "journal.db")


class Store:
    """An open journal database.

    Args:
        place: A file's path (SQLite) or a SQLAlchemy URL.

    Raises:
        JournalError: It cannot be opened, is another user's, or is of a newer schema.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        """Open it, making it first if there is none."""
        text = os.fspath(place)
        self._thread_lock = threading.Lock()
        self._lock_file: int | None = None
        self.place = text if "://" not in text else sa.make_url(text).render_as_string()
        with _translated(self.place):
            if "://" in text:
                self._engine = sa.create_engine(text, pool_pre_ping=True)
            else:
                self._engine = self._open_file(Path(text).absolute())
            self.install_id = self._prepare()

    def _open_file(self, path: Path) -> sa.Engine:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        _refuse_foreign(path)
        lock = path.with_name(path.name + ".lock")
        self._lock_file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        engine = sa.create_engine(
            f"sqlite:///{path}", connect_args={"timeout": 30, "check_same_thread": False}
        )
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN"))
        return engine

    def _prepare(self) -> str:
        with self.writing(durable=True) as connection:
            if not sa.inspect(connection).has_table("meta"):
                _tables.create_all(connection)
                connection.execute(
                    sa.insert(meta),
                    [
                        {"key": "schema", "value": str(SCHEMA_VERSION)},
                        {"key": "install", "value": secrets.token_hex(8)},
                        {"key": "sequence", "value": "0"},
                    ],
                )
            known = {row.key: row.value for row in connection.execute(sa.select(meta))}
        version = int(known["schema"])
        if version > SCHEMA_VERSION:
            msg = (
                f"journal {self.place}: schema {version} is newer than {SCHEMA_VERSION}, the newest"
                " this vmops knows; upgrade vmops"
            )
            raise JournalError(msg)
        return str(known["install"])

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads."""
        with _translated(self.place), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, *, durable: bool = False) -> Iterator[sa.Connection]:
        """A transaction that writes; with `durable` it is on disk when this returns."""
        with (
            _translated(self.place),
            self._thread_lock,
            self._process_lock(),
            self._engine.connect() as connection,
        ):
            if self._lock_file is not None:
                # outside any transaction: SQLite ignores this pragma inside one
                level = "FULL" if durable else "NORMAL"
                driver = connection.connection.driver_connection
                driver.execute(f"PRAGMA synchronous={level}")  # type: ignore[union-attr]
            with connection.begin():
                yield connection

    @contextmanager
    def _process_lock(self) -> Iterator[None]:
        # SQLite's own busy handler starves some of many writers; a flock taken first is fair
        if self._lock_file is None or fcntl is None:
            yield
            return
        fcntl.flock(self._lock_file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)

    def take_sequence(self, connection: sa.Connection, count: int) -> int:
        """The first of `count` numbers that are greater than all before them in this journal."""
        row = sa.select(meta.c.value).where(meta.c.key == "sequence").with_for_update()
        first = int(connection.execute(row).scalar_one()) + 1
        last = sa.update(meta).where(meta.c.key == "sequence").values(value=str(first + count - 1))
        if count:
            connection.execute(last)
        return first

    def close(self) -> None:
        """Close all connections and the lock file."""
        self._engine.dispose()
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None


def _set_up_sqlite(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]
    connection.isolation_level = None  # type: ignore[attr-defined]  # BEGIN is ours: _open_file
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _refuse_foreign(path: Path) -> None:
    info = path.stat()
    if hasattr(os, "geteuid") and info.st_uid != os.geteuid():
        msg = f"journal {path} belongs to user id {info.st_uid}; give a path of your own"
        raise JournalError(msg)
    if info.st_mode & 0o077 and os.name == "posix":
        msg = f"journal {path} can be read by others; run: chmod 600 {path}"
        raise JournalError(msg)


@contextmanager
def _translated(place: str) -> Iterator[None]:
    try:
        yield
    except (sa.exc.SQLAlchemyError, OSError) as exc:
        cause = getattr(exc, "orig", None) or exc
        msg = f"journal {place}: {cause}; mend it, or name another by VMOPS_JOURNAL"
        raise JournalError(msg) from exc
