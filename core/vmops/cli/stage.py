"""What the demo tells: JSON lines for scripts, plain lines, or a live display."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vmops.cli.exits import describe_error
from vmops.cli.output import Output
from vmops.cli.tasks import Screen, Task
from vmops.cli.timeline import Kill, Mark, show_timeline

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Stage"]

_STATES = {
    "provision": "running",
    "stop": "stopped",
    "start": "running again",
    "restart": "running again",
    "deprovision": "gone",
}


class Stage:
    """The demo's way to the outside.

    Args:
        out: Where to.
        backend: The backend's name.
    """

    def __init__(self, out: Output, backend: str) -> None:
        """Say nothing yet."""
        self._out = out
        self._backend = backend
        self._acts = 0

    def event(self, event: str, **facts: object) -> None:
        """Write an event, for scripts only."""
        if self._out.as_json:
            self._out.record({"event": event, "time": round(time.time(), 3), **facts})

    def begun(self, names: Sequence[str], pid: int) -> None:
        """The demo begins."""
        self.event("begun", backend=self._backend, names=list(names), pid=pid)
        self._say(f"{len(names)} VMs on `{self._backend}`: {', '.join(names)}", "bold")
        self._say(f"driven by process {pid}")

    def act(self, verb: str, words: str) -> AbstractContextManager[Screen]:
        """The screen for one step."""
        self._acts += 1
        self._say("")
        self._say(f"{self._acts}. {verb}: {words}", "bold")
        if self._out.as_json:
            return _Events(self)
        if not self._out.rich:
            return _Quiet()
        from vmops.cli.live import LiveScreen

        return LiveScreen(self._out, each=False)

    def summary(self, verb: str, tasks: Sequence[Task]) -> None:
        """A step is over, for all VMs."""
        seconds = [task.seconds for task in tasks]
        span = f"{min(seconds):.2f} to {max(seconds):.2f} s"
        words = f"   {len(tasks)} VMs {_STATES[verb]} after {span}"
        boots = _boot_counts(tasks)
        if boots and verb != "deprovision":
            words += f"; boots counted on their disks: {boots}"
        self._say(words, "green")

    def killed(
        self, pid: int, role: str, open_ones: Sequence[str], states: Mapping[str, str]
    ) -> None:
        """A process was killed; `open_ones` are the VMs whose restart it had not seen end."""
        self.event("killed", pid=pid, signal=9, role=role, open=list(open_ones), states=states)
        seen = ", ".join(f"{name.rpartition('-')[2]} {state}" for name, state in states.items())
        count = f"{len(open_ones)} of {len(states)}"
        self._say(f"   kill -9 {pid}: it {role}; {count} restarts were still open", "red")
        self._say(f"   VMs at that moment: {seen}")

    def resumed(self, pid: int, urls: Sequence[str]) -> None:
        """A new process goes on with nothing but the URLs."""
        self.event("resumed", pid=pid, urls=list(urls))
        self._say(f"   process {pid} goes on with nothing but the URLs:")
        self._say(f"     {urls[0]}", "dim")
        self._say(f"     and {len(urls) - 1} more like it", "dim")

    def timeline(self, marks: Sequence[Mark], kills: Sequence[Kill]) -> None:
        """All operations, on one scale."""
        if not self._out.as_json:
            self._say("")
            show_timeline(self._out, marks, kills)
        else:
            self.event("timeline", operations=_plain(marks), kills=_plain(kills))

    def left(self, names: Sequence[str], seconds: float) -> None:
        """What the cloud still shows at the end."""
        self.event("left", count=len(names), names=list(names))
        self.event("done", seconds=round(seconds, 3))
        self._say("")
        words = f"{len(names)} VMs left"
        self._say(f"{words}: {', '.join(names)}" if names else words, "red" if names else "bold")
        self._say(f"took {seconds:.1f} s")

    def failed(self, error: BaseException) -> None:
        """The demo failed; the clean-up follows."""
        self.event("failed", error=describe_error(error))
        self.note("the demo failed; deleting what was made")

    def note(self, text: str) -> None:
        """Say something about the work itself."""
        self._out.note(text)

    def _say(self, text: str, style: str = "") -> None:
        if not self._out.as_json:
            self._out.say(text, style)


def _plain(items: Iterable[Any]) -> list[dict[str, Any]]:
    return [asdict(item) for item in items]


def _boot_counts(tasks: Sequence[Task]) -> str:
    counts = [str(task.result["bootCount"]) for task in tasks if "bootCount" in task.result]
    return ", ".join(counts)


class _Quiet(AbstractContextManager["_Quiet"]):
    """Plain text: the step's own lines say it."""

    def __exit__(self, *_: object) -> None:
        pass

    def asked(self, task: Task) -> None:
        pass

    def accepted(self, task: Task) -> None:
        pass

    def moved(self, task: Task, elapsed: float) -> None:
        pass

    def ended(self, task: Task) -> None:
        pass


class _Events(AbstractContextManager["_Events"]):
    """One line per accepted and per ended operation."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._lock = threading.Lock()

    def __exit__(self, *_: object) -> None:
        pass

    def asked(self, task: Task) -> None:
        pass

    def accepted(self, task: Task) -> None:
        with self._lock:
            self._stage.event("accepted", **task.document())

    def moved(self, task: Task, elapsed: float) -> None:
        pass

    def ended(self, task: Task) -> None:
        with self._lock:
            self._stage.event("ended", **task.document())
