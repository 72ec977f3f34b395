"""`vmops provision | start | stop | restart | deallocate | deprovision`, and `vmops wait`."""

# Each argument of a command is an option of the program, made one by typer.
# ruff: noqa: FBT002, PLR0913, PLR0917

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vmops.cli import options
from vmops.cli.exits import ExitCode, Interrupted, reporting
from vmops.cli.output import Output
from vmops.cli.session import Place, Session
from vmops.cli.tasks import ASKING
from vmops.protocol import Status

if TYPE_CHECKING:
    from vmops.cli.tasks import Tasks

__all__ = ["add_to", "resume_line"]

_JSON: Final = """
\b
--json writes one line per VM when its operation is accepted and one when it is over, with the keys
vm, backend, action, status (PENDING, SUCCEEDED, FAILED, TIMED_OUT), url, result, error
(null, or code, message, hint, install, providerCode, requestId, mayRemain).
"""
_VERBS: Final = {
    "provision": "Make VMs, or start those that exist and are stopped.",
    "start": "Start stopped VMs.",
    "stop": "Shut VMs down; -p stopMode=keep holds on to their compute.",
    "restart": "Shut running VMs down and boot them again.",
    "deallocate": "Shut VMs down and release their compute.",
    "deprovision": "Delete VMs and all that was made for them.",
}


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for verb, words in _VERBS.items():
        _add_verb(app, verb, words)
    app.command("wait")(_wait)


def _add_verb(app: typer.Typer, verb: str, words: str) -> None:
    @app.command(verb, help=f"{words}\n{_JSON}")
    def command(
        names: options.Names,
        backend: options.Backend = None,
        params: options.Params = None,
        wait: options.Wait = True,
        timeout: options.Timeout = None,
        config: options.ConfigFile = None,
        journal: options.Journal = None,
        as_json: options.Json = False,
    ) -> None:
        out = Output(as_json=as_json)
        with reporting(out):
            place = Place(backend, config, journal, params)
            raise typer.Exit(_run(out, place, verb, names, wait=wait, timeout=timeout))


def _run(
    out: Output,
    place: Place,
    verb: str,
    names: Sequence[str],
    *,
    wait: bool,
    timeout: float | None,
) -> ExitCode:
    from vmops.cli.screens import screen_for
    from vmops.cli.tasks import worst

    with Session(place) as session:
        params_list = session.params_for(names, **_patience(timeout))
        action = verb
        if verb == "deallocate":
            action = "stop"
            # in snake_case: a contradicting stopMode in -p is then refused, not overridden
            params_list = [{**params, "stop_mode": "release"} for params in params_list]
        with screen_for(out) as screen:
            tasks = session.tasks(screen)
            with _resumable(out, place, tasks):
                tasks.ask(action, session.backend, params_list)
                if wait:
                    tasks.wait(_patience(timeout))
        if not wait and not out.as_json:
            for task in tasks.all:
                if task.is_open:
                    out.say(f"{task.vm}: {resume_line([task.url], place)}")
        return worst(tasks.all)


def _wait(
    urls: Annotated[
        list[str],
        typer.Argument(metavar="URL", help="Operation URLs; `-` reads them from stdin."),
    ],
    params: options.Params = None,
    timeout: options.Timeout = None,
    config: options.ConfigFile = None,
    journal: options.Journal = None,
    as_json: options.Json = False,
) -> None:
    """Wait for operations, whoever began them.

    A URL is all that is needed: it comes from --no-wait, --json, `vmops ops`, or another program.
    """
    out = Output(as_json=as_json)
    with reporting(out):
        wanted = list(dict.fromkeys(_from_stdin() if urls == ["-"] else urls))
        raise typer.Exit(_resume(out, Place(None, config, journal, params), wanted, timeout))


_wait.__doc__ = f"{inspect.getdoc(_wait)}\n{_JSON}"  # without its indentation, also before 3.13


def _from_stdin() -> list[str]:
    return sys.stdin.read().split()


def _resume(out: Output, place: Place, urls: Sequence[str], timeout: float | None) -> ExitCode:
    from vmops.cli.screens import screen_for
    from vmops.cli.tasks import worst
    from vmops.errors import ConfigError
    from vmops.operation import Operation

    backends = sorted({Operation.from_url(url).backend for url in urls})
    if len(backends) > 1 and place.config is not None:
        message = f"the URLs are of {' and '.join(backends)}; with --config, wait for each apart"
        raise ConfigError(message)
    place = Place(backends[0] if backends else None, place.config, place.journal, place.params)
    with Session(place, one_backend=len(backends) == 1) as session, screen_for(out) as screen:
        tasks = session.tasks(screen)
        with _resumable(out, place, tasks):
            tasks.resume(urls)
            tasks.wait({**session.params, **_patience(timeout)})
        return worst(tasks.all)


def _patience(timeout: float | None) -> dict[str, float]:
    return {} if timeout is None else {"pollTimeout": timeout}


@contextmanager
def _resumable(out: Output, place: Place, tasks: Tasks) -> Iterator[None]:
    """Whatever is still open afterwards, say how to go on waiting for it."""
    try:
        yield
    except KeyboardInterrupt:
        unfinished = [task.url for task in tasks.all if task.is_open]
        noun = "operation goes" if len(unfinished) == 1 else "operations go"
        if unfinished:
            out.note(f"interrupted; the {noun} on. To wait again:")
            out.note(f"  {resume_line(unfinished, place)}")
        unsure = [task.vm for task in tasks.all if task.phase == ASKING]
        if unsure:
            out.note(f"interrupted while asking for {', '.join(unsure)}; to see what was accepted:")
            out.note("  vmops ops --open")
        raise Interrupted from None
    late = [task.url for task in tasks.all if task.status is Status.TIMED_OUT]
    if late and not out.as_json:
        out.note(f"to wait again: {resume_line(late, place)}")


def resume_line(urls: Sequence[str], place: Place) -> str:
    """The command that waits for these operations, ready for a shell."""
    return shlex.join(["vmops", "wait", *place.options(), *urls])
