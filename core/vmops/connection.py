"""One connection to one cloud: every call to a Backend goes through here.

Errors are translated by the backend's own table, looks wait for their rate limit and coalesce.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from vmops.backend import Backend, Limit, Progress
from vmops.batching import Batcher, Limiter
from vmops.errors import (
    CloudError,
    Throttled,
    TransientError,
    Unavailable,
    VMOpsError,
)
from vmops.operation import Operation
from vmops.params import LocalOnly, Params, Tuning, as_text
from vmops.records import Place
from vmops.sending import Patience, Sender
from vmops.vm import VM, Ref, State, Tags

__all__ = ["Connection", "vm_info"]

_log = logging.getLogger("vmops")

T = TypeVar("T")

_RECENT: Final = 1.0
"""Seconds for which what a wait saw is as good as another look: no more than an answer may lag."""


class Connection:
    """A backend with its limits, batches and proved account.

    Args:
        backend: The plugin's backend, made for one value of its settings.
        owner: Our install id: of two VMs with one name, ours is meant.
    """

    def __init__(self, backend: Backend[Any, Any], owner: str) -> None:
        """Ask nothing of the cloud yet."""
        self.backend = backend
        self.clock = backend.clock
        self.scope = _scope(backend)
        self._place: Place | None = None
        self._owner = owner
        self._limiters: dict[str, Limiter] = {}
        backend.budget = lambda kind: self.limiter(kind).wait_for_request()
        self._looks: Batcher[Ref, VM | None] = Batcher(self._describe, self.limiter("describe"))
        self.sender = Sender(backend, self.limiter, self._call)
        self._account: str | None = None
        self._lock = threading.Lock()
        self._recent: dict[str, tuple[float, VM]] = {}

    def account(self) -> str:
        """The identity this connection proved, asked for once."""
        if self._account is None:
            with self._lock:
                if self._account is None:
                    self._account = self._patiently(lambda: self._call(self.backend.account))
        return self._account

    @property
    def place(self) -> Place:
        """Where this is, as the journal knows it."""
        if self._place is None:
            tuning = _tuning(self.backend)
            scope = {key: value for key, value in self.scope.items() if key not in tuning}
            self._place = Place(self.backend.name, self.account(), scope)
        return self._place

    def is_here(self, operation: Operation) -> bool:
        """Whether an operation was asked for in this place."""
        tuning = _tuning(self.backend)
        scope = {key: value for key, value in operation.scope.items() if key not in tuning}
        return Place(operation.backend, operation.account, scope) == self.place

    def limiter(self, kind: str) -> Limiter:
        """The budget of one class of calls."""
        if kind not in self._limiters:
            known = {**self.backend.limits, **self.backend.own_limits}
            limit = known.get(kind, Limit())
            self._limiters.setdefault(kind, Limiter(limit, self.clock))
        return self._limiters[kind]

    def look(self, refs: Sequence[Ref]) -> list[VM | Exception | None]:
        """These VMs as they are now, None where the cloud shows none; coalesced with others."""
        return self._looks.submit(refs)

    def look_patiently(self, refs: Sequence[Ref]) -> list[VM | Exception | None]:
        """The same, repeated while the cloud gives no answer: a verb must know before it acts."""

        def look() -> list[VM | Exception | None]:
            seen = self.look(refs)
            for vm in seen:
                if isinstance(vm, TransientError):
                    raise vm
            return seen

        return self._patiently(look)

    def find(self, refs: Sequence[Ref]) -> list[VM | Exception | None]:
        """These VMs, looked at patiently: by id where it is known, then by name."""
        seen = self.look_patiently(refs)
        lost = [i for i, ref in enumerate(refs) if ref.id and ref.name and _is_gone(seen[i])]
        if lost:
            named = self.look_patiently([replace(refs[i], id="") for i in lost])
            for i, vm in zip(lost, named, strict=True):
                seen[i] = vm or seen[i]
        return seen

    def _patiently(self, call: Callable[[], T]) -> T:
        """What a call that changes nothing returns, repeated while there is no answer."""
        patience = Patience(self.clock)
        while True:
            try:
                return call()
            except TransientError as exc:
                patience.pause(exc)

    def remember(self, vm: VM, asked: float) -> None:
        """Keep what a wait saw at its end, for the verb that follows at once."""
        self._recent[vm.name] = asked, vm

    def forget_old(self) -> None:
        """Let go of what was remembered too long ago."""
        now = self.clock.now()
        for name, (at, _) in list(self._recent.items()):
            if now - at > _RECENT:
                self._recent.pop(name, None)

    def recent(self, name: str) -> tuple[float, VM] | None:
        """When a VM was last asked about, and what was seen, if just now; told only once."""
        at, vm = self._recent.pop(name, (0.0, None))
        return (at, vm) if vm is not None and self.clock.now() - at <= _RECENT else None

    def proves_absence(self, sent: float, asked: float) -> bool:
        """Whether a VM that is not shown cannot exist: its last create or deletion is long ago.

        Args:
            sent: When that was sent, epoch seconds.
            asked: When the cloud was asked: an answer may have lain about in a frozen process.
        """
        return asked - sent >= self.backend.horizon

    def look_for_changes(self, refs: Sequence[Ref], states: frozenset[State]) -> Iterable[VM]:
        """Those of these VMs that are in none of `states`, where the backend can tell."""
        return self._limited("describe", lambda: list(self.backend.describe_changed(refs, states)))

    def poll(self, operations: Sequence[Operation], timeout: float) -> Mapping[str, Progress]:
        """What the cloud's own records say of operations, by id."""
        return self._limited("poll", lambda: dict(self.backend.poll(operations, timeout)))

    def _limited(self, kind: str, call: Callable[[], T]) -> T:
        """One call of a class that has a budget of its own."""
        limiter = self.limiter(kind)
        limiter.wait_for_request()
        try:
            return self._call(call)
        except Throttled as exc:
            limiter.throttled(exc.retry_after)
            raise

    def resolve(self, params: Params) -> Params:
        """The params of a create with all choices made; repeated while there is no answer."""
        if type(self.backend).resolve is Backend.resolve:
            return params
        resolved: Params = self._patiently(lambda: self._call(lambda: self.backend.resolve(params)))
        return resolved

    def idle(self, seconds: float) -> None:
        """Let the backend use the time until the next look; nothing depends on it."""
        try:
            self._call(lambda: self.backend.idle(seconds))
        except Exception as exc:  # noqa: BLE001  (a wait must not end by what can be done later)
            _log.info("%s: left for later: %r", self.backend.name, exc)

    def retag(self, vm: VM, tags: Tags) -> None:
        """Write ownership tags on a VM; repeated while there is no answer."""
        self._patiently(lambda: self._call(lambda: self.backend.retag(vm, tags)))

    def cloud_time(self) -> float:
        """The cloud's own clock, epoch seconds."""
        return self._patiently(lambda: self._call(self.backend.cloud_time))

    def list_vms(self) -> list[VM]:
        """Every VM that carries vmops tags, whoever's it is."""
        return self._patiently(lambda: self._call(lambda: list(self.backend.describe(None))))

    def close(self) -> None:
        """Let go of the backend's sockets and files."""
        self.backend.close()

    def _describe(self, refs: Sequence[Ref]) -> list[VM | None]:
        wanted = list(dict.fromkeys(refs))
        try:
            seen = self._call(lambda: list(self.backend.describe(wanted)))
        except Throttled as exc:
            self.limiter("describe").throttled(exc.retry_after)
            raise
        by_id = {vm.id: vm for vm in seen}
        by_name: dict[str, list[VM]] = {}
        for vm in seen:
            by_name.setdefault(vm.name, []).append(vm)
        return [
            by_id.get(ref.id) if ref.id else self._meant(by_name.get(ref.name, []), ref.token)
            for ref in refs
        ]

    def _meant(self, vms: Sequence[VM], token: str) -> VM | None:
        """Of several VMs with one name, the one that is meant: alive, of this token, ours, new."""

        def rank(vm: VM) -> tuple[bool, bool, bool, float]:
            tags = vm.tags or _NO_TAGS
            meant = bool(token) and tags.token == token
            alive = vm.state is not State.ABSENT
            return alive, meant, tags.owner == self._owner, vm.started or 0.0

        return max(vms, key=rank, default=None)

    def _call(self, call: Callable[[], T]) -> T:
        """One call to the backend, its exceptions translated by the backend's own table."""
        try:
            return call()
        except VMOpsError:
            raise
        except Exception as exc:
            error = self.translated(exc)
            if error is None:
                raise
            raise error from exc

    def translated(self, exc: Exception) -> CloudError | None:
        """What the backend's own table makes of an exception; None for one it does not know."""
        fault = self.backend.explain(exc)
        if fault is not None:
            kind = self.backend.error_codes.get(fault.code, CloudError)
            translated = kind(
                fault.message,
                provider_code=fault.code,
                request_id=fault.request_id,
                hint=fault.hint,
                retry_after=fault.retry_after,
            )
            translated.vm_ids = fault.vm_ids
            if isinstance(translated, TransientError):
                translated.unsent = fault.unsent
            return translated
        if isinstance(exc, (ConnectionError, TimeoutError)):
            return Unavailable(f"{self.backend.name}: no answer: {exc!r}")
        return None


_NO_TAGS: Final = Tags("", "", "")


def _is_gone(vm: VM | Exception | None) -> bool:
    return vm is None or (isinstance(vm, VM) and vm.state is State.ABSENT)


def vm_info(vm: VM) -> dict[str, Any]:
    """What a result says of a VM: its name and id, and what the backend adds."""
    return {"vmName": vm.name, "vmId": vm.id, **vm.info}


def _tuning(backend: Backend[Any, Any]) -> frozenset[str]:
    fields = type(backend.settings).model_fields.items()
    return frozenset(f.alias or name for name, f in fields if Tuning in f.metadata)


def _scope(backend: Backend[Any, Any]) -> Mapping[str, str]:
    """The settings an operation's URL carries: those not at their default that may travel."""
    fields = type(backend.settings).model_fields
    local = {name for name, field in fields.items() if LocalOnly in field.metadata}
    values = backend.settings.model_dump(
        mode="json", by_alias=True, exclude=local, exclude_defaults=True, exclude_none=True
    )
    return {key: as_text(value) for key, value in values.items()}
