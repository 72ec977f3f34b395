"""The demo's timeline: who asked for what, who saw it end, when, and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vmops.cli.output import Output

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Kill", "Mark", "show_timeline"]

_WIDTH: Final = 32
_COLOURS: Final = {
    "provision": "green",
    "stop": "yellow",
    "start": "cyan",
    "restart": "magenta",
    "deprovision": "red",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """One operation: asked for by one process, seen to end by the same or another one.

    Args:
        vm: The VM's name.
        action: What was asked.
        asked_by: Id of the process that asked.
        seen_by: Id of the process that saw the end.
        began: Epoch seconds at which it was asked.
        ended: Epoch seconds at which it was seen to end.
    """

    vm: str
    action: str
    asked_by: int
    seen_by: int
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Kill:
    """A process that was killed.

    Args:
        pid: Its id.
        role: What it was doing.
        at: Epoch seconds.
    """

    pid: int
    role: str
    at: float


def show_timeline(out: Output, marks: Sequence[Mark], kills: Sequence[Kill]) -> None:
    """Draw all operations and kills on one scale, in the order in which they began."""
    first = min(mark.began for mark in marks)
    span = max(max(mark.ended for mark in marks) - first, 0.001)
    events: list[Mark | Kill] = [*marks, *kills]
    events.sort(key=lambda event: event.at if isinstance(event, Kill) else event.began)
    if out.rich:
        out.console.print(_drawn(events, first, span))
        return
    rows = [_row(event, first, span) for event in events]
    out.table(("at", "vm", "what", "asked by", "seen by", "when", "took"), rows)


def _row(event: Mark | Kill, first: float, span: float) -> tuple[str, ...]:
    if isinstance(event, Kill):
        column = min(int((event.at - first) / span * _WIDTH), _WIDTH - 1)
        when = f"{'.' * column}X{'.' * (_WIDTH - column - 1)}"
        return f"{event.at - first:.2f} s", "", "kill -9", str(event.pid), "", when, ""
    begin = min(int((event.began - first) / span * _WIDTH), _WIDTH - 1)
    length = max(round((event.ended - event.began) / span * _WIDTH), 1)
    bar = ("." * begin + "=" * length)[:_WIDTH].ljust(_WIDTH, ".")
    return (
        f"{event.began - first:.2f} s",
        event.vm,
        event.action,
        str(event.asked_by),
        str(event.seen_by),
        bar,
        f"{event.ended - event.began:.2f} s",
    )


def _drawn(events: Sequence[Mark | Kill], first: float, span: float) -> Table:
    from rich import box
    from rich.bar import Bar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="Who did what when", expand=True)
    table.add_column("at", justify="right", no_wrap=True)
    for name in ("vm", "what", "asked by", "seen by"):
        table.add_column(name, no_wrap=True)
    table.add_column("when", ratio=1, min_width=12)
    table.add_column("took", justify="right", no_wrap=True)
    for event in events:
        at, vm, what, asked, seen, _, took = _row(event, first, span)
        if isinstance(event, Kill):
            point = event.at - first
            bar = Bar(span, point, point + span / 60, color="bright_red")
            table.add_row(at, Text("kill -9", "bold red"), "", Text(asked, "bold red"), "", bar, "")
            continue
        bar = Bar(span, event.began - first, event.ended - first, color=_COLOURS[event.action])
        seen_text = Text(seen, "bold" if seen != asked else "")
        table.add_row(at, vm, Text(what, _COLOURS[event.action]), asked, seen_text, bar, took)
    return table
