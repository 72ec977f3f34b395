"""Fixtures for tests of what is special about a cloud: retries do not keep them waiting.

Each cloud's folder has a fixture `scene` of its own, a `scene.Scene`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

__all__ = ["give_up", "ops", "proxy", "quick"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts that are short, and as many attempts as there would be."""
    monkeypatch.setattr("vmops.sending._BACKOFF", (0.01, 0.04))
    monkeypatch.setattr("vmops.submission._NOT_YET", 0.03)


@pytest.fixture
def give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever gives no definite answer is not asked a second time."""
    monkeypatch.setattr("vmops.sending._SEND_BUDGET", 0.0)


@pytest.fixture
def ops(scene: Any) -> Any:
    """What tests call, over the stand-in, with the scene's journal."""
    return scene.open()


@pytest.fixture
def proxy(scene: Any) -> Iterator[Any]:
    """A proxy that spoils answers, and through which `scene.open()` leads from now on."""
    from fault_proxy import FaultProxy

    with FaultProxy(scene.cloud.endpoint) as between:
        scene.config["endpointUrl"] = between.url
        yield between
        scene.close()
