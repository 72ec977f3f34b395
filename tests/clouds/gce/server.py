"""Starts the emulator: `python tests/clouds/gce/server.py --port 0`; its first line is its URL."""

from __future__ import annotations

import sys
from pathlib import Path

from werkzeug.serving import WSGIRequestHandler

# the package by its name, in place of its modules by theirs
sys.path[0] = str(Path(__file__).resolve().parents[1])


def main() -> None:
    """Serves until it is killed or, if so asked, until stdin ends."""
    from stand_in_server import Quiet, parser, serve

    from gce.front import application
    from gce.seeds import begin
    from gce.world import world

    class Handler(Quiet, WSGIRequestHandler):
        """Quiet, with connections that stay."""

        protocol_version = "HTTP/1.1"

    arguments = parser(__doc__).parse_args()
    world.change(dict(arguments.settings))
    world.first_settings = world.settings
    begin()
    serve(arguments, application, Handler)


if __name__ == "__main__":
    main()
