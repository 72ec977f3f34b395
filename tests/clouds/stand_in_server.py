"""The server's side of a stand-in cloud: its arguments, and serving until whoever started it ends.

A server is a script in a package's folder. It puts `tests/clouds` on sys.path before this import.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from typing import Any

__all__ = ["Quiet", "parser", "serve"]


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


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, json.loads(value)


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)  # threads in the middle of an answer must not keep the process alive
