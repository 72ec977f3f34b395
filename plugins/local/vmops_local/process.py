"""QEMU as a process: alive or not without a race, and never a signal to a stranger.

The launcher locks `alive.lock` and QEMU inherits the open file: the kernel drops the lock when the
last of the two is gone. So "is it alive" is asked of the lock, which no reused pid can confuse. A
signal is sent only to a pid whose command line holds the VM's UUID, through a pidfd.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from vmops.errors import Unavailable
from vmops_local.files import try_lock
from vmops_local.qmp import ask

__all__ = ["LOG", "PID_FILE", "hold_alive_lock", "is_alive", "kill", "spawn"]

PID_FILE: Final = "qemu.pid"
LOG: Final = "qemu.log"
_ALIVE: Final = "alive.lock"
_QUIT_SECONDS: Final = 2.0
_KILL_SECONDS: Final = 10.0

_children: set[int] = set()


def is_alive(folder: Path) -> bool:
    """Whether the VM's QEMU runs (or is just being started)."""
    _reap()
    try:
        descriptor = os.open(folder / _ALIVE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def hold_alive_lock(folder: Path) -> int:
    """The open, locked `alive.lock`, for QEMU to inherit. The caller closes its own copy.

    Raises:
        BlockingIOError: A QEMU of this VM holds it.
    """
    descriptor = os.open(folder / _ALIVE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for _ in range(50):  # whoever asks is_alive holds a shared lock for a moment
            if try_lock(descriptor, fcntl.LOCK_EX):
                return descriptor
            time.sleep(0.01)
        raise BlockingIOError(f"{folder / _ALIVE} is held by a running QEMU")  # noqa: TRY301  (once)
    except BaseException:
        os.close(descriptor)
        raise


def spawn(
    command: Sequence[str], folder: Path, inherit: Sequence[int], environment: Mapping[str, str]
) -> int:
    """The pid of QEMU, started in `folder` and in a session of its own."""
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(  # noqa: S603  (no shell; every argument is ours or JSON)
            command,
            cwd=folder,
            pass_fds=inherit,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            umask=0o077,  # the serial log may hold what a guest's console says
            env={**os.environ, **environment},
        )
    finally:
        os.close(log)
    _children.add(process.pid)
    process.returncode = 0  # it outlives us by design: Popen must not warn of that; _reap reaps
    return process.pid


def kill(folder: Path, uuid: str) -> None:
    """End the VM's QEMU, politely at first; return when it is gone.

    Raises:
        Unavailable: It is still there: it cannot be killed, or cannot be told from a stranger.
    """
    if not is_alive(folder):
        return
    with contextlib.suppress(Unavailable):  # frozen, or not listening yet
        ask(folder, [("quit", {})], timeout=_QUIT_SECONDS)
    deadline = time.monotonic() + _KILL_SECONDS
    while is_alive(folder) and time.monotonic() < deadline:
        descriptor = _pidfd(folder, uuid)
        if descriptor is None:
            time.sleep(0.02)  # it has just been started and has not written its pid yet
            continue
        try:
            if not _ended(descriptor, _QUIT_SECONDS):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                _ended(descriptor, _QUIT_SECONDS)
        finally:
            os.close(descriptor)
    if is_alive(folder):
        message = f"QEMU of VM {folder.name!r} does not end, or its pid file is not its own"
        raise Unavailable(message, provider_code="StillAlive", hint="try again in a moment")


def _pidfd(folder: Path, uuid: str) -> int | None:
    """What pins the process that is ours, or None where there is none that is."""
    try:
        pid = int((folder / PID_FILE).read_text())
        descriptor = os.pidfd_open(pid)
    except (OSError, ValueError):
        return None
    # looked at after the pidfd was opened: it cannot have become another process in between
    if _is_ours(pid, uuid):
        return descriptor
    os.close(descriptor)
    return None


def _is_ours(pid: int, uuid: str) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return uuid.encode() in command  # a zombie's is empty


def _ended(descriptor: int, seconds: float) -> bool:
    ended = bool(select.select([descriptor], [], [], seconds)[0])
    _reap()
    return ended


def _reap() -> None:
    """Let children that ended go; others' processes are not ours to wait for."""
    for pid in list(_children):
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                _children.discard(pid)
        except ChildProcessError:
            _children.discard(pid)
