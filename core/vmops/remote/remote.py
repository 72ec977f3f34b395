"""`Remote`: starts scripts on VMs and waits for them, in whichever process, over SSH."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar

from vmops.errors import AuthError, CloudError, TransientError
from vmops.facade import VMOps
from vmops.looking import Found
from vmops.remote.links import REFUSED, Links, Peer, require_asyncssh
from vmops.remote.loop import Loop
from vmops.remote.programs import (
    Order,
    Reply,
    answer,
    finished,
    start_order,
    stop_order,
    stopped,
    wait_order,
)
from vmops.remote.run import Finished, Run
from vmops.ssh import address, host_key_alias, known_hosts

__all__ = ["Login", "Remote"]

T = TypeVar("T")

_log = logging.getLogger("vmops")

_NO_ENV: Final[Mapping[str, object]] = MappingProxyType({})
_REACH: Final = (5.0, 20.0)
"""Seconds for one attempt to connect: at least, however short the time, and at most."""
_GRACE: Final = 30.0
"""Seconds for an answer, beyond those that the VM was told to wait."""
_TALKED: Final = 90.0
"""Seconds that no attempt lasts without a connection: connecting and keepalives give up earlier."""
_PAUSES: Final = (0.5, 1.0, 2.0, 4.0, 5.0)
_FIRST_BOOT: Final = 600.0
"""Seconds after a boot in which a user or a key may still be on its way into the VM."""


@dataclass(frozen=True, slots=True)
class Login:
    """How to log in to VMs, where a VM's backend does not tell.

    Args:
        user: Who logs in. None: the VM's `sshUser`, else its `adminUsername`, else whom OpenSSH's
            configuration names, else the local user.
        key_file: The private key; None for those of ssh-agent and the usual files.
        port: For a VM whose backend tells no `sshPort`; None is 22.
        known_hosts: A known-hosts file; None for each VM's own, which `vmops ssh` uses as well. A
            host key that is not in it yet is taken once; it must stay.
        shell: Path on the VM: what runs scripts that do not begin with `#!`.
    """

    user: str | None = None
    key_file: str | os.PathLike[str] | None = None
    port: int | None = None
    known_hosts: str | os.PathLike[str] | None = None
    shell: str = "/bin/sh"


class Remote:
    """Scripts on VMs, over SSH. Thread-safe; one connection per VM is kept open until `close`.

    A script runs at most once, and apart from the connection that started it. Whoever has its URL,
    the VM's backend and a key can wait for it. On the VM it needs a POSIX shell, `setsid` and a
    home folder of the user's, where a run is kept for a week below `.vmops/runs`.

    Args:
        ops: Knows the VMs, their addresses and host keys.
        login: What it does not know.
    """

    def __init__(self, ops: VMOps, login: Login = Login()) -> None:
        """Connect to nothing yet."""
        self._ops = ops
        self._login = login
        self._closed = False
        self._engines: dict[int, _Engine] = {}
        self._stop = weakref.finalize(self, _stop, self._engines)

    def start(
        self,
        params: Mapping[str, Any],
        script: str,
        env: Mapping[str, object] = _NO_ENV,
        *,
        timeout: float = 300.0,
    ) -> str:
        """The URL of a script that now runs on a VM.

        Args:
            params: `vmName` (or `vmId`), `backend` and its settings, as for `vm_start`.
            script: What to run: by its interpreter if it begins with `#!`, else by the login's
                shell. Its stdin is empty, its folder the user's home.
            env: Environment variables for it; of their values, the `str()`.
            timeout: Seconds for a VM that is still booting to let us in.

        Raises:
            InvalidParams: A parameter, or a variable's name, is wrong; nothing was asked.
            NotFound: There is no such VM.
            Conflict: It does not run.
            AuthError: It refused the key, or its host key has changed.
            Unavailable: It did not answer in time. If the script may run all the same, `remains`
                has its URL.
            CloudError: It could not start the script.
        """
        require_asyncssh()
        run_id = secrets.token_hex(8)
        order = start_order(run_id, script, env, self._login.shell)
        found = self._ops.find(params)
        at, where = found.clock.now(), found.scope
        run = Run(found.backend, found.name, run_id, at, found.account, where, found.vm.id)
        self._ask(run, params, found, timeout, lambda _: order, answer)
        return run.to_url()

    def wait(
        self,
        url: str,
        params: Mapping[str, Any] = _NO_ENV,
        *,
        timeout: float = 300.0,
        patience: float = 300.0,
    ) -> Finished | None:
        """How the script ended that a URL names, or None if it still runs: wait again.

        Args:
            url: From `start`, of this or any other process.
            params: What the URL does not say and the config neither.
            timeout: Seconds; 0 looks once.
            patience: Seconds for which the VM may be out of reach: a guest may hang while its
                cloud says that it runs.

        Raises:
            InvalidURL: The URL is malformed, or not allowed by local settings.
            NotFound: The VM, or the run on it, is gone.
            CloudError: The script has ended without an exit code; or as `start`.
        """
        require_asyncssh()
        run = Run.from_url(url)
        found = self._ops.find(params, run)
        order = partial(wait_order, run.id)
        return self._ask(run, params, found, timeout, order, finished, patience)

    def stop(self, url: str, params: Mapping[str, Any] = _NO_ENV, *, timeout: float = 60.0) -> None:
        """End the script that a URL names, with what it started, unless it has ended.

        Its processes get SIGTERM, and SIGKILL five seconds later; `wait` then tells its exit code,
        or that it was killed.

        Args:
            url: From `start`, of this or any other process.
            params: As for `wait`.
            timeout: Seconds.

        Raises:
            VMOpsError: As `wait`.
        """
        require_asyncssh()
        run = Run.from_url(url)
        found = self._ops.find(params, run)
        self._ask(run, params, found, timeout, lambda _: stop_order(run.id), stopped)

    def close(self) -> None:
        """End all connections and their thread; what was started runs on."""
        self._closed = True
        self._stop()

    def __enter__(self) -> Self:
        """Use as a context manager: closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _ask(  # noqa: PLR0913, PLR0917  (one question, in all its parts)
        self,
        run: Run,
        params: Mapping[str, Any],
        found: Found,
        timeout: float,
        order: Callable[[float], Order],
        read: Callable[[Run, Reply], T],
        patience: float = float("inf"),
    ) -> T:
        """What is read off the VM's reply to an order, given again until the time is up."""
        clock, in_doubt, silent = found.clock, False, None
        deadline = clock.now() + timeout
        for attempt in count():
            began = clock.now()
            left = max(deadline - began, 0.0)
            try:
                if attempt:  # it may have another port after a boot, or run no more
                    with contextlib.suppress(TransientError):
                        found = self._ops.find(params, run)
                return read(run, self._say(found, order(left), left))
            except CloudError as exc:
                in_doubt |= isinstance(exc, TransientError) and not exc.unsent
                if in_doubt:
                    exc.remains = f"the run {run.to_url()}"
                if fresh := silent is None or clock.now() - began > _TALKED:
                    silent = clock.now()  # it has answered until just now
                if not left or clock.now() - silent > patience or not _may_pass(exc, found):
                    raise
                if fresh:
                    _log.warning("%s; it is tried again", exc)
            clock.sleep(min(_PAUSES[min(attempt, len(_PAUSES) - 1)], left))
        raise AssertionError  # attempts have no end

    def _say(self, found: Found, order: Order, left: float) -> Reply:
        peer, engine = self._peer(found), self._running()
        reach = min(max(left, _REACH[0]), _REACH[1])
        return engine.loop.run(engine.links.run(peer, order, reach, left + _GRACE))

    def _peer(self, found: Found) -> Peer:
        vm, login = found.vm, self._login
        host, port = address(vm, found.backend, login.port or 22)
        known, alias = Path(login.known_hosts or "").expanduser(), ""
        if not login.known_hosts:
            known = known_hosts(vm, found.backend)
            alias = host_key_alias(known)
        told = vm.info.get("sshUser") or vm.info.get("adminUsername") or found.login
        return Peer(
            vm=found.name,
            key=f"{found.backend} {found.account} {found.scope} {found.name}",
            boot=f"{vm.id} {vm.started}",
            host=host,
            port=port,
            user=login.user or str(told),
            key_file=Path(login.key_file).expanduser() if login.key_file else None,
            known=known,
            alias=alias,
        )

    def _running(self) -> _Engine:
        """The connections of this process: a fork has none of its parent's."""
        if self._closed:
            raise RuntimeError("this Remote is closed")
        pid = os.getpid()
        if pid not in self._engines:
            mine = _Engine()
            if self._engines.setdefault(pid, mine) is not mine:
                mine.stop()
        return self._engines[pid]


class _Engine:
    """An event loop, and the connections that live in it."""

    def __init__(self) -> None:
        self.links = Links()
        self.loop = Loop()

    def stop(self) -> None:
        self.loop.stop(self.links.close())


def _stop(engines: dict[int, _Engine]) -> None:
    engine = engines.pop(os.getpid(), None)
    if engine is not None:
        engine.stop()


def _may_pass(error: CloudError, found: Found) -> bool:
    """Whether what went wrong may go well a little later, without anybody's doing."""
    if isinstance(error, AuthError) and error.provider_code == REFUSED:
        began = found.vm.started
        return began is None or found.clock.now() - began < _FIRST_BOOT
    return isinstance(error, TransientError)
