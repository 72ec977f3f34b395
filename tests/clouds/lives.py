"""Processes that live a VM's life and are killed at one of their calls to a cloud.

Run as a program it is the mother of them: it imports everything once, lives one life to warm up,
and forks one child for each line on its stdin, which tells what to do; its own lines tell what
became of it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Self

VERBS = ("provision", "stop", "start", "restart", "deprovision")


@dataclass(frozen=True)
class Life:
    """What a process is to do.

    Args:
        config: What leads vmops to the cloud.
        journal: The journal's file.
        params: Of each VM, for its create.
        verb: Place in VERBS of the verb to begin with.
        pending: URLs of that verb's operations, if it was asked for already.
        kill_at: The number of the call at which the process is killed; 0 for none.
        after: Whether it is killed when the call was answered, instead of before it leaves.
    """

    config: dict[str, Any]
    journal: str
    params: list[dict[str, Any]]
    verb: int = 0
    pending: list[str] = field(default_factory=list)
    kill_at: int = 0
    after: bool = False


@dataclass(frozen=True)
class Fate:
    """What became of a process: what it was at last, and how it ended."""

    verb: int
    pending: list[str]
    calls: list[str]
    exit_code: int

    @property
    def killed(self) -> bool:
        """Whether it met the call at which it was to be killed."""
        return self.exit_code == -signal.SIGKILL


class Mother:
    """Starts processes that are forked, so that imports are paid for once."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        assert self._process.returncode == 0

    def live(self, life: Life) -> Fate:
        """The fate of a process that lives this life."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(life)) + "\n")
        self._process.stdin.flush()
        verb, pending, calls = life.verb, life.pending, []
        for line in self._process.stdout:
            said = json.loads(line)
            if "exit" in said:
                return Fate(verb, pending, calls, said["exit"])
            if "call" in said:
                calls.append(said["call"])
            else:
                verb, pending = said["verb"], said["pending"]
        raise AssertionError("the mother of all processes has ended")


def killed_everywhere(
    scene: Any,
    mother: Mother,
    begin: Callable[[], Life],
    audit: Callable[[Fate, Fate], None],
    *,
    after: bool,
    step: int = 1,
) -> int:
    """How many calls a life has: it was ended at every `step`-th, and gone on with.

    Args:
        scene: Gets a journal of its own for each life.
        mother: Starts the processes.
        begin: Makes the cloud new, and a life in it.
        audit: Raises AssertionError if something does not hold after two processes' life.
        after: Whether they are killed when a call was answered, instead of before it leaves.
        step: One call in so many.
    """
    for number in count(1, step):
        scene.journal = scene.journal.parent.parent / f"{number}-{after}" / "journal.db"
        life = begin()
        first = mother.live(replace(life, kill_at=number, after=after))
        if not first.killed:
            assert first.exit_code == 0
            audit(first, first)
            return number
        second = mother.live(replace(life, verb=first.verb, pending=first.pending))
        try:
            audit(first, second)
        except AssertionError as exc:
            exc.add_note(f"killed at call {number} ({'after' if after else 'before'} it): {first}")
            raise
    raise AssertionError("unreachable")


def _tell(**said: Any) -> None:
    os.write(1, (json.dumps(said) + "\n").encode())


def _kill_at(number: int, *, after: bool) -> None:
    """Let this process die at its request of this number: all SDKs send theirs by urllib3."""
    from urllib3.connectionpool import HTTPConnectionPool

    send = HTTPConnectionPool.urlopen
    made = [0]

    def counted(self: Any, method: str, url: str, body: Any = None, *rest: Any, **more: Any) -> Any:
        made[0] += 1
        text = body.decode() if isinstance(body, bytes) else str(body)
        action = text.partition("Action=")[2].partition("&")[0]  # EC2's
        _tell(call=action or f"{method} {url.partition('?')[0]}")
        if made[0] == number and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = send(self, method, url, body, *rest, **more)
        if made[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    HTTPConnectionPool.urlopen = counted


@cache
def _registry() -> Any:
    from vmops.plugins import Registry

    return Registry()


def _live(life: Life) -> None:
    """From the verb it begins with to the end of the VMs' life; anything unexpected raises."""
    from vmops import Status, VMOps

    registry = _registry()
    pending = [{"asyncResultsUrl": url} for url in life.pending]
    with VMOps(life.config, journal=life.journal, registry=registry) as ops:
        for number, verb in enumerate(VERBS[life.verb :], life.verb):
            if not pending:
                _tell(verb=number, pending=[])
                some = [
                    params if verb == "provision" else {"vmName": params["vmName"]}
                    for params in life.params
                ]
                for _, status, result in ops.run_many(verb, some):
                    assert status is not Status.FAILED, f"{verb}: {result.error!r}"
                    if status is Status.PENDING:
                        pending.append(result)
                _tell(verb=number, pending=[one["asyncResultsUrl"] for one in pending])
            for _, status, result in ops.wait_many([{**one, "pollTimeout": 30} for one in pending]):
                assert status is Status.SUCCEEDED, f"{verb}: {status} {result.error!r}"
            pending = []


def _warm_up(life: Life) -> None:
    """Import whatever is imported late, by asking for a VM that there is not."""
    from vmops import VMOps

    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.db"
        with VMOps(life.config, journal=journal, registry=_registry()) as ops:
            ops.recover()
            ops.describe({"vmName": "nobody"})


def main() -> None:
    """Fork a child for each line."""
    logging.disable()  # a refusal is told by what is raised
    warm = False
    for line in sys.stdin:
        life = Life(**json.loads(line))
        if not warm:
            _warm_up(life)
            warm = True
        child = os.fork()
        if child == 0:
            _kill_at(life.kill_at, after=life.after)
            try:
                _live(life)
            except BaseException:  # noqa: BLE001  (the child must never go on as its mother)
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        _tell(exit=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
