"""Where what a command has to say goes: JSON, plain text, or rich where a terminal is watching."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Output", "printable"]


class Output:
    """A command's way to the outside: results go to stdout, everything else to stderr.

    Args:
        as_json: Whether stdout carries JSON and nothing else.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        """Look at the terminal once."""
        self.as_json = as_json
        self.rich = not as_json and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.above: Callable[[str], None] | None = None
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """Rich's console on stdout; it honours NO_COLOR by itself."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(highlight=False, markup=False, emoji=False)
        return self._console

    def document(self, value: object) -> None:
        """Write one JSON document."""
        typer.echo(json.dumps(value, indent=2, default=str))

    def record(self, value: object) -> None:
        """Write one line of JSON, at once: whoever reads it may act on it before we end."""
        typer.echo(json.dumps(value, default=str))
        sys.stdout.flush()

    def say(self, text: str, style: str = "") -> None:
        """Write a line of the result."""
        if self.rich:
            self.console.print(printable(text), style=style or None, soft_wrap=True)
        else:
            typer.echo(printable(text))

    def note(self, text: str) -> None:
        """Write a line about the work: to stderr, or above a live display that is running."""
        if self.above is not None:
            self.above(printable(text))
        else:
            typer.echo(printable(text), err=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Write rows in columns; plain text keeps one line per row, for grep and awk."""
        cells = [[printable(cell) for cell in row] for row in rows]
        if self.rich:
            from rich import box
            from rich.table import Table
            from rich.text import Text

            table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
            for row in cells:
                table.add_row(*(Text(cell, overflow="fold") for cell in row))
            self.console.print(table)
            return
        lines = [[column.upper() for column in columns], *cells]
        widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
        for line in lines:
            typer.echo(
                "  ".join(
                    cell.ljust(width) for cell, width in zip(line, widths, strict=True)
                ).rstrip()
            )


def printable(text: Any) -> str:  # noqa: ANN401  (anything has a text)
    """The text without control characters: names and messages from a cloud move no cursor."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(text))
