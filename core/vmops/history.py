"""Reading the journal without writing to it: what was asked of which VM, and how long it took."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import quote

import sqlalchemy as sa

from vmops.operation import Operation
from vmops.sql_tables import meta, operations, vms
from vmops.store import postgresql_engine, sqlite_path, translated

__all__ = ["Entry", "History"]

_RECENT: Final = 20
"""How many durations "usually" is the median of."""
_ENOUGH: Final = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation as the journal holds it.

    Args:
        id: The operation's id.
        backend: The backend's name.
        vm: The VM's name.
        action: `provision`, `start`, `stop`, `restart` or `deprovision`.
        url: What `vmops wait` takes.
        asked: Epoch seconds at which it was asked for.
        ended: Epoch seconds at which somebody saw it end; None while nobody has.
        status: `succeeded`, `failed`, or empty while nobody has seen it end.
        error: Why it failed.
    """

    id: str
    backend: str
    vm: str
    action: str
    url: str
    asked: float
    ended: float | None
    status: str
    error: str


class History:
    """The operations a journal holds, read-only: a journal that does not exist is not made.

    Args:
        place: A file's path (SQLite) or a SQLAlchemy URL.

    Raises:
        JournalError: From any method, when the journal cannot be read.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        """Connect to nothing yet."""
        self._is_journal = False
        self._usual: dict[tuple[str, str, str], float | None] = {}
        text = os.fspath(place)
        self._file = sqlite_path(text)
        if self._file is None:
            self.place = sa.make_url(text).render_as_string()
            self._engine = postgresql_engine(text)
        else:
            self.place = str(self._file)
            # as an SQLite URI: mode=ro creates nothing and takes no write lock
            uri = f"file:{quote(self.place)}?mode=ro&uri=true"
            self._engine = sa.create_engine(f"sqlite:///{uri}", connect_args={"timeout": 5})

    def operations(
        self, *, vm: str = "", backend: str = "", unended: bool = False, limit: int = 50
    ) -> list[Entry]:
        """The newest operations, newest first.

        Args:
            vm: Only those of this VM.
            backend: Only those of this backend.
            unended: Only those that nobody has seen end.
            limit: How many at most.
        """
        query = sa.select(*_COLUMNS).order_by(operations.c.number.desc()).limit(limit)
        if vm:
            query = query.where(operations.c.vm == vm)
        if backend:
            query = query.where(operations.c.backend == backend)
        if unended:
            query = query.where(operations.c.ended.is_(None))
        return [Entry(**row._mapping) for row in self._rows(query)]  # noqa: SLF001  (public; see its docs)

    def usual(self, operation: Operation) -> float | None:
        """The median seconds that this action took lately on VMs made from the same params.

        None while too few are known, or where this journal does not know operation or VM.
        """
        same = (
            sa.select(vms.c.digest)
            .join(operations, operations.c.uid == vms.c.uid)
            .where(operations.c.id == operation.id)
        )
        digests = [row[0] for row in self._rows(same) if row[0]]
        if not digests:
            return None
        key = (operation.backend, operation.action.value, digests[0])
        if key not in self._usual:
            self._usual[key] = self._median(*key)
        return self._usual[key]

    def _median(self, backend: str, action: str, digest: str) -> float | None:
        query = (
            sa.select(operations.c.ended - operations.c.asked)
            .join(vms, vms.c.uid == operations.c.uid)
            .where(
                operations.c.backend == backend,
                operations.c.action == action,
                operations.c.status == "succeeded",
                vms.c.digest == digest,
            )
            .order_by(operations.c.number.desc())
            .limit(_RECENT)
        )
        seconds = [row[0] for row in self._rows(query)]
        return statistics.median(seconds) if len(seconds) >= _ENOUGH else None

    def install_id(self) -> str:
        """The install id that this journal's VMs are tagged with; empty before the first one."""
        rows = self._rows(sa.select(meta.c.value).where(meta.c.key == "install"))
        return str(rows[0][0]) if rows else ""

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        """Use as a context manager: closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _rows(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        if self._file is not None and not self._file.exists():
            return []
        with translated(self.place), self._engine.connect() as connection:
            self._is_journal = self._is_journal or sa.inspect(connection).has_table(operations.name)
            if not self._is_journal:
                return []
            return connection.execute(query).all()


_COLUMNS: Final = [operations.c[name] for name in Entry.__slots__]
