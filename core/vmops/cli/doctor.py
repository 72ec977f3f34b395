"""`vmops doctor`: whether this machine can do what is asked of it, and what to run if not."""

# Each argument of a command is an option of the program, made one by typer.
# ruff: noqa: FBT002

from __future__ import annotations

from typing import Annotated, Any

import typer

from vmops.cli import options
from vmops.cli.exits import ExitCode, reporting
from vmops.cli.output import Output
from vmops.cli.session import Place

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(_doctor)


def _doctor(
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", "-b", metavar="B", help="Only this backend's. Repeatable."),
    ] = None,
    config: options.ConfigFile = None,
    journal: options.Journal = None,
    as_json: options.Json = False,
) -> None:
    """Check what vmops needs on this machine.

    Python, state folder, journal, and each backend by its own checks. Exit code 3 if something
    needed is missing.
    --json writes an object with the keys ok and checks; each check has the keys about, name, ok,
    needed, detail, fix.
    """
    out = Output(as_json=as_json)
    with reporting(out):
        from vmops.cli.checkup import checkup

        found: list[dict[str, Any]] = []
        for about, check in checkup(Place(config=config, journal=journal), backend):
            said = {"about": about, "name": check.name, "ok": check.ok, "needed": check.needed}
            said |= {"detail": check.detail, "fix": check.fix}
            found.append(said)
            if not as_json:
                _show(out, said)
        healthy = all(said["ok"] or not said["needed"] for said in found)
        if as_json:
            out.document({"ok": healthy, "checks": found})
        elif not healthy:
            out.note("something needed is missing; the lines marked with `fix` say what to do")
        raise typer.Exit(ExitCode.DONE if healthy else ExitCode.MISSING)


_MARKS = {"ok": ("ok  ", "green"), "note": ("note", "yellow"), "bad": ("BAD ", "red")}


def _show(out: Output, said: dict[str, Any]) -> None:
    mark, style = _MARKS["ok" if said["ok"] else "bad" if said["needed"] else "note"]
    out.say(f"{mark}  {said['about']}: {said['name']}: {said['detail']}".rstrip(": "), style)
    if said["fix"] and not said["ok"]:
        out.say(f"      fix: {said['fix']}")
