"""What happens in the demo, in order. All of it is real: nothing is told that was not seen."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from vmops.cli.actor import Actor, ActorFailed
from vmops.cli.exits import Interrupted
from vmops.cli.tasks import Task
from vmops.cli.timeline import Kill, Mark
from vmops.errors import CloudError, MissingDependency, VMOpsError
from vmops.operation import Operation
from vmops.protocol import Status

if TYPE_CHECKING:
    from vmops.cli.session import Session
    from vmops.cli.stage import Stage

__all__ = ["Play"]

_PATIENCE: Final = 600.0
"""Seconds that another process of the demo gets to say what we wait for."""


class Play:
    """Four VMs' life on one backend.

    Args:
        session: Where they live.
        stage: Told of everything that happens.
        names: The VMs' names, used by nobody else.
    """

    def __init__(self, session: Session, stage: Stage, names: Sequence[str]) -> None:
        """Do nothing yet."""
        self._session = session
        self._stage = stage
        self._names = list(names)
        self._marks: list[Mark] = []
        self._kills: list[Kill] = []
        self._began = time.time()

    def run(self) -> bool:
        """Whether all went well and no VM is left. Whatever happens, what was made is deleted.

        Raises:
            VMOpsError: What went wrong, after the clean-up.
        """
        stage = self._stage
        stage.begun(self._names, os.getpid())
        with self._cleaning_up():
            self._together("provision", "make four VMs side by side")
            self._together("stop", "shut them down and give their compute back")
            self._together("start", "boot them again, from the same disks")
            self._restart_by_doomed_processes()
            self._together("deprovision", "delete them and all that was made for them")
            left = self._left()
        stage.timeline(self._marks, self._kills)
        stage.left(left, time.time() - self._began)
        return not left

    def _together(self, verb: str, words: str) -> None:
        """One verb on all VMs, from asking to the end."""
        with self._stage.act(verb, words) as screen:
            tasks = self._session.tasks(screen)
            params = self._session.params_for(self._names)
            asked = tasks.ask(verb, self._session.backend, params)
            tasks.wait({})
        self._check(asked)
        for task in asked:
            self._mark(task, os.getpid(), os.getpid())
        self._stage.summary(verb, asked)

    def _check(self, tasks: Sequence[Task]) -> None:
        bad = [task for task in tasks if task.status is not Status.SUCCEEDED]
        if not bad:
            return
        first = bad[0]
        words = first.status.name.lower().replace("_", " ")
        self._stage.note(f"{first.action} {words} for {len(bad)} of {len(tasks)} VMs")
        raise first.error or CloudError(f"{first.action} of VM {first.vm!r}: {words}")

    def _mark(self, task: Task, asked_by: int, seen_by: int) -> None:
        began, ended = (_epoch(task.result[key]) for key in ("startTime", "endTime"))
        self._marks.append(Mark(task.vm, task.action, asked_by, seen_by, began, ended))

    def _restart_by_doomed_processes(self) -> None:
        place, backend = self._session.place, self._session.backend
        params = [word for text in place.params or () for word in ("-p", text)]
        options = [*place.options(), "--json"]
        with self._stage.act("restart", "asked for by another process, which is killed") as screen:
            caller = ["restart", *self._names, "--backend", backend, *params, *options]
            urls = self._kill_once_waiting(caller, "asked for the restarts and waited")
            tasks = self._shown(screen, urls)
            self._kill_once_waiting(["wait", *urls, *options], "waited, given only the URLs")
            with Actor(["wait", *urls, *options]) as heir:
                self._stage.resumed(heir.pid, urls)
                self._until_ended(heir, tasks, screen)
        self._check(tasks)
        for task in tasks:
            self._mark(task, self._kills[0].pid, heir.pid)
        self._stage.summary("restart", tasks)

    def _kill_once_waiting(self, arguments: Sequence[str], role: str) -> list[str]:
        """Start `vmops` with these arguments, SIGKILL it while it waits; the operations' URLs."""
        urls: dict[str, str] = {}
        with Actor(arguments) as actor:
            while len(urls) < len(self._names):
                said = actor.hear(_PATIENCE)
                if said["status"] != "PENDING":
                    why = said["error"]["message"] if said["error"] else said["status"]
                    raise ActorFailed(f"another process: {said['action']} of {said['vm']}: {why}")
                urls[said["vm"]] = said["url"]
            ended = {said["vm"] for said in actor.kill() if said["status"] == "SUCCEEDED"}
        self._kills.append(Kill(actor.pid, role, time.time()))
        open_ones = [name for name in self._names if name not in ended]
        self._stage.killed(actor.pid, role, open_ones, self._states())
        return [urls[name] for name in self._names]

    def _shown(self, screen: Any, urls: Sequence[str]) -> list[Task]:  # noqa: ANN401  (a Screen)
        tasks = []
        for name, url in zip(self._names, urls, strict=True):
            task = Task(name, self._session.backend, "restart", url, phase="restarting")
            task.usual = self._session.usual(Operation.from_url(url))
            screen.accepted(task)
            tasks.append(task)
        return tasks

    def _until_ended(self, actor: Actor, tasks: Sequence[Task], screen: Any) -> None:  # noqa: ANN401
        waiting = {task.vm: task for task in tasks}
        while waiting:
            said = actor.hear(_PATIENCE)
            if said["status"] == "PENDING":
                continue
            task = waiting.pop(said["vm"])
            task.status, task.result = Status[said["status"]], said["result"]
            task.ended = time.time()
            if said["error"]:
                task.error = CloudError(said["error"]["message"], hint=said["error"]["hint"])
            screen.ended(task)

    def _states(self) -> Mapping[str, str]:
        vms = {vm.name: vm.state.value for vm in self._session.ops.list_vms(self._session.params)}
        return {name: vms.get(name, "absent") for name in self._names}

    def _left(self) -> list[str]:
        """The VMs of this demo that the cloud still shows."""
        return [name for name, state in self._states().items() if state != "absent"]

    @contextmanager
    def _cleaning_up(self) -> Iterator[None]:
        try:
            yield
        except BaseException as exc:
            if isinstance(exc, KeyboardInterrupt):
                self._stage.note("interrupted; deleting what was made")
            else:
                self._stage.failed(exc)
                if isinstance(exc, MissingDependency) and "sim" in self._session.registry.names():
                    self._stage.note("without VMs, the same flow: vmops demo --backend sim")
            self._clean_up()
            if isinstance(exc, KeyboardInterrupt):
                raise Interrupted from None
            raise

    def _clean_up(self) -> None:
        try:
            self._delete_all()
            left = self._left()
        except (VMOpsError, KeyboardInterrupt) as exc:
            self._stage.note(f"the clean-up failed: {str(exc) or type(exc).__name__}")
            left = self._names
        if left:
            where = self._session.backend
            self._stage.note(f"to clean up: vmops deprovision {' '.join(left)} --backend {where}")
        else:
            self._stage.left([], time.time() - self._began)

    def _delete_all(self) -> None:
        ops = self._session.ops
        pending: list[Mapping[str, Any]] = []
        params = self._session.params_for(self._names)
        for _, status, result in ops.run_many("deprovision", params):
            if status is Status.PENDING:
                pending.append(result)
            elif result.error is not None:
                raise result.error
        for _ in ops.wait_many(pending):
            pass


def _epoch(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()
