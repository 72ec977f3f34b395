"""One verb or one wait on several VMs: what was asked, how it goes, how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from vmops.cli.exits import ExitCode, describe_error, exit_code
from vmops.protocol import Status

if TYPE_CHECKING:
    from vmops.facade import VMOps
    from vmops.operation import Operation
    from vmops.plugins import Event
    from vmops.result import Result

__all__ = ["ASKING", "Screen", "Task", "Tasks", "worst"]

ASKING: Final = "asking"
"""The phase in which it is not known yet whether the cloud accepts."""
_PHASES: Final = {
    "provision": "starting up",
    "start": "starting",
    "stop": "stopping",
    "restart": "restarting",
    "deprovision": "deleting",
}


@dataclass(slots=True, eq=False)
class Task:
    """One VM's part of a command.

    Args:
        vm: The VM's name.
        backend: The backend's name.
        action: What is asked of it.
        url: The operation's URL, once the cloud has accepted it.
        began: Epoch seconds at which it was asked for.
        ended: Epoch seconds at which we learned how it ended; 0 before that.
        usual: Seconds such an operation usually takes; None while that is unknown.
        phase: What is happening to the VM, in a word or two.
        status: As the Protocol has it.
        result: What the method returned.
        error: Why it failed, or why nothing could be learned.
    """

    vm: str
    backend: str
    action: str
    url: str = ""
    began: float = field(default_factory=time.time)
    ended: float = 0.0
    usual: float | None = None
    phase: str = ASKING
    status: Status = Status.PENDING
    result: Mapping[str, Any] = field(default_factory=dict)
    error: Exception | None = None

    @property
    def is_open(self) -> bool:
        """Whether the operation was accepted and nobody has seen it end."""
        return bool(self.url) and self.status in {Status.PENDING, Status.TIMED_OUT}

    @property
    def seconds(self) -> float:
        """How long the operation took, by its own account if it gives one."""
        return float(self.result.get("durationSeconds", max(self.ended - self.began, 0.0)))

    def code(self) -> ExitCode:
        """What this task alone would make the process end with."""
        if self.error is not None and self.status is not Status.TIMED_OUT:
            return exit_code(self.error)
        if self.status is Status.TIMED_OUT:
            code = exit_code(self.error)
            return code if code is ExitCode.MISSING else ExitCode.TIMED_OUT
        return ExitCode.FAILED if self.status is Status.FAILED else ExitCode.DONE

    def document(self) -> dict[str, Any]:
        """The task for scripts; always the same keys."""
        info = {} if self.status is Status.PENDING else dict(self.result)
        return {
            "vm": self.vm,
            "backend": self.backend,
            "action": self.action,
            "status": self.status.name,
            "url": self.url,
            "result": info,
            "error": describe_error(self.error) if self.error is not None else None,
        }


def worst(tasks: Iterable[Task]) -> ExitCode:
    """The exit code for several tasks: what is missing here, then failures, then time-outs."""
    codes = {task.code() for task in tasks}
    order = (ExitCode.MISSING, ExitCode.USAGE, ExitCode.FAILED, ExitCode.TIMED_OUT)
    return next((code for code in order if code in codes), ExitCode.DONE)


class Screen(Protocol):
    """Whoever shows tasks to the user. Called from several threads."""

    def asked(self, task: Task) -> None:
        """The verb is about to be sent."""
        ...

    def accepted(self, task: Task) -> None:
        """The operation has a URL now."""
        ...

    def moved(self, task: Task, elapsed: float) -> None:
        """The VM was looked at `elapsed` seconds into its operation, which goes on."""
        ...

    def ended(self, task: Task) -> None:
        """The task is over, or we stopped waiting for it."""
        ...


class Tasks:
    """Submits, waits, and keeps every task up to date.

    Args:
        ops: The Protocol.
        screen: Told of everything.
        usual: Seconds that such an operation usually takes; None while that is unknown.
    """

    def __init__(
        self, ops: VMOps, screen: Screen, usual: Callable[[Operation], float | None]
    ) -> None:
        """Ask nothing yet."""
        self._ops = ops
        self._screen = screen
        self._usual = usual
        self.all: list[Task] = []
        self._by_operation: dict[str, list[Task]] = {}

    def ask(self, verb: str, backend: str, params_list: Sequence[Mapping[str, Any]]) -> list[Task]:
        """One task per params dict, submitted side by side: accepted, done at once, or refused."""
        named = [str(params.get("vmName", "")) for params in params_list]
        tasks = [Task(name, backend, verb) for name in named]
        self.all += tasks
        for task in tasks:
            self._screen.asked(task)
        for index, status, result in self._run_many(verb, params_list):
            task = tasks[index]
            if status is Status.PENDING:
                self._accept(task, result)
            else:
                self._end(task, status, result)
        return tasks

    def _run_many(
        self, verb: str, params_list: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, Any, Result]]:
        from vmops.errors import InvalidParams, Problem

        try:
            return self._ops.run_many(verb, params_list)
        except InvalidParams as exc:
            # all VMs of a command share their params: a problem is told once, not for each of them
            told = (Problem(p.param.rpartition("].")[2], p.message) for p in exc.problems)
            raise InvalidParams(*dict.fromkeys(told)) from exc

    def resume(self, urls: Sequence[str]) -> list[Task]:
        """One task per operation URL, whoever asked for it.

        Raises:
            InvalidURL: One of them is malformed.
        """
        from vmops.operation import Operation

        tasks: list[Task] = []
        for url in urls:
            operation = Operation.from_url(url)
            tasks.append(Task(operation.vm, operation.backend, operation.action.value, url))
        self.all += tasks
        for task in tasks:
            self._accept(task, {"asyncResultsUrl": task.url})
        return tasks

    def wait(self, params: Mapping[str, Any]) -> None:
        """Wait until all that were accepted have ended, or the time is up.

        Args:
            params: What the waits need beside the URLs: `pollTimeout`, or nothing.
        """
        pending = [task for task in self.all if task.status is Status.PENDING]
        waits = [{**task.result, **params, "asyncResultsUrl": task.url} for task in pending]
        for index, status, result in self._ops.wait_many(waits):
            self._end(pending[index], status, result)

    def on_event(self, event: Event) -> None:
        """Take in what an observer was told."""
        if event.kind != "progress":
            return
        for task in self._by_operation.get(event.operation, ()):
            if task.usual is None:
                task.usual = event.expected
            task.phase = _phase(task, event.phase)
            task.began = time.time() - event.elapsed  # a backend's clock need not be ours
            self._screen.moved(task, event.elapsed)

    def _accept(self, task: Task, result: Mapping[str, Any]) -> None:
        from vmops.operation import Operation

        task.url = str(result["asyncResultsUrl"])
        task.result = result
        operation = Operation.from_url(task.url)
        task.vm, task.usual = operation.vm, self._usual(operation)
        task.phase = _phase(task, "second phase" if operation.phase > 1 else "pending")
        self._by_operation.setdefault(operation.id, []).append(task)
        self._screen.accepted(task)

    def _end(self, task: Task, status: Status, result: Mapping[str, Any]) -> None:
        task.phase = "over"
        task.status, task.result, task.ended = status, result, time.time()
        task.error = getattr(result, "error", None)
        self._screen.ended(task)


def _phase(task: Task, told: str) -> str:
    if told == "second phase":
        return "starting again"
    return _PHASES.get(task.action, task.action) if told in {"", "pending"} else told
