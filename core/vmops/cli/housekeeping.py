"""`vmops recover`, `vmops reap`, `vmops renew`: what dead processes left, what nobody needs."""

# Each argument of a command is an option of the program, made one by typer.
# ruff: noqa: FBT002, PLR0913, PLR0917

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmops.cli import options
from vmops.cli.exits import ExitCode, reporting
from vmops.cli.output import Output
from vmops.cli.session import Place, Session

if TYPE_CHECKING:
    from vmops.reaping import Reaping
    from vmops.recovery import Recovery

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("recover")(_recover)
    app.command("reap")(_reap)
    app.command("renew")(_renew)


def _recover(
    wait: Annotated[
        bool, typer.Option("--wait", help="Look again until nothing is unfinished.")
    ] = False,
    backend: options.Backend = None,
    params: options.Params = None,
    config: options.ConfigFile = None,
    journal: options.Journal = None,
    as_json: options.Json = False,
) -> None:
    """Finish what killed processes left: find VMs they asked for, delete what they were deleting.

    Nothing is created, and what a living process is at work on is left to it. Without --backend
    and --config this is about every place that the journal knows.

    --json writes one line per VM with the keys vm, backend, was (INTENT, ACCEPTED, DELETING, or an
    operation's action), found (live, gone, failed, abandoned, deleting, waiting, trouble), until,
    url, error. Exit code 1: there was trouble; 4: something is unfinished.
    """
    out = Output(as_json=as_json)
    with reporting(out), _session(backend, params, config, journal) as session:
        while True:
            found = session.ops.recover(session.params)
            _show_recovered(out, found)
            open_until = [item.until for item in found if item.until]
            if not (wait and open_until):
                break
            time.sleep(max(min(open_until) - time.time(), 1.0))
        raise typer.Exit(_exit_code(found))


def _exit_code(found: Sequence[Recovery]) -> ExitCode:
    from vmops.recovery import Found

    if any(item.found is Found.TROUBLE for item in found):
        return ExitCode.FAILED
    return ExitCode.TIMED_OUT if any(item.until for item in found) else ExitCode.DONE


def _show_recovered(out: Output, found: Sequence[Recovery]) -> None:
    if out.as_json:
        for item in found:
            out.record(
                {
                    "vm": item.vm,
                    "backend": item.backend,
                    "was": item.was,
                    "found": item.found.value,
                    "until": _iso(item.until),
                    "url": item.url,
                    "error": str(item.error) if item.error else None,
                }
            )
        return
    if not found:
        out.note("nothing is unfinished")
        return
    rows = [(r.backend, r.vm, r.was, r.found.value, _remark(r)) for r in found]
    out.table(("backend", "vm", "was", "found", "remark"), rows)


def _remark(item: Recovery) -> str:
    if item.error is not None:
        return str(item.error)
    return f"look again at {_local(item.until)}" if item.until else ""


def _reap(
    yes: Annotated[bool, typer.Option("--yes", help="Delete them; else only list them.")] = False,
    install_id: Annotated[
        str | None,
        typer.Option("--install-id", metavar="ID", help="Of a lost journal: its expired VMs."),
    ] = None,
    unrecorded: Annotated[
        bool, typer.Option("--unrecorded", help="With --install-id: all the VMs of that install.")
    ] = False,
    backend: options.Backend = None,
    params: options.Params = None,
    config: options.ConfigFile = None,
    journal: options.Journal = None,
    as_json: options.Json = False,
) -> None:
    """Find VMs of ours that nobody needs: past their ttl, or finished with. Deletes with --yes.

    Without --backend and --config this is about every place that the journal knows. A VM of this
    install that no row of the journal knows is listed, and left alone.

    --json writes an array of objects with the keys vm, id, backend, state, reason (expired,
    finished, older, unrecorded), due, url, error. Exit code 1: something could not be deleted.
    """
    out = Output(as_json=as_json)
    with reporting(out), _session(backend, params, config, journal) as session:
        found = session.ops.reap(
            session.params, yes=yes, install_id=install_id, unrecorded=unrecorded
        )
        _show_reaped(out, found, yes=yes)
        failed = any(item.error is not None for item in found)
        raise typer.Exit(ExitCode.FAILED if failed else ExitCode.DONE)


def _show_reaped(out: Output, found: Sequence[Reaping], *, yes: bool) -> None:
    if out.as_json:
        out.document([_reaped(item) for item in found])
        return
    if not found:
        out.note("nothing to reap")
        return
    rows = [
        (item.backend, item.vm.name, item.vm.state.value, item.reason.value, _fate(item, yes=yes))
        for item in found
    ]
    out.table(("backend", "vm", "state", "reason", "what happens"), rows)
    if not yes and any(item.due for item in found):
        out.note("nothing was deleted; vmops reap --yes deletes what is due")


def _reaped(item: Reaping) -> dict[str, Any]:
    return {
        "vm": item.vm.name,
        "id": item.vm.id,
        "backend": item.backend,
        "state": item.vm.state.value,
        "reason": item.reason.value,
        "due": item.due,
        "url": item.url,
        "error": str(item.error) if item.error else None,
    }


def _fate(item: Reaping, *, yes: bool) -> str:
    if item.error is not None:
        return f"not deleted: {item.error}"
    if not item.due:
        return "left alone"
    return "is being deleted" if yes else "would be deleted"


def _renew(
    name: options.Name,
    ttl: Annotated[
        float, typer.Option("--ttl", metavar="S", help="Seconds it may live from now on.")
    ],
    backend: options.Backend = None,
    params: options.Params = None,
    config: options.ConfigFile = None,
    journal: options.Journal = None,
    as_json: options.Json = False,
) -> None:
    """Let a VM live longer: its time to live counts from now.

    --json writes an object with the keys vm and expires.
    """
    out = Output(as_json=as_json)
    with reporting(out), Session(Place(backend, config, journal, params)) as session:
        _, result = session.ops.renew({**session.params, "vmName": name, "ttl": ttl})
        if result.error is not None:
            raise result.error
        if as_json:
            out.document({"vm": name, "expires": _iso(result["expires"])})
        else:
            out.say(f"{name} may be reaped from {_local(result['expires'])}")


def _session(
    backend: str | None,
    params: list[str] | None,
    config: Path | None,
    journal: str | None,
) -> Session:
    """A session about one place, or about all that the journal knows."""
    from vmops.errors import ConfigError

    place = Place(backend, config, journal, params)
    if place.journal_place is None:
        raise ConfigError("this needs the journal, and --journal is none; name one")
    return Session(place, one_backend=backend is not None or config is not None)


def _iso(seconds: float) -> str | None:
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else None


def _local(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC).astimezone():%Y-%m-%d %H:%M:%S}"
