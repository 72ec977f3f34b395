"""Exit codes, and how an error looks: the message, the hint, the line that installs what lacks."""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from vmops.cli.output import Output
from vmops.errors import (
    CloudError,
    ConfigError,
    JournalError,
    MissingDependency,
    PluginError,
    VMOpsError,
)

__all__ = [
    "ExitCode",
    "Interrupted",
    "debugging",
    "describe_error",
    "exit_code",
    "reporting",
    "show_error",
]


class ExitCode(enum.IntEnum):
    """What the process ends with."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    MISSING = 3
    TIMED_OUT = 4
    INTERRUPTED = 130


class Interrupted(Exception):  # noqa: N818  (a signal, not a failure)
    """Ctrl-C was met, and what the user has to know has been said."""


def exit_code(error: BaseException | None) -> ExitCode:
    """The exit code that an error leads to."""
    if isinstance(error, MissingDependency):
        return ExitCode.MISSING
    if isinstance(error, PluginError) and isinstance(error.__cause__, ImportError):
        return ExitCode.MISSING
    if isinstance(error, (ConfigError, JournalError)):
        return ExitCode.USAGE
    return ExitCode.FAILED


def describe_error(error: BaseException) -> dict[str, str]:
    """An error for scripts; always the same keys, empty where there is nothing to say."""
    known = {"hint": "", "provider_code": "", "request_id": "", "remains": "", "install": ""}
    said = {name: str(getattr(error, name, "") or "") for name in known}
    message = error.message if isinstance(error, CloudError) else str(error)
    return {
        "code": error.code if isinstance(error, VMOpsError) else type(error).__name__,
        "message": message or repr(error),
        "hint": said["hint"],
        "install": said["install"],
        "providerCode": said["provider_code"],
        "requestId": said["request_id"],
        "mayRemain": said["remains"],
    }


_METHOD: Final = re.compile(r"\bvm_(provision|start|stop|restart|deallocate|deprovision)\b")
"""Hints name methods of the Protocol; on the command line these are commands."""
_LABELS: Final = {
    "providerCode": "provider code",
    "requestId": "request id",
    "mayRemain": "may remain",
    "hint": "next",
}


def show_error(out: Output, error: BaseException, about: str = "") -> None:
    """Write an error for people, to stderr."""
    said = describe_error(error)
    out.note(f"{about}{said['code']}: {said['message']}")
    if said["install"]:
        out.note(f"  install it with: {said['install']}")
        return
    said["hint"] = _METHOD.sub(r"`vmops \1`", said["hint"])
    for key, label in _LABELS.items():
        if said[key]:
            out.note(f"  {label}: {said[key]}")
    if not isinstance(error, VMOpsError):
        out.note("  this is a bug in vmops or in a plugin; VMOPS_DEBUG=1 shows where it is")


@contextmanager
def reporting(out: Output) -> Iterator[None]:
    """Turn what escapes from a command into its message and its exit code."""
    from vmops.cli.logs import log_to

    log_to(out, debugging=debugging())
    try:
        yield
    except Interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except KeyboardInterrupt:
        out.note("interrupted")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except BrokenPipeError:
        raise  # whoever read our output has gone; typer ends quietly
    except Exception as exc:
        if isinstance(exc, (typer.Exit, typer.Abort)):
            raise
        code = exit_code(exc)
        if out.as_json:
            out.record({"error": describe_error(exc), "exitCode": int(code)})
        else:
            show_error(out, exc, "error: ")
        if debugging():
            import traceback

            traceback.print_exception(exc)
        raise typer.Exit(code) from exc


def debugging() -> bool:
    """Whether the user wants to see what happens inside."""
    return os.environ.get("VMOPS_DEBUG", "") not in {"", "0"}
