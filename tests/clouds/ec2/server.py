"""Starts the stand-in: `python tests/clouds/ec2/server.py --port 0`; its first line is its URL."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# moto reads these when it is imported
_ENVIRONMENT = {
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    "MOTO_ACCOUNT_ID": "123456789012",
}


def main() -> None:
    """Serves until it is killed or, if so asked, until stdin ends."""
    os.environ.update(_ENVIRONMENT)
    # the package by its name, in place of its modules by theirs
    sys.path[0] = str(Path(__file__).resolve().parents[1])

    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from stand_in_server import Quiet, parser, serve

    from ec2.front import Front
    from ec2.overlay import install
    from ec2.world import world

    class Handler(Quiet, MotoRequestHandler):
        """Quiet, as moto's is not."""

    asked = parser(__doc__)
    asked.add_argument("--delay", type=float, help="seconds that each of the four verbs takes")
    arguments = asked.parse_args()
    delays = dict.fromkeys(("run", "start", "stop", "terminate"), arguments.delay)
    world.change({} if arguments.delay is None else delays)
    world.change(dict(arguments.settings))
    world.first_settings = world.settings
    install()
    serve(arguments, Front(DomainDispatcherApplication(create_backend_app)), Handler)


if __name__ == "__main__":
    main()
