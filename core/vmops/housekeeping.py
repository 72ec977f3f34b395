"""Recovery, reaping and renewal over all places that a journal knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from vmops.dispatch import Dispatcher, Line
from vmops.errors import Conflict, InvalidParams, NotFound, Problem, VMOpsError
from vmops.reaping import Reaper, Reaping
from vmops.records import Place, Stale
from vmops.recovery import Found, Recoverer, Recovery
from vmops.vm import VM, State

__all__ = ["Housekeeping"]


class Housekeeping:
    """What is done for all VMs of a journal, whichever process made them.

    Args:
        dispatcher: Leads to their clouds.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        """Ask nothing of any cloud yet."""
        self._dispatcher = dispatcher

    def recover(self, params: Mapping[str, Any]) -> Iterator[Recovery]:
        """What became of what was left unfinished; a place that cannot be reached is trouble."""
        for place, line in self._lines(params, finished=False):
            if isinstance(line, VMOpsError):
                yield Recovery("", place.backend, "", Found.TROUBLE, error=line)
                continue
            recoverer = Recoverer(
                line.connection, line.journal, line.submitter, line.tracker, line.idle
            )
            try:
                yield from recoverer.recover()
            except VMOpsError as exc:
                yield Recovery("", place.backend, "", Found.TROUBLE, error=exc)

    def reap(
        self, params: Mapping[str, Any], *, install_id: str | None, unrecorded: bool, yes: bool
    ) -> Iterator[Reaping]:
        """What nobody needs any more.

        Raises:
            VMOpsError: A place could not be reached; those after it were not looked at.
        """
        for _, line in self._lines(params, finished=True):
            if isinstance(line, VMOpsError):
                raise line
            reaper = Reaper(line.connection, line.journal, line.submitter, line.idle)
            owner = install_id or line.journal.owner
            yield from reaper.reap(install_id=owner, unrecorded=unrecorded, yes=yes)

    def renew(self, params: Mapping[str, Any]) -> int:
        """The epoch seconds at which a VM of ours may be reaped from now on: tag, then journal."""
        backend, bound = self._dispatcher.bind(params)
        if bound.call.ttl is None:
            raise InvalidParams(Problem("ttl", "missing; give seconds from now"))
        journal = self._dispatcher.journal()
        line = self._dispatcher.line(backend, bound.settings, journal)  # type: ignore[arg-type]
        vm = self._dispatcher.describe(params)
        name = bound.call.vm_name or bound.call.vm_id
        if vm is None or vm.state is State.ABSENT:
            raise NotFound(f"VM {name!r} is not there; nothing to renew")
        if vm.tags is None or vm.tags.owner != journal.owner:
            raise Conflict(f"VM {name!r} was not made by this install; it is left as it is")
        return self._renew(line, vm, bound.call.ttl)

    def _renew(self, line: Line, vm: VM, ttl: float) -> int:
        assert vm.tags is not None  # noqa: S101  (the caller saw to it)
        connection, journal = line.connection, line.journal
        uid = connection.place.uid(vm.name)
        row = journal.rows([uid])[uid]
        going = Conflict(f"VM {vm.name!r} is being deleted; it cannot be renewed any more")
        if row.state == "DELETING":
            raise going
        if not row.present or row.token != vm.tags.token:
            raise Conflict(
                f"VM {vm.name!r} is not held by the journal; it is left as it is",
                hint="vm_provision takes it up again",
            )
        expires = int(connection.cloud_time() + ttl)
        connection.retag(vm, replace(vm.tags, expires=expires))
        try:
            journal.renewed(row, expires)
        except Stale:
            raise going from None
        return expires

    def _lines(
        self, params: Mapping[str, Any], *, finished: bool
    ) -> Iterator[tuple[Place, Line | VMOpsError]]:
        """The lines to all places that are meant; those that config or params exclude are not."""
        dispatcher, journal = self._dispatcher, self._dispatcher.journal()
        if dispatcher.names_backend(params):
            here = dispatcher.here(params, journal)
            yield here.connection.place, here
            return
        for place in journal.places(finished=finished):
            try:
                yield place, dispatcher.at(place, journal)
            except VMOpsError as exc:
                yield place, exc
