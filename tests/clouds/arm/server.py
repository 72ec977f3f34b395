"""Starts the emulator: `python tests/clouds/arm/server.py --port 0`; its first line is its URL."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server


class Handler(WSGIRequestHandler):
    """Quiet, with connections that stay, and without the 40 ms that Nagle's algorithm adds."""

    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"

    def send_response(self, code: int, message: str | None = None) -> None:
        """The status line alone: the Date is the cloud's."""
        self.send_response_only(code, message)

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Says nothing: the log is at /vmops/calls."""


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, json.loads(value)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--set", type=_setting, action="append", default=[], metavar="NAME=JSON", dest="settings"
    )
    parser.add_argument(
        "--with-stdin", action="store_true", help="end when stdin does: with whoever started this"
    )
    return parser.parse_args()


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)  # threads in the middle of an answer must not keep the process alive


def main() -> None:
    """Serves until it is killed or, if so asked, until stdin ends."""
    arguments = _arguments()
    # the package by its name, in place of its modules by theirs
    sys.path[0] = str(Path(__file__).resolve().parents[1])

    from arm.front import application
    from arm.world import world

    world.change(dict(arguments.settings))
    world.first_settings = world.settings
    server = make_server(
        "127.0.0.1", arguments.port, application, threaded=True, request_handler=Handler
    )
    if arguments.with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
