"""One connection to one cloud: every call to a Backend goes through here.

Errors are translated by the backend's own table, calls wait for their rate limit and coalesce, and
transient failures of a verb are repeated here and nowhere else.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from vmops.backend import (
    Backend,
    Limit,
    Progress,
    StopMode,
    Succeeded,
    Target,
)
from vmops.batching import Batcher, Limiter
from vmops.errors import CloudError, Throttled, TransientError, Unavailable, VMOpsError
from vmops.operation import Action, Handle, Operation
from vmops.params import LocalOnly, Tuning, as_text
from vmops.records import Place
from vmops.semantics import judge
from vmops.vm import VM, Ref, State, Tags

__all__ = ["Connection", "vm_info"]

T = TypeVar("T")
Renew = Callable[[Sequence[int], bool], None]

_WORKERS: Final = 16
"""Calls in flight at once where the cloud takes one VM per call."""
_SEND_BUDGET: Final = 60.0
"""Seconds for which a verb is repeated while the cloud gives no definite answer."""
_BACKOFF: Final = (0.5, 15.0)


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
        self._looks: Batcher[Ref, VM | None] = Batcher(self._describe, self.limiter("describe"))
        self._account: str | None = None
        self._lock = threading.Lock()

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
            limit = self.backend.limits.get(kind, Limit())
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

    def _patiently(self, call: Callable[[], T]) -> T:
        """What a call that changes nothing returns, repeated while there is no answer."""
        give_up = self.clock.now() + _SEND_BUDGET
        pauses = _pauses()
        while True:
            try:
                return call()
            except TransientError as exc:
                self._pause(exc, pauses, give_up)

    def proves_absence(self, sent: float, asked: float) -> bool:
        """Whether a VM that is not shown cannot exist: its last create or deletion is long ago.

        Args:
            sent: When that was sent, epoch seconds.
            asked: When the cloud was asked: an answer may have lain about in a frozen process.
        """
        return asked - sent >= self.backend.horizon

    def retag(self, vm: VM, tags: Tags) -> None:
        """Write ownership tags on a VM; repeated while there is no answer."""
        self._patiently(lambda: self._call(lambda: self.backend.retag(vm, tags)))

    def cloud_time(self) -> float:
        """The cloud's own clock, epoch seconds."""
        return self._patiently(lambda: self._call(self.backend.cloud_time))

    def list_vms(self) -> list[VM]:
        """Every VM that carries vmops tags, whoever's it is."""
        return self._patiently(lambda: self._call(lambda: list(self.backend.describe(None))))

    def can_send_many(self, action: Action) -> bool:
        """Whether the cloud takes many VMs in one call of this verb."""
        return getattr(self.backend, f"{action.value}_many", None) is not None

    def send(
        self,
        action: Action,
        targets: Sequence[Target[Any]],
        tokens: Sequence[str],
        mode: StopMode,
        renew: Renew | None = None,
    ) -> list[Handle | Exception]:
        """A handle, or what went wrong, for `action` on each target.

        Args:
            action: The verb.
            targets: The VMs. Where the cloud takes many in one call, they leave as one call.
            tokens: One idempotency token per target; one call carries the first.
            mode: For stop.
            renew: Called with indices of targets before every attempt to send them, and with
                whether it is a repeated one; what it raises ends the attempts.
        """
        extra = (mode,) if action is Action.STOP else ()
        if self.can_send_many(action):
            many = getattr(self.backend, f"{action.value}_many")
            renew_all = partial(renew, range(len(targets))) if renew else None
            send_all = partial(many, targets, tokens[0], *extra)
            return self._send_many(action, send_all, len(targets), renew_all)
        one = getattr(self.backend, action.value)

        def send_one(index: int) -> Handle | Exception:
            renew_one = partial(renew, [index]) if renew else None
            send = partial(one, targets[index], tokens[index], *extra)
            try:
                handle: Handle = self._sending(action, send, renew_one)
            except Exception as exc:  # noqa: BLE001  (each member's failure is its own)
                return exc
            return handle

        if len(targets) == 1:
            return [send_one(0)]
        with ThreadPoolExecutor(min(_WORKERS, len(targets))) as pool:
            return list(pool.map(send_one, range(len(targets))))

    def _send_many(
        self,
        action: Action,
        call: Callable[[], Sequence[Handle | Exception]],
        count: int,
        renew: Callable[[bool], None] | None,
    ) -> list[Handle | Exception]:
        try:
            return list(self._sending(action, call, renew, prepaid=True))
        except Exception as exc:  # noqa: BLE001  (every member meets it)
            return [exc] * count

    def _sending(
        self,
        action: Action,
        call: Callable[[], T],
        renew: Callable[[bool], None] | None = None,
        *,
        prepaid: bool = False,
    ) -> T:
        """Repeat a verb until there is a definite answer; same request, same token."""
        again = False
        limiter = self.limiter(action.value)
        give_up = self.clock.now() + _SEND_BUDGET
        pauses = _pauses()
        while True:
            if not prepaid:
                limiter.wait_for_request()
            prepaid = False
            if renew is not None:
                renew(again)
            again = True
            try:
                answer = self._call(call)
            except TransientError as exc:
                if isinstance(exc, Throttled):
                    limiter.throttled(exc.retry_after)
                elif action is Action.RESTART:
                    raise  # a reboot that may have happened is never asked for twice
                self._pause(exc, pauses, give_up)
            else:
                limiter.accepted()
                return answer

    def _pause(self, error: TransientError, pauses: Iterator[float], give_up: float) -> None:
        pause = max(next(pauses), error.retry_after or 0.0)
        if self.clock.now() + pause > give_up:
            raise error
        self.clock.sleep(pause)

    def progress(self, operations: Sequence[Operation], timeout: float) -> dict[str, Progress]:
        """How operations stand, by id: the cloud's word where it has one, else the VM's state."""
        now, horizon = self.clock.now(), self.backend.horizon
        progress = self._polled(operations, timeout)
        asked = [operation for operation in operations if _needs_look(progress.get(operation.id))]
        seen = self.look([Ref(o.vm, o.vm_id) for o in asked]) if asked else []
        for operation, vm in zip(asked, seen, strict=True):
            step = progress.get(operation.id)
            if isinstance(vm, Exception):
                if step is None:
                    raise vm
                continue  # the operation is known to have succeeded; only its extras are missing
            if step is None:
                step = judge(operation, vm, now, horizon)
            if isinstance(step, Succeeded):
                known = {"vmName": operation.vm, "vmId": operation.vm_id}
                step = Succeeded({**known, **step.info, **(vm_info(vm) if vm else {})})
            progress[operation.id] = step
        return progress

    def _polled(self, operations: Sequence[Operation], timeout: float) -> dict[str, Progress]:
        if type(self.backend).poll is Backend.poll:
            return {}
        limiter = self.limiter("poll")
        limiter.wait_for_request()
        try:
            return dict(self._call(lambda: self.backend.poll(operations, timeout)))
        except Throttled as exc:
            limiter.throttled(exc.retry_after)
            raise

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
            return kind(
                fault.message,
                provider_code=fault.code,
                request_id=fault.request_id,
                retry_after=fault.retry_after,
            )
        if isinstance(exc, (ConnectionError, TimeoutError)):
            return Unavailable(f"{self.backend.name}: no answer: {exc!r}")
        return None


_NO_TAGS: Final = Tags("", "", "")


def _needs_look(step: Progress | None) -> bool:
    """Whether the VM itself must be seen: to judge by its state, or for the result's extras."""
    return step is None or (isinstance(step, Succeeded) and not step.info)


def vm_info(vm: VM) -> dict[str, Any]:
    """What a result says of a VM: its name and id, and what the backend adds."""
    return {"vmName": vm.name, "vmId": vm.id, **vm.info}


def _pauses() -> Iterator[float]:
    pause, longest = _BACKOFF
    while True:
        yield pause * (0.5 + random.random())  # noqa: S311  (jitter, not cryptography)
        pause = min(pause * 2, longest)


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
