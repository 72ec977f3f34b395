"""A journal in an SQLite file: whose it is, on what disk, whether whole, and who may write."""

from __future__ import annotations

import os
import sqlite3
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

import sqlalchemy as sa

from vmops.errors import JournalError

if sys.platform != "win32":
    import fcntl

__all__ = ["SqliteFile"]

_NETWORK: Final = frozenset(
    {
        *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "glusterfs", "gpfs", "lustre", "ncpfs"),
        *("nfs", "nfs4", "smb3", "smbfs", "fuse.ceph", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs"),
    }
)
"""File systems whose locks and shared memory SQLite's WAL cannot rely on (sqlite.org/wal.html)."""
_HEADER: Final = struct.Struct(">16sHB9xI")
"""Magic, page size, write version (2 is WAL), pages: sqlite.org/fileformat.html."""


_in_use: Counter[tuple[int, int]] = Counter()
"""The files (device, inode) that this process has open as journals, and how often.

POSIX takes all of a process's locks on a file away when any descriptor of it is closed, SQLite's
own included (sqlite.org/howtocorrupt.html, 2.2): so nothing but SQLite may open one of these.
"""


class SqliteFile:
    """A journal's file, with a lock file beside it.

    Args:
        path: Where it is.
        patience: Seconds for which a writer waits for its turn.

    Raises:
        JournalError: It is another user's, readable by others, cut off, or on a network disk.
    """

    def __init__(self, path: Path, patience: float) -> None:
        """Make the folder."""
        self.path = path
        self._patience = patience
        _make_private(path.parent)
        _refuse_network(path)
        self._lock = path.with_name(path.name + ".lock")

    def open(self, prepare: Callable[[sa.Connection], object]) -> sa.Engine:
        """Connections to the file; a new one appears under its name only when it is complete."""
        with self._turn():
            if not self.path.exists():
                self._make(prepare)
            info = _refuse_strangers(self.path)
            self._identity = info.st_dev, info.st_ino
            if not _in_use[self._identity]:
                _refuse_unfit(self.path, info.st_size)
            _in_use[self._identity] += 1
        return _engine(self.path)

    def close(self, engine: sa.Engine) -> None:
        """Close the connections that `open` gave."""
        engine.dispose()
        _in_use[self._identity] -= 1

    def _make(self, prepare: Callable[[sa.Connection], object]) -> None:
        fresh = self.path.with_name(self.path.name + ".new")
        for left in self.path.parent.glob(fresh.name + "*"):  # by a process that was killed here
            left.unlink()
        os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        engine = _engine(fresh, poolclass=sa.NullPool)  # closed with the block, whatever happens
        with engine.connect() as connection:
            _synchronous(connection, "FULL")
            with connection.begin():
                prepare(connection)
            _move_log_into(connection, fresh)
        fresh.replace(self.path)
        _sync_folder(self.path.parent)

    @contextmanager
    def writing(self, engine: sa.Engine, *, durable: bool) -> Iterator[sa.Connection]:
        """A transaction in this process's turn; with `durable` it is on disk when it has ended."""
        with self._turn(), engine.connect() as connection:
            _synchronous(connection, "FULL" if durable else "NORMAL")
            with connection.begin():
                yield connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        # SQLite's own busy handler starves some of many writers; a flock taken first does not
        if sys.platform == "win32":  # SQLite's own locking has to do
            yield
            return
        waiter = _Waiter(self._lock)
        if not waiter.has_lock and not waiter.wait(self._patience):
            raise JournalError(
                f"journal {self.path}: another process has been writing for {self._patience:g} s;"
                f" find it: fuser {self._lock}"
            )
        try:
            yield
        finally:
            waiter.close()


class _Waiter:
    """One wait for the lock. The kernel queues whoever waits in it, but knows no time limit there.

    Args:
        file: The lock file.
    """

    def __init__(self, file: Path) -> None:
        """Take the lock if it is free."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = os.open(file, flags, 0o600)
        self._lock = threading.Lock()
        self._over = self._ended = False
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.has_lock = False
        except BaseException:
            os.close(self._descriptor)
            raise
        else:
            self.has_lock = True

    def wait(self, seconds: float) -> bool:
        """Whether the lock was had in time; if not, it is let go as soon as it is had."""
        got = threading.Event()
        threading.Thread(target=self._block, args=(got,), daemon=True).start()
        got.wait(seconds)
        with self._lock:
            self._over = not self.has_lock
            if self._over and self._ended:
                self.close()
            return self.has_lock

    def _block(self, got: threading.Event) -> None:
        locked = False
        with suppress(OSError):  # then the lock was not had, and the time is over at once
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            locked = True
        with self._lock:
            self._ended = True
            self.has_lock = locked and not self._over
            if self._over:
                self.close()
        got.set()

    def close(self) -> None:
        """Let go of the lock."""
        os.close(self._descriptor)


def _engine(path: Path, poolclass: type[sa.Pool] | None = None) -> sa.Engine:
    arguments = {"timeout": 30, "check_same_thread": False}
    engine = sa.create_engine(f"sqlite:///{path}", connect_args=arguments, poolclass=poolclass)
    sa.event.listen(engine, "connect", _set_up)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: sa.Connection) -> None:
    connection.connection.driver_connection.execute("BEGIN")  # type: ignore[union-attr]


def _set_up(connection: object, _record: object) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]  # BEGIN is ours: see _engine
    try:
        connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]
        connection.execute("PRAGMA synchronous=NORMAL")  # type: ignore[attr-defined]
    except BaseException:
        connection.close()  # type: ignore[attr-defined]  # the pool has not got it yet
        raise


def _synchronous(connection: sa.Connection, level: str) -> None:
    # outside any transaction: SQLite ignores this pragma inside one
    driver = connection.connection.driver_connection
    driver.execute(f"PRAGMA synchronous={level}")  # type: ignore[union-attr]


def _move_log_into(connection: sa.Connection, path: Path) -> None:
    # the last connection's end would do it as well, but keep quiet about a full disk
    driver = connection.connection.driver_connection
    try:
        row = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # type: ignore[union-attr]
    except sqlite3.Error as exc:
        raise OSError(str(exc)) from exc
    if tuple(row) != (0, 0, 0):
        raise JournalError(f"journal {path}: its first pages could not be written: {row}")


def _make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone."""
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _refuse_network(path: Path) -> None:
    kind = _file_system(path.parent.resolve())
    if kind in _NETWORK:
        raise JournalError(
            f"journal {path}: it would be on a network file system ({kind}), whose locks cannot be"
            " relied on; give a local path, or share a journal by postgresql://"
        )


def _file_system(folder: Path, mounts: str = "/proc/self/mounts") -> str:
    """The type of the file system that holds a folder; empty where the machine does not say."""
    try:
        lines = Path(mounts).read_text().splitlines()
    except OSError:
        return ""
    found: dict[Path, str] = {}  # of two mounts at one place the later one counts
    for line in lines:
        _, where, kind, *_ = line.split()
        found[Path(where.encode().decode("unicode_escape"))] = kind
    return next((found[place] for place in (folder, *folder.parents) if place in found), "")


def _refuse_strangers(path: Path) -> os.stat_result:
    if path.is_symlink():
        raise JournalError(f"journal {path} is a symbolic link; name the file itself")
    info = path.stat()
    if hasattr(os, "geteuid") and info.st_uid != os.geteuid():
        raise JournalError(
            f"journal {path} belongs to user id {info.st_uid}; give a path of your own"
        )
    if info.st_mode & 0o077 and os.name == "posix":
        raise JournalError(f"journal {path} can be read by others; run: chmod 600 {path}")
    return info


def _refuse_unfit(path: Path, size: int) -> None:
    if _is_cut_off(path, size):
        raise JournalError(
            f"journal {path} is cut off ({size} bytes) and was not touched: restore"
            " it from a backup, or move it away to begin a new one; vmops reap --install-id then"
            " finds the old one's VMs"
        )
    if _is_something_else(path):
        raise JournalError(f"journal {path}: this is no journal of vmops; name another file")


def _is_something_else(path: Path) -> bool:
    """Whether it is a database of another program; opening it for writing would change it."""
    with path.open("rb") as file:
        _, _, version, _ = _HEADER.unpack(file.read(_HEADER.size))
    if version != 1:  # a journal is in WAL mode, unless some tool wrote a copy of it
        return False
    uri = f"sqlite:///file:{quote(str(path))}?mode=ro&uri=true"
    with sa.create_engine(uri, poolclass=sa.NullPool).connect() as connection:
        names = sa.inspect(connection).get_table_names()
    return not {"meta", "vms"} <= set(names)


def _is_cut_off(path: Path, size: int) -> bool:
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size:
        return size == 0  # pages may be in the log; SQLite finds out
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return True
    magic, page_size, _, pages = _HEADER.unpack(head)
    # 1 means 65536
    whole: int = pages * (65536 if page_size == 1 else page_size)
    return magic == b"SQLite format 3\0" and size < whole
