"""The program `vmops`. Only `main` is promised; the commands and their options are in its help."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the program with the process's own arguments; ends the process with its exit code."""
    from vmops.cli.app import app

    app()
