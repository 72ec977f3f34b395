"""Processes that start in milliseconds, and are traced or killed."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

_SECONDS = 120.0


def forkserver() -> Any:
    """The context whose processes are forked from one that has everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["processes.work"])
    with pytest.MonkeyPatch.context() as environment:  # of the server, and of nothing else
        environment.setenv("VMOPS_CRASH_TESTS", "1")  # read by processes.work
        # the server does not take over sys.path before it imports (python/cpython#126631)
        environment.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        ensure_running()
    return context


@contextmanager
def running(target: Callable[..., None], *args: object) -> Iterator[tuple[BaseProcess, Connection]]:
    """A process that runs `target(pipe, *args)`, with our end of the pipe; killed at the end."""
    context = forkserver()
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *args), daemon=True)
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        process.kill()
        process.join()
        ours.close()


def answer(target: Callable[..., None], *args: object) -> Any:
    """What a process that ran `target` sent; it must end well."""
    with running(target, *args) as (process, pipe):
        assert pipe.poll(_SECONDS), f"{target.__name__}{args}: no answer"
        said = pipe.recv()
        process.join(_SECONDS)
        assert process.exitcode == 0, process.exitcode
        return said


@contextmanager
def traced(pid: int, log: Path, *options: str) -> Iterator[None]:
    """Let strace follow a process, with these options, until it has ended."""
    command = ["strace", "-qq", "-p", str(pid), "-o", str(log), *options]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    status = Path(f"/proc/{pid}/status")
    give_up = time.monotonic() + 10
    while f"TracerPid:\t{tracer.pid}" not in status.read_text():
        assert tracer.poll() is None, tracer.stderr.read() if tracer.stderr else ""
        assert time.monotonic() < give_up, "strace does not attach"
        time.sleep(0.001)
    try:
        yield
    finally:
        try:
            tracer.wait(10)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait()
        if tracer.stderr:
            tracer.stderr.close()


def need_strace() -> None:
    """Skip where there is no strace, unless it is required."""
    if shutil.which("strace") is None:
        line = "install it: apt-get install --no-install-recommends strace"
        if os.environ.get("VMOPS_REQUIRE_STRACE"):
            raise pytest.UsageError(f"VMOPS_REQUIRE_STRACE is set and there is no strace; {line}")
        pytest.skip(line)
