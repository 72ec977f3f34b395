"""What vmops logs, as notes of the program that runs."""

from __future__ import annotations

import logging

from vmops.cli.output import Output

__all__ = ["log_to"]


class _Notes(logging.Handler):
    """Writes log records as a command's notes."""

    def __init__(self, out: Output) -> None:
        super().__init__()
        self._out = out

    def emit(self, record: logging.LogRecord) -> None:
        self._out.note(f"{record.levelname.lower()}: {record.getMessage()}")


def log_to(out: Output, *, debugging: bool) -> None:
    """Let warnings (when debugging: everything) of vmops reach the user once."""
    logger = logging.getLogger("vmops")
    for handler in [h for h in logger.handlers if isinstance(h, _Notes)]:
        logger.removeHandler(handler)
    notes = _Notes(out)
    if not debugging:
        # the facade logs each failure for programs that read no results; we show them ourselves
        notes.addFilter(lambda record: record.module != "facade")
    logger.addHandler(notes)
    logger.setLevel(logging.DEBUG if debugging else logging.WARNING)
    logger.propagate = False
