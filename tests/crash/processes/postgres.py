"""A real PostgreSQL server of our own, in a folder, on a Unix socket."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

_CONFIG = """
listen_addresses = ''
fsync = on
max_connections = 60
shared_buffers = 16MB
"""


class Postgres:
    """A server; it may be stopped and started again.

    Args:
        folder: A short path (Unix sockets have a limit), which the server's user owns.
        programs: The folder of its programs.
    """

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder = folder
        self._programs = programs
        self._data = folder / "data"
        self._run("initdb", "-D", str(self._data), "-U", "vmops", "-A", "trust", "--no-sync")
        with (self._data / "postgresql.conf").open("a") as config:
            config.write(f"{_CONFIG}unix_socket_directories = '{folder}'\n")
        self.start()

    @property
    def url(self) -> str:
        """The database, for a journal."""
        return f"postgresql://vmops@/postgres?host={quote(str(self._folder))}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = str(self._folder / "log")
        self._run("pg_ctl", "start", "-w", "-t", "60", "-D", str(self._data), "-l", log)

    def stop(self) -> None:
        """Stop it at once, as if its machine had lost power."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-D", str(self._data))

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(
            [*_as_nobody(), *command],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"


def _as_nobody() -> Sequence[str]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]


def _programs() -> Path | None:
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    places += [Path(found).resolve().parent] if found else []
    return next((place for place in places if (place / "initdb").exists()), None)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A fresh server; skips where there is none, unless it is required."""
    programs = _programs()
    if programs is None:
        line = "install it: apt-get install --no-install-recommends postgresql"
        if os.environ.get("VMOPS_REQUIRE_POSTGRESQL"):
            raise pytest.UsageError(f"VMOPS_REQUIRE_POSTGRESQL is set, and there is none; {line}")
        pytest.skip(line)
    folder = Path(tempfile.mkdtemp(prefix="vmops-pg-", dir="/tmp"))
    if os.geteuid() == 0:
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    try:
        server = Postgres(folder, programs)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
