"""A provider whose driver has the least, and vmops over it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# importlib mode keeps test folders off sys.path
sys.path[:0] = [str(Path(__file__).parents[4] / "tests" / "clouds"), str(Path(__file__).parent)]

from quick import ops, quick  # noqa: E402, F401  (fixtures for this folder)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The driver, without VMs; nothing that it does takes time, and no verb waits for it."""
    from libcloud.compute.providers import DRIVERS
    from plain_driver import PlainDriver

    from vmops_libcloud.background import Background
    from vmops_libcloud.capabilities import capabilities

    monkeypatch.setitem(DRIVERS, "plain", ("plain_driver", "PlainDriver"))
    monkeypatch.setattr(Background.__init__, "__defaults__", (0.05,))
    PlainDriver.nodes.clear()
    PlainDriver.asked.clear()
    PlainDriver.refusal.clear()
    PlainDriver.gate.set()
    yield PlainDriver
    PlainDriver.gate.set()
    capabilities.cache_clear()


@pytest.fixture
def scene(plain: Any, tmp_path: Path) -> Iterator[Any]:
    """Over it vmops, with a journal of its own."""
    from scene import Scene

    config = {"backend": "libcloud", "provider": "plain", "key": "k", "tick": 0.02, "horizon": 0.2}
    with Scene(plain, config, tmp_path, {"vmSize": "Small", "image": "Debian"}) as one:
        yield one
