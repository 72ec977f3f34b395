"""`VMOps`: the Protocol over every installed backend. The rim where dicts and Status are made."""

from __future__ import annotations

import enum
import logging
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Self

from vmops.binding import Bound
from vmops.connection import vm_info
from vmops.dispatch import Dispatcher, Line
from vmops.errors import CloudError, InvalidParams, JournalError, Problem, VMOpsError
from vmops.housekeeping import Housekeeping
from vmops.journal import Journal
from vmops.looking import Answer, Found
from vmops.operation import Action, Operation
from vmops.outcomes import End, Outcome, Wait
from vmops.plugins import Registry
from vmops.protocol import Status
from vmops.reaping import Reaping
from vmops.recovery import Recovery
from vmops.result import Result, timed
from vmops.tracker import Tracker
from vmops.urls import Named
from vmops.vm import VM, State
from vmops.waits import merged

__all__ = ["DEFAULT_JOURNAL", "VMOps"]

_log = logging.getLogger("vmops")

DEFAULT_JOURNAL: Final = "default"
_SETUP: Final = frozenset({Action.PROVISION, Action.START, Action.RESTART})
_ENDS: Final = {
    End.SUCCEEDED: Status.SUCCEEDED,
    End.FAILED: Status.FAILED,
    End.TIMED_OUT: Status.TIMED_OUT,
}
_VERBS: Final = {
    "vm_provision": Action.PROVISION,
    "vm_start": Action.START,
    "vm_stop": Action.STOP,
    "vm_restart": Action.RESTART,
    "vm_deprovision": Action.DEPROVISION,
}


class VMOps:
    """Virtual machines on any installed backend, through the seven methods of `SupportsVMOps`.

    Args:
        config: `backend`, that backend's settings, and defaults for params. LocalOnly settings
            (endpoints, credentials, paths) can be given here or in the environment only.
        status: Another enum with the same names (MLOS's own) to answer with.
        journal: A file's path, the URL of a PostgreSQL database, or an opened Journal, to be
            closed by the caller; None for no journal, which gives up crash safety. By default
            `VMOPS_JOURNAL` (`none` is None), else a file in the user's state
            folder.
        registry: Where backends come from; the installed plugins by default.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None = None,
        *,
        status: type[enum.Enum] = Status,
        journal: str | os.PathLike[str] | Journal | None = DEFAULT_JOURNAL,
        registry: Registry | None = None,
    ) -> None:
        """Import no SDK, open no file, call no cloud."""
        if registry is None:
            registry = Registry()
            registry.load_observers()
        self.registry = registry
        self._status = {ours: status[ours.name] for ours in Status}
        if journal == DEFAULT_JOURNAL and os.environ.get("VMOPS_JOURNAL") == "none":
            journal = None
        if journal is None or isinstance(journal, (str, os.PathLike)):
            opener = None if journal is None else partial(_open_journal, journal)
            self._dispatcher = Dispatcher(config or {}, registry, opener)
        else:
            self._dispatcher = Dispatcher(config or {}, registry, lambda: journal, lent=True)
        self._housekeeping = Housekeeping(self._dispatcher)

    def vm_provision(self, params: Mapping[str, Any]) -> tuple[Any, Result]:
        """Ask for a VM to exist and run; PENDING, or SUCCEEDED if it runs already.

        Raises:
            InvalidParams: Before anything is asked of a cloud, as in every method.
        """
        return self._submit(Action.PROVISION, params)

    def vm_start(self, params: Mapping[str, Any]) -> tuple[Any, Result]:
        """Ask a stopped VM to run; SUCCEEDED if it runs already."""
        return self._submit(Action.START, params)

    def vm_stop(self, params: Mapping[str, Any]) -> tuple[Any, Result]:
        """Ask a VM to shut down; its compute is released unless `stopMode="keep"`."""
        return self._submit(Action.STOP, params)

    def vm_deallocate(self, params: Mapping[str, Any]) -> tuple[Any, Result]:
        """Ask a VM to shut down and release its compute."""
        kept = _without(params, "stopMode", "stop_mode")
        return self._submit(Action.STOP, {**kept, "stopMode": "release"})

    def vm_restart(self, params: Mapping[str, Any]) -> tuple[Any, Result]:
        """Ask a running VM to shut down and boot again."""
        return self._submit(Action.RESTART, params)

    def vm_deprovision(self, params: Mapping[str, Any]) -> tuple[Any, Result]:
        """Ask for a VM, and all that was created for it, to be deleted; SUCCEEDED if it is gone.

        With `deprovisionMode="deallocate"` it is stopped and its compute released instead.
        """
        return self._submit(Action.DEPROVISION, params)

    def wait_vm_operation(self, params: Mapping[str, Any]) -> tuple[Any, Result]:
        """Wait for the operation named by `asyncResultsUrl`, at most `pollTimeout` seconds.

        Without `asyncResultsUrl` the answer is PENDING. SUCCEEDED brings `startTime`, `endTime`,
        `durationSeconds`, `vmName`, `vmId` and what the backend adds; TIMED_OUT ends nothing.

        Raises:
            InvalidURL: The URL is malformed, or not allowed by local settings.
        """
        if not _url(params):
            return self._status[Status.PENDING], Result(params)
        return self._wait_one(params, None)

    def wait_vm_deployment(
        self,
        is_setup: bool,  # noqa: FBT001  (the Protocol's own signature)
        params: Mapping[str, Any],
    ) -> tuple[Any, Result]:
        """Wait until the VM runs (`is_setup`) or is gone, by URL or by its state alone."""
        return self._wait_one(params, is_setup)

    def run_many(
        self, verb: str, params_list: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, Any, Result]]:
        """The answers to one verb on many VMs: `(index, status, result)` as each is there.

        Args:
            verb: A method's name, such as `vm_provision` or `provision`.
            params_list: One params dict per VM. All are checked before the first call.
        """
        bound = self._bind_many(_action(verb), params_list)
        return self._run(bound)

    def wait_many(
        self, params_list: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, Any, Result]]:
        """The ends of many operations: `(index, status, result)` as each ends.

        Args:
            params_list: Results of verbs, or any dicts with `asyncResultsUrl`.
        """
        waits: dict[int, tuple[Line, Wait]] = {}
        unproved: dict[int, Exception | None] = {}
        for index, params in enumerate(params_list):
            if not _url(params):
                unproved[index] = None
                continue
            try:
                waits[index] = self._prepared(params, None)
            except (CloudError, JournalError) as exc:
                unproved[index] = exc
        return self._ends(params_list, waits, unproved)

    def describe(self, params: Mapping[str, Any]) -> VM:
        """The VM as it is now; ABSENT where the cloud shows none."""
        name = str(params.get("vmName") or params.get("vmId") or "")
        return self._dispatcher.describe(params) or VM(name, State.ABSENT)

    def check_config(self) -> None:
        """Find mistakes in the config now instead of at the first call; no cloud is asked.

        What is missing may still come with params; without a backend, nothing can be told.

        Raises:
            InvalidParams: With every problem that was found.
        """
        self._dispatcher.check_config()

    def changes(self, params: Mapping[str, Any]) -> list[str] | None:
        """The params that differ from those with which a VM of this name was made.

        What shapes a VM counts, and nothing else: params of acts (`force`) and `ttl` are not
        compared, and an image's alias is the same whatever it leads to today.

        Returns:
            Names; none if it was made so. None where the journal does not know: there is none, or
            it did not make the VM.

        Raises:
            InvalidParams: As `vm_provision` would.
            CloudError: The account cannot be proved.
            JournalError: The journal cannot be read.
        """
        call = self._bind(Action.PROVISION, params)
        line = self._dispatcher.line(call.backend, call.bound.settings, self._dispatcher.journal())
        return line.submitter.changes(call.bound)

    def find(self, params: Mapping[str, Any], named: Named | None = None) -> Found:
        """A VM as it is now, and where that is: what a URL about it is made of.

        Args:
            params: As for `describe`.
            named: What such a URL names; the VM is that one, or none.

        Raises:
            InvalidURL: Local settings do not allow the URL's account, scope or VM.
            NotFound: The VM that the URL names is gone, and another one has its name.
        """
        return self._dispatcher.find(_without(params, *_URL_KEYS), named)

    def list_vms(self, params: Mapping[str, Any] | None = None) -> list[VM]:
        """Every VM of the backend that carries vmops tags, whichever install made it."""
        return self._dispatcher.list_vms(params or {})

    def recover(self, params: Mapping[str, Any] | None = None) -> list[Recovery]:
        """What became of everything that dead processes left unfinished, as far as one look tells.

        Creates of unknown outcome are looked for and adopted, or abandoned once they cannot show
        up any more; deletions are asked for again. Nothing is created, and what a living process
        is at work on is left to it. Call it again until nothing has an `until`.

        Args:
            params: Settings; without a backend here or in the config, all that the journal knows.

        Raises:
            JournalError: The journal cannot be read.
        """
        return list(self._housekeeping.recover(params or {}))

    def reap(
        self,
        params: Mapping[str, Any] | None = None,
        *,
        yes: bool = False,
        install_id: str | None = None,
        unrecorded: bool = False,
    ) -> list[Reaping]:
        """VMs of this install that nobody needs any more: past their `ttl`, or finished with.

        Args:
            params: As for `recover`.
            yes: Delete them; otherwise they are only listed.
            install_id: Of a lost journal, whose VMs are meant instead: those past their `ttl`.
            unrecorded: With `install_id`, all of that install's VMs. Of this install, a VM that no
                row knows is never reaped: rows were lost, and it may be in use.

        Raises:
            JournalError: The journal cannot be read; nothing was deleted.
        """
        find = self._housekeeping.reap(
            params or {}, install_id=install_id, unrecorded=unrecorded, yes=yes
        )
        return list(find)

    def renew(self, params: Mapping[str, Any]) -> tuple[Any, Result]:
        """Let a VM of ours live `ttl` more seconds from now, on its tag and in the journal.

        Args:
            params: `vmName` and `ttl` (seconds).

        Raises:
            InvalidParams: There is no `ttl`.
        """
        try:
            expires = self._housekeeping.renew(params)
        except (CloudError, JournalError) as exc:
            return self._failed("renew", exc)
        return self._status[Status.SUCCEEDED], Result(vmName=params.get("vmName"), expires=expires)

    def close(self) -> None:
        """Close connections and journal."""
        self._dispatcher.close()

    def __enter__(self) -> Self:
        """Use as a context manager: closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _submit(self, action: Action, params: Mapping[str, Any]) -> tuple[Any, Result]:
        _, status, result = next(self._run([self._bind(action, params)]))
        if result.error is not None and not isinstance(result.error, VMOpsError):
            raise result.error  # nobody mapped it: a bug, which must be seen
        return status, result

    def _run(self, calls: Sequence[_Call]) -> Iterator[tuple[int, Any, Result]]:
        for action in dict.fromkeys(call.action for call in calls):
            indices = [i for i, call in enumerate(calls) if call.action is action]
            group = [(calls[i].backend, calls[i].bound) for i in indices]
            for place, answer, interval in self._dispatcher.submit(action, group):
                index = indices[place]
                yield index, *self._answer(calls[index], answer, interval)

    def _bind(self, action: Action, params: Mapping[str, Any]) -> _Call:
        creating = action is Action.PROVISION
        backend, bound = self._dispatcher.bind(_without(params, *_URL_KEYS), creating=creating)
        if action is Action.DEPROVISION and bound.call.deprovision_mode == "deallocate":
            released = bound.call.model_copy(update={"stop_mode": "release"})
            return _Call(Action.STOP, backend, replace(bound, call=released))
        return _Call(action, backend, bound)

    def _bind_many(self, action: Action, params_list: Sequence[Mapping[str, Any]]) -> list[_Call]:
        calls: list[_Call] = []
        problems: list[Problem] = []
        for index, params in enumerate(params_list):
            try:
                calls.append(self._bind(action, params))
            except InvalidParams as exc:
                problems += [Problem(f"[{index}].{p.param}", p.message) for p in exc.problems]
        if problems:
            raise InvalidParams(*problems)
        return calls

    def _answer(self, call: _Call, answer: Answer, interval: float) -> tuple[Any, Result]:
        if isinstance(answer, Operation):
            pending = {"pollInterval": interval, "asyncResultsUrl": answer.to_url()}
            return self._status[Status.PENDING], Result({**call.bound.echo, **pending})
        if isinstance(answer, VM):
            now = datetime.now(UTC).timestamp()
            return self._status[Status.SUCCEEDED], Result(timed(now, now, vm_info(answer)))
        return self._failed(call.action.value, answer)

    def _failed(self, what: str, error: Exception) -> tuple[Any, Result]:
        _log.warning("%s failed: %s: %s", what, type(error).__name__, error)
        return self._status[Status.FAILED], Result.failure(error)

    def _wait_one(self, params: Mapping[str, Any], setup: bool | None) -> tuple[Any, Result]:  # noqa: FBT001
        try:
            line, wait = self._prepared(params, setup)
            return self._end(line.tracker.wait(wait))
        except (CloudError, JournalError) as exc:  # the account could not be proved
            return self._status[Status.TIMED_OUT], Result.failure(exc)

    def _prepared(self, params: Mapping[str, Any], setup: bool | None) -> tuple[Line, Wait]:  # noqa: FBT001
        url = _url(params)
        if url is None:
            line, bound = self._dispatcher.wait_line(params)
            operation = line.operation(_wanted(setup, bound), bound, id_=secrets.token_hex(8))
            return line, self._dispatcher.wait(line, bound, operation)
        operation = Operation.from_url(url)
        if setup is not None and setup is not (operation.action in _SETUP):
            wanted = "set up" if setup else "torn down"
            message = f"it is a {operation.action} operation, which leaves no VM {wanted}"
            raise InvalidParams(
                Problem("asyncResultsUrl", f"{message}; leave out the URL, or wait for it")
            )
        line, bound = self._dispatcher.resume(_without(params, *_URL_KEYS), operation)
        return line, self._dispatcher.wait(line, bound, operation)

    def _ends(
        self,
        params_list: Sequence[Mapping[str, Any]],
        waits: Mapping[int, tuple[Line, Wait]],
        unproved: Mapping[int, Exception | None],
    ) -> Iterator[tuple[int, Any, Result]]:
        for index, error in unproved.items():
            if error is None:
                yield index, self._status[Status.PENDING], Result(params_list[index])
            else:
                yield index, self._status[Status.TIMED_OUT], Result.failure(error)
        groups: dict[int, tuple[Tracker, dict[int, Wait]]] = {}
        for index, (line, wait) in waits.items():
            groups.setdefault(id(line), (line.tracker, {}))[1][index] = wait
        for index, outcome in merged(list(groups.values())):
            yield index, *self._end(outcome)

    def _end(self, outcome: Outcome) -> tuple[Any, Result]:
        status = self._status[_ENDS[outcome.end]]
        if outcome.end is End.SUCCEEDED:
            return status, Result(timed(outcome.operation.at, outcome.ended, outcome.info))
        if outcome.end is End.FAILED:
            operation, error = outcome.operation, outcome.error
            kind = type(error).__name__
            _log.warning(
                "%s of %s failed: %s: %s", operation.action.value, operation.vm, kind, error
            )
        elif outcome.error is not None and not isinstance(outcome.error, VMOpsError):
            raise outcome.error
        return status, Result.failure(outcome.error)


@dataclass(frozen=True, slots=True)
class _Call:
    """One bound call of one verb."""

    action: Action
    backend: Any
    bound: Bound


def _open_journal(place: str | os.PathLike[str]) -> Journal:
    from vmops.durable_journal import DurableJournal
    from vmops.store import SqlStore, default_journal

    return DurableJournal(SqlStore(default_journal() if place == DEFAULT_JOURNAL else place))


_URL_KEYS = ("asyncResultsUrl", "async_results_url")


def _url(params: Mapping[str, Any]) -> object | None:
    return next((params[key] for key in _URL_KEYS if params.get(key) is not None), None)


def _without(params: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in params.items() if key not in keys}


def _wanted(setup: bool | None, bound: Bound) -> Action:  # noqa: FBT001
    if setup:
        return Action.PROVISION
    deallocate = bound.call.deprovision_mode == "deallocate"
    return Action.STOP if deallocate else Action.DEPROVISION


def _action(verb: str) -> Action:
    name = verb if verb.startswith("vm_") else f"vm_{verb}"
    if name not in _VERBS:
        known = ", ".join(_VERBS)
        raise InvalidParams(Problem("verb", f"{verb!r} is none of {known}"))
    return _VERBS[name]
