"""Private folders, and one process at a time in them."""

from __future__ import annotations

import fcntl
import math
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmops.errors import CloudError

__all__ = [
    "cache_folder",
    "exclusive",
    "private_folder",
    "try_lock",
    "write_new",
    "write_over",
]


def cache_folder() -> Path:
    """Where this user's fetched images and built guests are kept."""
    import platformdirs

    return platformdirs.user_cache_path("vmops")


def private_folder(path: Path) -> Path:
    """The folder, made if missing, that only this user can enter.

    Raises:
        CloudError: It is another user's, or cannot be made (code `CacheFolder`).
    """
    hint = "give another folder, or mend its owner and rights"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
        if status.st_uid == os.geteuid():
            if status.st_mode & 0o077:
                path.chmod(0o700)
            return path
    except OSError as exc:
        message = f"folder {path}: cannot be used ({exc.strerror})"
        raise CloudError(message, provider_code="CacheFolder", hint=hint) from exc
    message = f"folder {path}: belongs to user {status.st_uid}, not to {os.geteuid()}"
    raise CloudError(message, provider_code="CacheFolder", hint=hint)


@contextmanager
def exclusive(lock: Path, seconds: float = math.inf) -> Iterator[None]:
    """Hold the lock file while the block runs; wait for whoever holds it now.

    Raises:
        TimeoutError: Somebody has held it for `seconds`.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + seconds
        while not try_lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{lock} has been held by another process for {seconds:g} s")
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, kind: int) -> bool:
    """Whether the open file could be locked at once; `kind` is one of fcntl's LOCK_EX, LOCK_SH."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_new(path: Path, data: bytes) -> None:
    """Make a file that only this user can read, on disk when this returns.

    Raises:
        FileExistsError: It exists.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def write_over(path: Path, data: bytes) -> None:
    """Replace a file as a whole: whoever reads it sees the old content or the new, never half."""
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.replace(fresh, path)  # noqa: PTH105  (two strings, one system call)
    except BaseException:
        os.unlink(fresh)  # noqa: PTH108
        raise
