"""From flat dicts to typed submissions and waits: chooses backend and connection, raises errors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vmops.backend import Backend, Pending, Progress
from vmops.binding import Binder, Bound
from vmops.clock import Clock
from vmops.connection import Connection
from vmops.errors import (
    AuthError,
    ConfigError,
    InvalidParams,
    InvalidURL,
    JournalError,
    NotFound,
    Problem,
    VMOpsError,
)
from vmops.journal import Journal, NoJournal
from vmops.looking import Answer, Found
from vmops.operation import Action, Operation
from vmops.outcomes import Outcome, Wait
from vmops.pace import Pace
from vmops.params import Call, Settings
from vmops.plugins import Event, Registry
from vmops.records import FINISHED, Place
from vmops.ssh import answers_ssh
from vmops.submission import Submitter
from vmops.tracker import Tracker
from vmops.urls import Named
from vmops.vm import VM, Ref, State
from vmops.watching import Watcher

__all__ = ["Dispatcher", "Line"]

DEFAULT_BACKEND = "local"

_log = logging.getLogger("vmops")


@dataclass(frozen=True, slots=True)
class Line:
    """One connection with what submits on it and what waits on it."""

    binder: Binder
    connection: Connection
    submitter: Submitter
    tracker: Tracker
    journal: Journal

    @property
    def idle(self) -> Bound:
        """Parameters with nothing given, for an act that nobody asked for just now."""
        call, settings = Call(), self.connection.backend.settings
        return Bound(call, settings, self.binder.idle_params(), {})

    def operation(self, action: Action, bound: Bound, *, id_: str) -> Operation:
        """A stand-in for an operation of which only the VM is known: judged by its state."""
        vm_id = bound.call.vm_id or self._known_id(bound.call.vm_name or "")
        return Operation(
            backend=self.connection.backend.name,
            vm=bound.call.vm_name or bound.call.vm_id or "",
            action=action,
            id=id_,
            at=self.connection.clock.now(),
            account=self.connection.account(),
            scope=self.connection.scope,
            handle={"vmId": vm_id} if vm_id else {},
            mode=bound.call.stop_mode if action is Action.STOP else "",
        )

    def _known_id(self, name: str) -> str:
        """The id of the VM that the journal holds under a name: no other of that name is meant."""
        uid = self.connection.place.uid(name)
        try:
            row = self.journal.rows([uid])[uid]
        except JournalError:
            return ""
        return "" if row.state in FINISHED else row.vm_id


class Dispatcher:
    """Finds the plugin, makes the connection, submits and waits.

    Args:
        config: Settings, and defaults for params.
        registry: Where backends come from.
        open_journal: Opens the journal, when it is first needed; None for no journal.
        lent: Whether somebody else closes the journal.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        registry: Registry,
        open_journal: Callable[[], Journal] | None,
        *,
        lent: bool = False,
    ) -> None:
        """Import nothing, open nothing."""
        self._config = dict(config)
        self._registry = registry
        self._open_journal = open_journal
        self._lent = lent
        self._journal: Journal | None = None if open_journal else NoJournal()
        self._binders: dict[str, Binder] = {}
        self._lines: dict[tuple[str, Settings, int], Line] = {}
        self._lock = threading.RLock()

    def journal(self) -> Journal:
        """The journal, opened on first use.

        Raises:
            JournalError: It cannot be opened; nothing can be created or deleted.
        """
        with self._lock:
            if self._journal is None:
                assert self._open_journal is not None  # noqa: S101  (else it was set at once)
                self._journal = self._open_journal()
            return self._journal

    def bind(
        self, params: Mapping[str, Any], *, creating: bool = False
    ) -> tuple[Backend[Any, Any] | type[Backend[Any, Any]], Bound]:
        """The backend class and the typed parameters; no connection is made."""
        name = self._backend_name(params, None)
        bound = self._binder(name).bind(params, creating=creating)
        if bound.call.vm_name is None and bound.call.vm_id is None:
            raise InvalidParams(
                Problem("vmName", "missing; give vmName, or vmId for a VM made elsewhere")
            )
        if creating and bound.call.vm_name is None:
            raise InvalidParams(Problem("vmName", "missing; a new VM needs a name"))
        return self._registry.load(name), bound

    def check_config(self) -> None:
        """Find mistakes in the config, as far as it names the backend it is for."""
        if name := self._config.get("backend"):
            self._binder(str(name)).check_config()

    def submit(
        self, action: Action, bounds: Sequence[tuple[Any, Bound]]
    ) -> Iterator[tuple[int, Answer, float]]:
        """What became of `action` on each, with its index and its cloud's polling interval."""
        groups: dict[tuple[type[Backend[Any, Any]], Settings], list[int]] = {}
        for index, (backend, bound) in enumerate(bounds):
            groups.setdefault((backend, bound.settings), []).append(index)
        for (backend, settings), members in groups.items():
            try:
                line = self.line(backend, settings, self.journal())
                interval = line.connection.backend.poll_interval
                answers = line.submitter.submit(action, [bounds[i][1] for i in members])
            except ConfigError:
                raise
            except VMOpsError as exc:
                answers, interval = [exc] * len(members), 0.0
            for index, answer in zip(members, answers, strict=True):
                yield index, answer, interval

    def resume(self, params: Mapping[str, Any], operation: Named) -> tuple[Line, Bound]:
        """The line on which what a URL names can be waited for.

        Raises:
            InvalidURL: Local settings do not allow the URL's account, scope or VM.
            InvalidParams: The params contradict the URL, or are wrong by themselves.
        """
        name = self._backend_name(params, operation)
        binder = self._binder(name)
        _check_operation(operation, binder)
        bound = binder.bind(params, scope=operation.scope)
        if bound.call.vm_name not in {None, operation.vm}:
            names = f"{operation.vm!r}, vmName is {bound.call.vm_name!r}"
            raise InvalidURL(f"asyncResultsUrl: it is about VM {names}; leave out vmName")
        line = self.line(self._registry.load(name), bound.settings, self._journal_for_waiting())
        if operation.account != line.connection.account():
            msg = (
                f"asyncResultsUrl: it is of account {operation.account!r}, this connection is"
                f" {line.connection.account()!r}; use that account's credentials"
            )
            raise InvalidURL(msg)
        return line, bound

    def line(self, backend: type[Backend[Any, Any]], settings: Settings, journal: Journal) -> Line:
        """The connection for these settings, made once."""
        key = (backend.name, settings, id(journal))
        with self._lock:
            if key not in self._lines:
                self._lines[key] = self._new_line(backend(settings), journal)
            return self._lines[key]

    def wait_line(self, params: Mapping[str, Any]) -> tuple[Line, Bound]:
        """The line on which a VM's state can be waited for, where there is no URL."""
        backend, bound = self.bind(params)
        return self.line(backend, bound.settings, self._journal_for_waiting()), bound  # type: ignore[arg-type]

    def wait(self, line: Line, bound: Bound, operation: Operation) -> Wait:
        """A wait for an operation, with the caller's patience."""
        backend, call = line.connection.backend, bound.call
        timeout = backend.poll_timeout if call.poll_timeout is None else call.poll_timeout
        setup = operation.action in {Action.PROVISION, Action.START, Action.RESTART}
        return Wait(
            operation,
            deadline=line.connection.clock.now() + timeout,
            # a PENDING result carries the backend's own, which asks for nothing
            interval=None if call.poll_interval == backend.poll_interval else call.poll_interval,
            accept=answers_ssh if setup and call.ready == "ssh" else None,
        )

    def describe(self, params: Mapping[str, Any]) -> VM | None:
        """A VM as it is now, or None where the cloud shows none."""
        line, bound = self.wait_line(params)
        seen = line.connection.look_patiently(
            [Ref(bound.call.vm_name or "", bound.call.vm_id or "")]
        )[0]
        if isinstance(seen, Exception):
            raise seen
        return seen

    def find(self, params: Mapping[str, Any], named: Named | None) -> Found:
        """A VM as it is now and where it is: the one that a URL names, else the params'.

        Raises:
            NotFound: The URL's VM is gone, and another one has its name.
        """
        line, bound = self.wait_line(params) if named is None else self.resume(params, named)
        name, id_ = bound.call.vm_name or "", bound.call.vm_id or ""
        if named is not None:
            name, id_ = named.vm if named.vm != named.vm_id else "", named.vm_id
        seen = line.connection.find([Ref(name, id_)])[0]
        if isinstance(seen, Exception):
            raise seen
        vm = seen or VM(name or id_, State.ABSENT)
        if named is not None and vm.state is not State.ABSENT and vm.id != (id_ or vm.id):
            raise NotFound(
                f"VM {name!r} is another VM now: its id is {vm.id!r}, the URL's is {id_!r}",
                hint="begin anew; the VM that the URL is about was deleted",
            )
        connection, login = line.connection, getattr(bound.params, "admin_username", None)
        return Found(
            name or vm.id,
            vm,
            connection.backend.name,
            connection.account(),
            connection.scope,
            connection.clock,
            str(login or ""),
        )

    def here(self, params: Mapping[str, Any], journal: Journal) -> Line:
        """The line on which these params work; they need not name a VM."""
        name = self._backend_name(params, None)
        bound = self._binder(name).bind(params)
        return self.line(self._registry.load(name), bound.settings, journal)

    def at(self, place: Place, journal: Journal) -> Line:
        """The line to a place that the journal knows.

        Raises:
            ConfigError: Local settings lead elsewhere, or the backend is not installed.
            CloudError: These are not that account's credentials, or they could not be proved.
        """
        binder = self._binder(place.backend)
        bound = binder.bind({}, scope=place.scope)
        line = self.line(self._registry.load(place.backend), bound.settings, journal)
        if line.connection.account() != place.account:
            raise AuthError(
                f"{place.backend}: the journal's VMs are in account {place.account!r}, this"
                f" connection is {line.connection.account()!r}",
                hint="use that account's credentials",
            )
        return line

    def names_backend(self, params: Mapping[str, Any]) -> str:
        """The backend that config or params name; empty if neither does."""
        return str(self._config.get("backend") or params.get("backend") or "")

    def list_vms(self, params: Mapping[str, Any]) -> list[VM]:
        """Every VM that carries vmops tags."""
        return self.here(params, self._journal_for_waiting()).connection.list_vms()

    def close(self) -> None:
        """Close every connection and the journal."""
        with self._lock:
            for line in self._lines.values():
                line.connection.close()
            self._lines.clear()
            if self._journal is not None and not self._lent:
                self._journal.close()

    def _journal_for_waiting(self) -> Journal:
        try:
            return self.journal()
        except JournalError as exc:
            _log.warning("waiting without a journal: %s", exc)
            return _NO_JOURNAL

    def _backend_name(self, params: Mapping[str, Any], operation: Named | None) -> str:
        named = {
            "config": self._config.get("backend"),
            "params": params.get("backend"),
            "the asyncResultsUrl": operation.backend if operation else None,
        }
        given = {where: name for where, name in named.items() if name is not None}
        if len(set(given.values())) > 1:
            said = " and ".join(f"{where} says {name!r}" for where, name in given.items())
            raise InvalidParams(Problem("backend", f"{said}; use one or the other"))
        return str(next(iter(given.values()), DEFAULT_BACKEND))

    def _binder(self, name: str) -> Binder:
        if name not in self._binders:
            cls = self._registry.load(name)
            self._binders[name] = Binder(
                name, cls.settings_type, cls.params_type, cls.vm_name, self._config
            )
        return self._binders[name]

    def _new_line(self, backend: Backend[Any, Any], journal: Journal) -> Line:
        connection = Connection(backend, journal.owner)
        binder = self._binder(backend.name)
        idle = binder.idle_params()
        pace = Pace(backend.poll_interval)
        teller = _Teller(self._registry, connection.clock, pace, journal)
        submitter = Submitter(connection, journal, partial(teller.tell, "submitted"))
        tracker = Tracker(
            look=Watcher(connection).progress,
            advance=lambda operation: submitter.advance(operation, idle),
            clock=connection.clock,
            pace=pace,
            ended=teller.ended,
            watched=teller.watched,
            idle=connection.idle if type(backend).idle is not Backend.idle else None,
        )
        return Line(binder, connection, submitter, tracker, journal)


def _check_operation(operation: Named, binder: Binder) -> None:
    """Refuse what no vmops with this backend would have written into a URL."""
    problems: list[Problem] = []
    if operation.vm != operation.vm_id:
        binder.check_name(operation.vm, problems)
    problems += [
        Problem(key, f"{key} is no setting that a URL of {binder.name!r} carries")
        for key in sorted(set(operation.scope) - binder.shareable)
    ]
    if problems:
        raise InvalidURL(f"asyncResultsUrl: {problems[0].message}")


class _Teller:
    """Tells observers and journal what happens on one line."""

    def __init__(self, registry: Registry, clock: Clock, pace: Pace, journal: Journal) -> None:
        self._registry = registry
        self._clock = clock
        self._pace = pace
        self._journal = journal

    def tell(self, kind: str, operation: Operation, *, phase: str = "", error: str = "") -> None:
        if not self._registry.observed:
            return
        now = self._clock.now()
        event = Event(
            kind=kind,
            time=now,
            backend=operation.backend,
            vm=operation.vm,
            action=operation.action.value,
            operation=operation.id,
            phase=phase,
            elapsed=max(now - operation.at, 0.0),
            expected=self._pace.expected(operation.action),
            error=error,
        )
        self._registry.emit(event)

    def watched(self, wait: Wait, step: Progress) -> None:
        if isinstance(step, Pending):
            phase = "second phase" if wait.operation.phase > 1 else "pending"
            self.tell("progress", wait.operation, phase=phase)

    def ended(self, outcomes: Sequence[Outcome]) -> None:
        try:
            self._journal.ended(outcomes)
        except JournalError as exc:
            _log.warning("an operation's end was not written down: %s", exc)
        for outcome in outcomes:
            error = type(outcome.error).__name__ if outcome.error else ""
            self.tell("ended", outcome.operation, phase=outcome.end.value, error=error)


_NO_JOURNAL = NoJournal()
