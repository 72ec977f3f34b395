"""New processes that need not import an SDK again: forked from one that has imported it.

Imports take most of the time of a process that makes a few calls. The mother of these processes
imports, asks no cloud for anything, and forks: each child is a process like any other, to be killed
by a signal, and shares nothing but modules with the others.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["run"]


def run(
    code: str, imports: tuple[str, ...], timeout: float, **variables: str
) -> subprocess.CompletedProcess[str]:
    """What became of a new process that ran `code`.

    Args:
        code: Python.
        imports: Modules that it may have imported already.
        timeout: Seconds.
        variables: Of its environment, besides those of this process.

    Raises:
        subprocess.TimeoutExpired: It has not ended by then.
    """
    environ = {**os.environ, **variables}
    if not hasattr(os, "fork"):
        command = [sys.executable, "-c", code]
        return subprocess.run(  # noqa: S603  (the kit's own script)
            command, capture_output=True, text=True, timeout=timeout, env=environ, check=False
        )
    return _nursery(imports).run(code, timeout, environ)


class _Nursery:
    """A mother process, and what is asked of it: one child at a time."""

    def __init__(self, imports: tuple[str, ...]) -> None:
        command = [sys.executable, "-m", __name__, *imports]
        self._mother = subprocess.Popen(  # noqa: S603  (this module)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        atexit.register(self._end)

    def run(
        self, code: str, timeout: float, environ: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        assert self._mother.stdin is not None
        assert self._mother.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            asked = {"code": code, "environ": environ, "out": str(out), "err": str(err)}
            late = threading.Timer(timeout, self._mother.kill)
            late.start()
            self._mother.stdin.write(json.dumps(asked) + "\n")
            self._mother.stdin.flush()
            answer = self._mother.stdout.readline()
            late.cancel()
            if not answer:
                _nursery.cache_clear()
                raise subprocess.TimeoutExpired(code, timeout, stderr=err.read_bytes())
            status = int(answer)
            return subprocess.CompletedProcess(code, status, out.read_text(), err.read_text())

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self._mother.communicate(timeout=5)


@cache
def _nursery(imports: tuple[str, ...]) -> _Nursery:
    return _Nursery(imports)


def _live(asked: dict[str, Any]) -> None:
    """In a child: run the code, its output in files, and end as Python would."""
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(asked[name], os.O_WRONLY | os.O_CREAT, 0o600), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(asked["environ"])
    status = 0
    try:
        exec(compile(asked["code"], "<kit>", "exec"), {"__name__": "__main__"})  # noqa: S102
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    except BaseException:  # noqa: BLE001  (told as Python tells it)
        sys.excepthook(*sys.exc_info())
        status = 1
    sys.stdout.flush()
    os._exit(status)


def main() -> None:
    """Import, then fork a child for each line."""
    for name in ("vmops.facade", *sys.argv[1:]):
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _live(asked)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
