"""Creates with the same token take turns: who comes second sees what the first has made.

Most providers have no token of their own that would keep a repeated create from making a second VM.
So a VM with the token is looked for before each create, and nobody else on this machine may be in
between: whether another thread, another process, or one that took over from a process that died.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

from platformdirs import user_cache_path

__all__ = ["turn"]

_log = logging.getLogger("vmops")

_FILES: Final = 256
"""So many are kept, and no more: creates whose tokens share one only wait for each other."""


@contextmanager
def turn(token: str) -> Iterator[None]:
    """Within it, nobody else on this machine is within one of this token."""
    number = int.from_bytes(sha256(token.encode()).digest()[:4], "big") % _FILES
    try:
        file = _folder() / f"{number:03}"
        opened = file.open("a")
    except OSError as exc:
        _log.warning("libcloud: creates with one token do not wait for each other: %s", exc)
        yield
        return
    with opened:  # closing it ends the turn, and so does the end of the process
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _folder() -> Path:
    folder = user_cache_path("vmops") / "libcloud-turns"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
