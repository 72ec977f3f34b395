"""`vmops backends` and `vmops params`: what is installed, and what it can be told."""

# Each argument of a command is an option of the program, made one by typer.
# ruff: noqa: FBT002

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmops.cli import options
from vmops.cli.exits import reporting
from vmops.cli.output import Output

if TYPE_CHECKING:
    from vmops.plugins import Provider, Registry

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backends")(_backends)
    app.command("params")(_params)


def _backends(as_json: options.Json = False) -> None:
    """List the backends, and why one cannot be used.

    --json writes an array of objects with the keys backend, distributions, usable, problem,
    summary.
    """
    out = Output(as_json=as_json)
    with reporting(out):
        from vmops.plugins import Registry

        registry = Registry()
        found = [_described(registry, provider) for provider in registry.providers()]
        if as_json:
            out.document(found)
            return
        out.table(
            ("backend", "from", "usable", "what"),
            [
                (
                    one["backend"],
                    ", ".join(one["distributions"]),
                    "yes" if one["usable"] else "no",
                    one["summary"] if one["usable"] else one["problem"],
                )
                for one in found
            ],
        )
        if not found:
            out.note("no backend is installed; for real VMs here: pip install vmops-local")


def _described(registry: Registry, provider: Provider) -> dict[str, Any]:
    from vmops.errors import VMOpsError

    summary, problem = "", provider.problem
    try:
        cls = registry.load(provider.name)
        summary = (inspect.getdoc(cls) or "").partition("\n")[0]
    except VMOpsError as exc:
        problem = str(exc)
    return {
        "backend": provider.name,
        "distributions": list(provider.distributions),
        "usable": not problem,
        "problem": problem,
        "summary": summary,
    }


def _params(
    backend: Annotated[str, typer.Argument(metavar="BACKEND", help="Name of the backend.")],
    as_json: options.Json = False,
) -> None:
    """Show all that a backend can be told.

    Kinds: settings say where to work, params what to make, core is what vmops itself understands.
    Settings marked local are given by a config file or the environment, never by -p.
    --json writes the JSON Schema of the params.
    """
    out = Output(as_json=as_json)
    with reporting(out):
        from vmops.plugins import Registry
        from vmops.schema import fields, json_schema

        cls = Registry().load(backend)
        if as_json:
            out.document(json_schema(cls))
            return
        columns = ("name", "kind", "type", "default", "required", "local", "description")
        out.table(
            columns,
            [
                (
                    field.name,
                    field.role,
                    field.type,
                    field.default,
                    "yes" if field.required else "",
                    "yes" if field.local_only else "",
                    field.description,
                )
                for field in fields(cls)
            ],
        )
