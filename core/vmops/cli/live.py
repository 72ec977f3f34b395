"""The live display: what is going on, and for how long, below the lines about what is over."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from functools import partial
from typing import Self

from rich.console import RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from vmops.cli.output import Output, printable
from vmops.cli.screens import show_end
from vmops.cli.tasks import Task

__all__ = ["LiveScreen"]


class LiveScreen(AbstractContextManager["LiveScreen"]):
    """A table of what is going on, redrawn in place; it is gone at the end, the lines stay.

    Args:
        out: Where to.
        each: Whether every end gets a line of its own; if not, whoever asked tells of it.
    """

    def __init__(self, out: Output, *, each: bool = True) -> None:
        """Draw nothing yet."""
        self._out = out
        self._each = each
        self._lock = threading.Lock()
        self._open: list[Task] = []
        self._spinner = Spinner("dots")
        self._live = Live(
            console=out.console,
            get_renderable=self._table,
            refresh_per_second=10,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        # soft_wrap: a URL that is cut into lines cannot be copied
        self._out.above = partial(self._out.console.print, soft_wrap=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Take the table away."""
        self._out.above = None
        self._live.stop()

    def asked(self, task: Task) -> None:
        """Show it from now on."""
        with self._lock:
            self._open.append(task)

    def accepted(self, task: Task) -> None:
        """Show it, if it is another process's."""
        with self._lock:
            if task not in self._open:
                self._open.append(task)

    def moved(self, task: Task, elapsed: float) -> None:
        """Nothing: the next drawing shows it."""

    def ended(self, task: Task) -> None:
        """Take it off the table and say how it ended."""
        with self._lock:
            if task in self._open:
                self._open.remove(task)
        if self._each:
            show_end(self._out, task)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        with self._lock:
            shown = self._open[: max(self._out.console.height - 3, 1)]
            hidden = len(self._open) - len(shown)
        now = time.time()
        for task in shown:
            elapsed = max(now - task.began, 0.0)
            table.add_row(
                self._spinner,
                Text(printable(task.vm), style="bold"),
                Text(printable(task.phase)),
                Text(f"{elapsed:6.1f} s"),
                *_usual(task.usual, elapsed),
            )
        if hidden:
            table.add_row("", Text(f"and {hidden} more", style="dim"))
        return table


def _usual(usual: float | None, elapsed: float) -> tuple[RenderableType, RenderableType]:
    if not usual:
        return "", ""
    bar = ProgressBar(total=usual, completed=min(elapsed, usual), width=20)
    return bar, Text(f"usually {usual:.1f} s", style="dim")
