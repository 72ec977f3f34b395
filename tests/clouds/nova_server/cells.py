"""Nova's databases of cells without the global that Nova's tests point at one of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["each_context_its_own"]


def each_context_its_own() -> None:
    """Let every request use the database that its context names, else that of the one cell.

    `CellDatabases` keeps the last cell in a global, behind a lock for readers and writers: threads
    that hold a database's lock meanwhile wait for it, and for each other, for ever. In a process
    where every context carries its database along, nobody needs that global.
    """
    from nova.tests.fixtures.nova import CellDatabases

    @contextmanager
    def targeted(self: Any, context: Any, cell: Any) -> Iterator[Any]:
        with self._real_target_cell(context, cell) as found:
            yield found

    def manager(self: Any, context: Any) -> Any:
        return getattr(context, "db_connection", None) or self._default_ctxt_mgr

    CellDatabases._wrap_target_cell = targeted
    CellDatabases._wrap_get_context_manager = manager
