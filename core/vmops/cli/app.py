"""The program's commands, put together. Nothing heavier than typer is imported before one runs."""

# Each argument of a command is an option of the program, made one by typer.
# ruff: noqa: FBT002

from __future__ import annotations

from typing import Annotated

import typer

from vmops.cli import catalog, demo, doctor, housekeeping, looks, ssh, verbs

__all__ = ["app"]

_HELP = """Virtual machines on any cloud through one Protocol.

Every operation is one URL: what a command began, `vmops wait URL` finishes, in any process.

\b
Exit codes: 0 done, 1 the operation failed, 2 bad input or configuration,
3 something is missing on this machine, 4 timed out, 130 interrupted.
VMOPS_DEBUG=1 adds tracebacks to errors. NO_COLOR=1 turns colours off.
"""

# Plain help: rich's panels and shell completion would each cost more time than all the rest.
app = typer.Typer(
    help=_HELP,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(asked: bool) -> None:  # noqa: FBT001  (typer calls it so)
    if asked:
        from vmops import __version__

        typer.echo(f"vmops {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


for _group in (verbs, looks, housekeeping, ssh, catalog, doctor, demo):
    _group.add_to(app)
