"""The options that commands share, and how their values become config and params."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from vmops.errors import ConfigError, InvalidParams, Problem

__all__ = [
    "Backend",
    "ConfigFile",
    "Journal",
    "Json",
    "Name",
    "Names",
    "Params",
    "Timeout",
    "Wait",
    "parse_params",
    "read_config",
]

Names = Annotated[list[str], typer.Argument(metavar="NAME", help="Names of the VMs.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the VM.")]
Backend = Annotated[
    str | None,
    typer.Option(
        "--backend", "-b", metavar="B", help="Who does the work; `local` unless configured."
    ),
]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        "-p",
        metavar="KEY=VALUE",
        help="A parameter or setting; KEY:=JSON for a value that is no text. Repeatable.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="JSON or TOML: settings and defaults for params; a table per backend may add to them.",
    ),
]
Journal = Annotated[
    str | None,
    typer.Option(
        "--journal",
        metavar="PLACE",
        envvar="VMOPS_JOURNAL",
        help="A path, a postgresql:// URL, or `none`, which gives up crash safety.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]
Wait = Annotated[
    bool, typer.Option("--wait/--no-wait", help="Whether to wait until the operations end.")
]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", metavar="S", help="Seconds to wait at most; 0 looks once."),
]

_WORD: Final = re.compile(r"[A-Za-z0-9_]{0,40}")
"""How much of a malformed -p is shown: what follows may be a secret."""


def parse_params(texts: Sequence[str] | None) -> dict[str, Any]:
    """The params that `-p` options give: `key=text`, or `key:=JSON`.

    Raises:
        InvalidParams: Something is neither, or one key is given twice.
    """
    params: dict[str, Any] = {}
    problems: list[Problem] = []
    for text in texts or ():
        key, equals, value = text.partition("=")
        name = key.removesuffix(":")
        if not (equals and name):
            shown = _WORD.match(text)[0]  # type: ignore[index]  # an empty text matches too
            problems.append(Problem("-p", f"'{shown}...' is not KEY=VALUE or KEY:=JSON"))
        elif name in params:
            problems.append(Problem(name, "is given twice; drop one -p"))
        elif not key.endswith(":"):
            params[name] = value
        else:
            try:
                params[name] = json.loads(value)
            except ValueError as exc:
                problems.append(Problem(name, f"the text after := is not JSON: {exc}"))
    if problems:
        raise InvalidParams(*problems)
    return params


def read_config(file: Path | None, backend: str | None) -> dict[str, Any]:
    """The config for one backend: the file's own keys, then those of that backend's table.

    Raises:
        ConfigError: The file cannot be read, or contradicts `--backend`.
    """
    content = {} if file is None else _read(file)
    named = content.get("backend")
    if backend is not None and named not in {None, backend}:
        message = f"{file} says backend {named!r}, --backend says {backend!r}; use one or the other"
        raise ConfigError(message)
    name = backend or named or "local"
    table = content.get(name)
    flat = {key: value for key, value in content.items() if not isinstance(value, Mapping)}
    return {**flat, **(table if isinstance(table, Mapping) else {}), "backend": name}


def _read(file: Path) -> dict[str, Any]:
    import tomllib

    try:
        text = file.read_text(encoding="utf-8")
        content = tomllib.loads(text) if file.suffix == ".toml" else json.loads(text)
    except OSError as exc:
        raise ConfigError(f"--config {file}: {exc.strerror}; give a file that can be read") from exc
    except ValueError as exc:
        raise ConfigError(f"--config {file}: {exc}; give JSON, or TOML in a .toml file") from exc
    if not isinstance(content, dict):
        raise ConfigError(f"--config {file}: holds {type(content).__name__}, not a table of keys")
    return content
