"""`vmops demo`: four VMs through their whole life, with the processes that drive them killed."""

# Each argument of a command is an option of the program, made one by typer.
# ruff: noqa: FBT002

from __future__ import annotations

import json
import os
import secrets
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import typer

from vmops.cli import options
from vmops.cli.exits import ExitCode, reporting
from vmops.cli.options import read_config
from vmops.cli.output import Output
from vmops.cli.session import Place, Session

__all__ = ["add_to"]

_COUNT = 4


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(_demo)


def _demo(
    backend: options.Backend = None,
    params: options.Params = None,
    config: options.ConfigFile = None,
    journal: options.Journal = None,
    as_json: options.Json = False,
) -> None:
    """Take four VMs through their whole life.

    Provision, stop, start, restart, deprovision, all side by side. The process that asks for the
    restarts is killed with SIGKILL, then one that waits for them with nothing but their URLs; a
    third one finishes the wait.

    --json writes one line per event, each with the keys event and time, and with the facts of that
    event: begun, accepted, ended, killed, resumed, left, done, failed.
    """
    out = Output(as_json=as_json)
    with reporting(out), _terminated():
        wanted = Place(backend, config, journal, params)
        with _seen_by_all(wanted) as place, Session(place) as session:
            from vmops.cli.play import Play
            from vmops.cli.stage import Stage

            suffix = secrets.token_hex(3)  # so that two demos on one machine do not meet
            names = [f"demo-{suffix}-{number}" for number in range(1, _COUNT + 1)]
            stage = Stage(out, session.backend)
            went_well = Play(session, stage, names).run()
            raise typer.Exit(ExitCode.DONE if went_well else ExitCode.FAILED)


@contextmanager
def _seen_by_all(place: Place) -> Iterator[Place]:
    """The same place, on a cloud that other processes see too.

    A backend whose cloud may live in one process alone has a classmethod
    `shared_settings(cls, settings, folder)`: the settings that put such a cloud into a folder,
    empty where the given settings do so already.
    """
    from vmops.binding import Binder
    from vmops.plugins import Registry

    config = read_config(place.config, place.backend)
    cls = Registry().load(str(config["backend"]))
    share = getattr(cls, "shared_settings", None)
    if share is None:
        yield place
        return
    binder = Binder(cls.name, cls.settings_type, cls.params_type, cls.vm_name, config)
    with tempfile.TemporaryDirectory(prefix="vmops-demo-") as folder:  # only its owner can read it
        cloud = Path(folder, "cloud")
        cloud.mkdir(mode=0o700)
        more = share(binder.bind({}).settings, cloud)
        file = Path(folder, "config.json")
        file.write_text(json.dumps({**config, **more}, default=str))
        yield replace(place, config=file) if more else place


@contextmanager
def _terminated() -> Iterator[None]:
    """Let `timeout`, a closing terminal or an impatient CI lead to a clean-up, as Ctrl-C does."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    numbers = [signal.SIGTERM] + ([signal.SIGHUP] if os.name == "posix" else [])
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
