"""The server's side of a stand-in cloud: its arguments, and serving until whoever started it ends.

A server is a script in a package's folder. It puts `tests/clouds` on sys.path before this import.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

__all__ = ["Quiet", "control", "fits", "headers", "logged", "parser", "serve", "usual"]


class Quiet:
    """For a request handler: says nothing, and has no 40 ms that Nagle's algorithm adds."""

    disable_nagle_algorithm = True

    def send_response(self, code: int, message: str | None = None) -> None:
        """The status line alone: the Date is the cloud's, which the application tells."""
        self.send_response_only(code, message)  # type: ignore[attr-defined]

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Says nothing: the log is at /vmops/calls."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """What every stand-in takes."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--port", type=int, default=0, help="0 takes a free one")
    made.add_argument(
        "--set", type=_setting, action="append", default=[], metavar="NAME=JSON", dest="settings"
    )
    made.add_argument(
        "--with-stdin", action="store_true", help="end when stdin does: with whoever started this"
    )
    return made


def serve(arguments: argparse.Namespace, application: Any, handler: Any) -> None:
    """Serves until it is killed or, if so asked, until stdin ends; its first line is its URL."""
    from werkzeug.serving import make_server

    server = make_server(
        "127.0.0.1", arguments.port, application, threaded=True, request_handler=handler
    )
    if arguments.with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


# -- requests -------------------------------------------------------------------------------------


def headers(environ: Mapping[str, Any]) -> dict[str, str]:
    """A request's headers, their names in lower case."""
    found = {
        key[5:].replace("_", "-").lower(): value
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    return {**found, "content-type": environ.get("CONTENT_TYPE", "")}


def logged(world: Any, environ: Mapping[str, Any], path: str, body: bytes) -> dict[str, Any]:
    """A call as tests see it; its status is None until it has one."""
    try:
        content = json.loads(body) if body else None
    except ValueError:
        content = body.decode(errors="replace")
    call = {
        "method": environ["REQUEST_METHOD"],
        "path": path,
        "query": environ.get("QUERY_STRING", ""),
        "action": environ["REQUEST_METHOD"],
        "status": None,
        "code": None,
        "time": world.now(),
        "body": content,
        "headers": headers(environ),
    }
    world.calls.append(call)
    return call


def fits(fault: Any, call: Mapping[str, Any]) -> bool:
    """Whether a fault is about a request."""
    return (
        not fault.operation
        and bool(re.fullmatch(fault.method, call["method"]))
        and bool(re.search(fault.path, f"{call['path']}?{call['query']}"))
    )


# -- the tests' own calls -------------------------------------------------------------------------

Posts = dict[str, Callable[[dict[str, Any]], Any]]


def usual(world: Any, fault: Callable[..., Any]) -> Posts:
    """What tests ask of any world: settings, faults, advance and expire."""

    def settings(asked: dict[str, Any]) -> Any:
        world.change(asked)
        return asdict(world.settings)

    def faults(asked: dict[str, Any]) -> Any:
        world.faults.append(fault(**asked))
        return len(world.faults)

    def advance(asked: dict[str, Any]) -> Any:
        world.advance(float(asked["seconds"]))
        world.settle()
        return {"now": world.now()}

    def expire(_: dict[str, Any]) -> Any:
        world.tokens.update(dict.fromkeys(world.tokens, 0.0))
        return len(world.tokens)

    return {"settings": settings, "faults": faults, "advance": advance, "expire": expire}


def control(
    gets: Mapping[str, Callable[[], Any]], posts: Posts, method: str, path: str, body: bytes
) -> tuple[int, Any]:
    """The HTTP status and the JSON answer of /vmops/...; the caller holds the lock."""
    name = path.removeprefix("/vmops/")
    try:
        answer = gets[name]() if method == "GET" else posts[name](json.loads(body or b"{}"))
    except (KeyError, IndexError, StopIteration, TypeError, ValueError) as exc:
        return 400, {"error": f"{method} {path}: {exc!r}"}
    return 200, answer


# -- the process ----------------------------------------------------------------------------------


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, json.loads(value)


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)  # threads in the middle of an answer must not keep the process alive
