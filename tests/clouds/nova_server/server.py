"""Starts a real OpenStack: `python tests/clouds/nova_server/server.py`; its first line is its URL.

Nova (API, conductor, scheduler, compute) and Placement from PyPI, in one process, on Nova's own
in-memory hypervisor `nova.virt.fake` and its own fixtures of Neutron, Glance and Cinder. Ours are
Keystone's sign-in, the lists of images and networks in front of those fixtures, and the controls.
It needs a Python of its own, in which Nova is installed.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# the package by its name, in place of its modules by theirs
sys.path[0] = str(Path(__file__).resolve().parents[1])
os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "true"
os.environ["OS_TEST_TIMEOUT"] = "0"


POOLS = {"default_thread_pool_size": 16, "cell_worker_thread_pool_size": 4}
"""Threads: by default there are hundreds, which wait for each other's interpreter lock."""


def _find_etc() -> None:
    """Nova's tests look for etc/ beside the package; its wheel puts it into sys.prefix."""
    import nova

    etc = Path(nova.__file__).parents[1] / "etc"
    if not etc.exists():
        etc.symlink_to(Path(sys.prefix) / "etc")


def _hurry() -> None:
    """Without this, two thirds of the time go into databases, messages and threads with no work."""
    import oslo_messaging._drivers.impl_fake as messages
    from futurist._thread import ThreadWorker
    from nova import conf
    from oslo_db.sqlalchemy import engines
    from oslo_messaging import server
    from sqlalchemy import pool
    from sqlalchemy.engine.default import DefaultDialect

    ThreadWorker.MAX_IDLE_FOR = 3600  # seconds until it looks whether it is still needed
    conf.CONF.register_opts(server._pool_opts)
    conf.CONF.set_default("executor_thread_pool_size", 8)
    kept = {"NullPool": pool.QueuePool, "QueuePool": pool.QueuePool, "StaticPool": pool.StaticPool}
    engines.pool = SimpleNamespace(SingletonThreadPool=pool.SingletonThreadPool, **kept)
    DefaultDialect.do_ping = lambda *_: True  # asked whenever a connection is taken
    engines._thread_yield = lambda *_: None
    messages.time = SimpleNamespace(time=time.time, sleep=lambda most: time.sleep(min(most, 0.01)))
    logging.disable(logging.CRITICAL)  # Nova's tests format every line of its debug log


def main() -> None:
    """Serves until it is killed or, if so asked, until stdin ends."""
    _find_etc()
    from nova.tests.functional import integrated_helpers
    from stand_in_server import Quiet, parser, serve
    from werkzeug.serving import WSGIRequestHandler

    from nova_server.cells import each_context_its_own
    from nova_server.front import Front

    class Cloud(integrated_helpers._IntegratedTestBase):  # type: ignore[misc]
        """Nova as its own functional tests start it."""

        CAST_AS_CALL = False
        ADMIN_API = True

        def runTest(self) -> None:  # noqa: N802  (unittest's name)
            """Serves."""
            warnings.resetwarnings()
            warnings.simplefilter("ignore")  # Nova's tests make errors of some
            front: Any = Front(self)
            front.change(dict(arguments.settings))
            serve(arguments, front, Handler)

        def setUp(self) -> None:
            self.flags(compute_driver="fake.FakeDriver", **POOLS)
            super().setUp()

    class Handler(Quiet, WSGIRequestHandler):
        """Quiet, with connections that stay."""

        protocol_version = "HTTP/1.1"

    arguments = parser(__doc__).parse_args()
    each_context_its_own()
    _hurry()
    cloud = Cloud()
    try:
        cloud.setUp()
        cloud.runTest()
    except BaseException:  # noqa: BLE001  (Nova's tests have taken sys.stderr away by now)
        os.write(2, traceback.format_exc().encode())
        os._exit(1)


if __name__ == "__main__":
    main()
