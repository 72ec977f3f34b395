"""Starts the stand-in: `python tests/clouds/ec2/server.py --port 0`; its first line is its URL."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

# moto reads these when it is imported
_ENVIRONMENT = {
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    "MOTO_ACCOUNT_ID": "123456789012",
}


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, json.loads(value)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--delay", type=float, help="seconds that each of the four verbs takes")
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
    os.environ.update(_ENVIRONMENT)
    # the package by its name, in place of its modules by theirs
    sys.path[0] = str(Path(__file__).resolve().parents[1])

    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import make_server

    from ec2.front import Front
    from ec2.overlay import install
    from ec2.world import world

    class Handler(MotoRequestHandler):
        """Quiet, and without the 40 ms that Nagle's algorithm adds to each answer."""

        disable_nagle_algorithm = True

        def send_response(self, code: int, message: str | None = None) -> None:
            """The status line alone: the Date is the cloud's, and `Front` has it."""
            self.send_response_only(code, message)

        def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
            """Says nothing: the log is at /vmops/calls."""

    delays = dict.fromkeys(("run", "start", "stop", "terminate"), arguments.delay)
    world.change({} if arguments.delay is None else delays)
    world.change(dict(arguments.settings))
    world.first_settings = world.settings
    install()
    front = Front(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", arguments.port, front, threaded=True, request_handler=Handler)
    if arguments.with_stdin:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
