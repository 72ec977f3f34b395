"""Creates with one token take turns: threads, processes, and those that were forked meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from vmops.errors import Unavailable
from vmops_libcloud.turns import turn

_HOLDS = """
import sys
from vmops_libcloud.turns import turn
with turn(sys.argv[1], 5):
    print("mine", flush=True)
    sys.stdin.read()
"""

_FORKS = """
import os, sys
from vmops_libcloud.turns import turn
with turn(sys.argv[1], 5):
    child = os.fork()
    if not child:
        sys.stdin.read()
        os._exit(0)
    print(child, flush=True)
    os._exit(0)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of their own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def _takes() -> None:
    with turn("a", 20):
        pass


@contextmanager
def _held(token: str) -> Iterator[subprocess.Popen[str]]:
    """Another process has this turn."""
    command = [sys.executable, "-c", _HOLDS, token]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "mine\n"
        try:
            yield process
        finally:
            process.kill()


def test_threads() -> None:
    """A second thread waits until the first has done, or says that it has not."""
    with turn("a", 1), pytest.raises(Unavailable, match="not done after 0 s"), turn("a", 0):
        pass
    with turn("a", 0):
        pass


def test_processes() -> None:
    """Another process, too; one that is killed lets go of it."""
    with _held("a") as other:
        with pytest.raises(Unavailable), turn("a", 0.1):
            pass
        other.kill()
        with turn("a", 10):
            pass


def test_tokens_do_not_wait_for_each_other() -> None:
    """However many there are."""
    with _held("a"):
        for i in range(100):
            with turn(f"b{i}", 0):
                pass


def test_a_turn_ends_with_an_error() -> None:
    """Whatever goes wrong within it."""
    with pytest.raises(ZeroDivisionError), turn("a", 0):
        _ = 1 / 0
    with turn("a", 0):
        pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_of_a_fork_waits_for_its_parent() -> None:
    """And no longer: that it was forked in the middle of a turn is not remembered in it."""
    context = multiprocessing.get_context("fork")
    with turn("a", 0):
        child = context.Process(target=_takes)
        child.start()
        child.join(0.3)
        assert child.is_alive()
    child.join(30)
    assert child.exitcode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_does_not_keep_it() -> None:
    """Where a process ends within a turn, one that it has forked does not hold it on."""
    command = [sys.executable, "-c", _FORKS, "a"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert process.wait(30) == 0
        os.kill(child, 0)  # it lives
        with turn("a", 5):
            pass
        os.kill(child, signal.SIGKILL)


def test_a_file_that_is_removed(folder: Path) -> None:
    """Those who come after that lock the new one."""
    with turn("a", 0):
        pass
    (file,) = folder.rglob("libcloud-turns.lock")
    file.unlink()
    with _held("a"), pytest.raises(Unavailable), turn("a", 0.1):
        pass


def test_the_file_is_ours_alone(folder: Path) -> None:
    """Nobody else may hold our turns."""
    with turn("a", 0):
        (file,) = folder.rglob("libcloud-turns.lock")
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.parent.stat().st_mode & 0o777 == 0o700


def test_no_file(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Where none can be written, threads take turns all the same, and that is told."""
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    with turn("a", 0), pytest.raises(Unavailable), turn("a", 0):
        pass
    assert "other processes are not waited for" in caplog.text
