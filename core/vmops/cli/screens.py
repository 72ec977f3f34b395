"""How tasks are shown: JSON lines, plain lines, or (in `live`) a display for terminals."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import Final

from vmops.cli.exits import show_error
from vmops.cli.output import Output
from vmops.cli.tasks import Screen, Task
from vmops.protocol import Status

__all__ = ["JsonScreen", "LineScreen", "screen_for", "show_end", "words_for"]

_HEARTBEAT: Final = 15.0
"""Seconds after which a plain line says again that a VM is still being waited for."""
_DONE: Final = {
    "provision": "is running",
    "start": "is running",
    "stop": "is stopped",
    "restart": "is running again",
    "deprovision": "is deleted",
}


def words_for(task: Task) -> str:
    """How a task ended, as one line about its VM."""
    if task.status is Status.SUCCEEDED:
        took = f"after {task.seconds:.2f} s" if task.url else "already"
        usual = f" (usually {task.usual:.2f} s)" if task.url and task.usual else ""
        addresses = [str(task.result[k]) for k in ("publicIp", "privateIp") if task.result.get(k)]
        where = f"  {' '.join(addresses)}" if addresses and task.action != "deprovision" else ""
        if task.result.get("restartConfirmed") is False:
            where += "  (the cloud does not confirm restarts)"
        return f"{task.vm} {_DONE.get(task.action, 'is done')} {took}{usual}{where}"
    if task.status is Status.TIMED_OUT:
        return f"{task.vm}: {task.action} goes on; we stopped waiting for it"
    return f"{task.vm}: {task.action} {task.status.name.lower()}"


class JsonScreen(AbstractContextManager["JsonScreen"]):
    """One JSON line when an operation is accepted, one when it is over."""

    def __init__(self, out: Output) -> None:
        """Write nothing yet."""
        self._out = out
        self._lock = threading.Lock()

    def asked(self, task: Task) -> None:
        """Stay silent: there is nothing to know yet."""

    def accepted(self, task: Task) -> None:
        """Write the URL: it is all that anybody needs to go on from here."""
        with self._lock:
            self._out.record(task.document())

    def moved(self, task: Task, elapsed: float) -> None:
        """Stay silent: scripts wait for ends."""

    def ended(self, task: Task) -> None:
        """Write how it ended."""
        with self._lock:
            self._out.record(task.document())

    def __exit__(self, *_: object) -> None:
        """Nothing to put away."""


class LineScreen(AbstractContextManager["LineScreen"]):
    """Plain lines: ends on stdout, what goes on meanwhile on stderr."""

    def __init__(self, out: Output) -> None:
        """Write nothing yet."""
        self._out = out
        self._lock = threading.Lock()
        self._said: dict[Task, tuple[str, float]] = {}

    def asked(self, task: Task) -> None:
        """Stay silent: there is nothing to know yet."""

    def accepted(self, task: Task) -> None:
        """Say what has begun."""
        with self._lock:
            self._said[task] = (task.phase, 0.0)
            usual = f" (usually {task.usual:.2f} s)" if task.usual else ""
            self._out.note(f"{task.vm}: {task.phase}{usual}")

    def moved(self, task: Task, elapsed: float) -> None:
        """Say that the phase has changed, or that it has been long."""
        with self._lock:
            phase, then = self._said.get(task, ("", elapsed))
            if phase != task.phase or elapsed - then >= _HEARTBEAT:
                self._said[task] = (task.phase, elapsed)
                self._out.note(f"{task.vm}: {task.phase}, {elapsed:.1f} s so far")

    def ended(self, task: Task) -> None:
        """Say how it ended."""
        with self._lock:
            show_end(self._out, task)

    def __exit__(self, *_: object) -> None:
        """Nothing to put away."""


def show_end(out: Output, task: Task) -> None:
    """Write how a task ended, for people."""
    if task.status is Status.FAILED and task.error is not None:
        show_error(out, task.error, f"{task.vm}: {task.action} failed: ")
        return
    if task.status is Status.SUCCEEDED:
        out.say(words_for(task), "green")
        return
    out.note(words_for(task))
    if task.error is not None:
        show_error(out, task.error, "  the last look brought no answer: ")


def screen_for(out: Output) -> AbstractContextManager[Screen]:
    """The screen that fits where the output goes."""
    if out.as_json:
        return JsonScreen(out)
    if not out.rich:
        return LineScreen(out)
    from vmops.cli.live import LiveScreen

    return LiveScreen(out)
