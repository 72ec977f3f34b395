"""How progress looks: plain lines when nobody watches, a live table for a terminal."""

from __future__ import annotations

import io
from typing import Any

import pytest

from vmops.cli.live import LiveScreen
from vmops.cli.output import Output
from vmops.cli.screens import LineScreen, words_for
from vmops.cli.tasks import Task, Tasks, worst
from vmops.errors import InvalidParams, MissingDependency, NoCapacity, Unavailable
from vmops.plugins import Event
from vmops.protocol import Status


class Paper(Output):
    """An output that keeps what was written."""

    def __init__(self, *, rich: bool = False, width: int = 100, height: int = 25) -> None:
        super().__init__()
        self.rich = rich
        self.file = io.StringIO()
        self.notes: list[str] = []
        self._size = (width, height)

    @property
    def console(self) -> Any:
        from rich.console import Console

        if self._console is None:
            width, height = self._size
            self._console = Console(
                file=self.file, force_terminal=True, width=width, height=height, markup=False
            )
        return self._console

    def say(self, text: str, style: str = "") -> None:
        self.notes.append(text)

    def note(self, text: str) -> None:
        self.notes.append(text)


def task(vm: str = "web", **more: Any) -> Task:
    """A task that is under way."""
    return Task(vm, "sim", "start", "vmops+sim://...", phase="starting", **more)


def test_a_plain_line_for_each_phase_and_a_heartbeat() -> None:
    """Looks that bring nothing new are silent, but not for longer than 15 s."""
    paper, one = Paper(), task(usual=20.0)
    screen = LineScreen(paper)
    screen.accepted(one)
    for elapsed in (1.0, 14.0, 15.5, 16.0, 31.0):
        screen.moved(one, elapsed)
    one.phase = "starting again"
    screen.moved(one, 32.0)
    assert paper.notes == [
        "web: starting (usually 20.00 s)",
        "web: starting, 15.5 s so far",
        "web: starting, 31.0 s so far",
        "web: starting again, 32.0 s so far",
    ]


def test_the_live_table_shows_phase_time_and_habit() -> None:
    """One row per VM that is under way: what it does, for how long, how long that usually takes."""
    paper = Paper(rich=True)
    screen = LiveScreen(paper)
    screen.asked(one := task(usual=20.0))
    screen.asked(task("db"))
    paper.console.print(screen._table())
    text = paper.file.getvalue()
    assert "web" in text
    assert "starting" in text
    assert "usually 20.0 s" in text
    one.status = Status.SUCCEEDED
    screen.ended(one)
    assert paper.notes == ["web is running after 0.00 s (usually 20.00 s)"]
    assert [t.vm for t in screen._open] == ["db"]


def test_more_vms_than_lines_are_counted() -> None:
    """The table never outgrows the terminal: the rest is a number."""
    paper = Paper(rich=True, height=10)
    screen = LiveScreen(paper)
    for index in range(1000):
        screen.accepted(task(f"vm-{index}"))
    table = screen._table()
    assert table.row_count == 8
    paper.console.print(table)
    assert "and 993 more" in paper.file.getvalue()


def test_a_live_display_leaves_only_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it runs, notes go above the table; afterwards they go where they always go."""
    paper = Paper(rich=True)
    with LiveScreen(paper) as screen:
        screen.accepted(task())
        assert paper.above is not None
        Output.note(paper, "look here")
    assert paper.above is None
    assert "look here" in paper.file.getvalue()


def test_no_color_means_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR takes the colours out of what a terminal gets."""
    monkeypatch.setenv("NO_COLOR", "1")
    paper = Paper(rich=True)
    Output.say(paper, "green?", "green")
    assert paper.file.getvalue() == "green?\n"


def test_progress_reaches_every_task_of_that_operation() -> None:
    """Events are matched by operation; what the journal says is usual goes before a guess."""
    paper = Paper()
    tasks = Tasks(None, screen := LineScreen(paper), lambda _: 9.0)  # type: ignore[arg-type]
    url = _url("web", "restart", "0b9f")
    (one,) = tasks.resume([url])
    assert (one.usual, one.phase, one.vm) == (9.0, "restarting", "web")
    event = Event("progress", 100.0, "sim", "web", "restart", "0b9f", "second phase", 3.0, 4.0)
    tasks.on_event(event)
    tasks.on_event(Event("progress", 100.0, "sim", "web", "restart", "other", "pending", 9.0))
    assert (one.phase, one.usual) == ("starting again", 9.0)
    assert paper.notes[-1] == "web: starting again, 3.0 s so far"
    assert screen is not None


def _url(vm: str, action: str, id_: str) -> str:
    from vmops.operation import Action, Operation

    return Operation("sim", vm, Action(action), id=id_, at=1.0).to_url()


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ([], 0),
        ([(Status.SUCCEEDED, None), (Status.PENDING, None)], 0),
        ([(Status.SUCCEEDED, None), (Status.TIMED_OUT, None)], 4),
        ([(Status.TIMED_OUT, Unavailable("no answer"))], 4),
        ([(Status.TIMED_OUT, None), (Status.FAILED, NoCapacity("full"))], 1),
        ([(Status.FAILED, NoCapacity("full")), (Status.FAILED, InvalidParams())], 2),
        ([(Status.FAILED, NoCapacity("full")), (Status.FAILED, None)], 1),
        ([(Status.FAILED, MissingDependency("qemu", install="x")), (Status.TIMED_OUT, None)], 3),
    ],
)
def test_the_worst_end_decides_the_exit_code(
    ends: list[tuple[Status, Exception | None]], code: int
) -> None:
    """What is missing here comes before what failed, and that before what took too long."""
    tasks = []
    for status, error in ends:
        one = task()
        one.status, one.error = status, error
        tasks.append(one)
    assert worst(tasks) == code


def test_a_restart_that_nothing_confirms_says_so() -> None:
    """No line claims more than the result does."""
    task = Task("web", "x", "restart", url="vmops+x://web/restart", status=Status.SUCCEEDED)
    task.result = {"restartConfirmed": False, "privateIp": "10.0.0.1"}
    assert words_for(task).endswith("10.0.0.1  (the cloud does not confirm restarts)")
    task.result = {"restartConfirmed": True}
    assert "confirm" not in words_for(task)
