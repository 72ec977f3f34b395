"""Creates with the same token take turns: who comes second sees what the first has made.

Most providers have no token of their own that would keep a repeated create from making a second VM.
So a VM with the token is looked for before each create, and nobody else on this machine may be in
between: whether another thread, another process, or one that took over from a process that died.

Each token is one byte's place in a file, locked as POSIX has it: a process that ends lets go of it,
and one that was forked meanwhile has not inherited it.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from platformdirs import user_state_path

from vmops.errors import Unavailable

if sys.platform != "win32":
    import fcntl

__all__ = ["turn"]

_log = logging.getLogger("vmops")

_PLACES: Final = 2**62
"""So many tokens can be told apart: as far as a file's offset reaches."""
_AGAIN: Final = 0.05
"""Seconds between two tries at a lock that another process has."""

_ours: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
"""The locks of this process's threads; those that nobody holds or waits for are forgotten."""
_opened: Final[list[int]] = []
_guard: Final = threading.Lock()


@contextmanager
def turn(token: str, patience: float) -> Iterator[None]:
    """Within it, nobody else on this machine is within one of this token.

    Args:
        token: Whose turn it is.
        patience: Seconds for which another's turn is waited out.

    Raises:
        Unavailable: The other one is not done within that time.
    """
    until = time.monotonic() + patience
    with _guard:
        mine = _ours.setdefault(token, threading.Lock())
    if not mine.acquire(timeout=patience):
        raise _busy(patience)
    try:
        place = _place(token)
        locked = _lock(place, until, patience)
        try:
            yield
        finally:
            if locked is not None:
                fcntl.lockf(locked, fcntl.LOCK_UN, 1, place)
    finally:
        mine.release()


def _lock(place: int, until: float, patience: float) -> int | None:
    """The file in which a place is ours now; None where there can be no file."""
    if sys.platform == "win32":  # only threads of this process wait for each other there
        return None
    while True:
        try:
            file = _file()
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except OSError as exc:
            if exc.errno not in {errno.EACCES, errno.EAGAIN}:
                _log.warning("libcloud: creates by other processes are not waited for: %s", exc)
                return None
        else:
            if file == _file():
                return file
            continue  # somebody has removed it meanwhile: the others lock another one
        if time.monotonic() >= until:
            raise _busy(patience)
        time.sleep(_AGAIN)


def _file() -> int:
    """The file, open in this process: never closed, as that would let go of all locks in it."""
    path = user_state_path("vmops") / "libcloud-turns.lock"
    if _opened and _is_at(_opened[-1], path):
        return _opened[-1]
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _opened.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return _opened[-1]


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _forked() -> None:
    """In a child of a fork: nobody here is within a turn, and the parent's file is the parent's."""
    _ours.clear()
    _opened.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _place(token: str) -> int:
    return int.from_bytes(sha256(token.encode()).digest()[:8], "big") % _PLACES


def _busy(patience: float) -> Unavailable:
    return Unavailable(
        f"libcloud: another create of the same VM is not done after {patience:g} s",
        hint="repeat the call: it asks for the same thing again",
    )
