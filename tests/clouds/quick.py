"""Fixtures for tests of what is special about a cloud: retries do not keep them waiting."""

from __future__ import annotations

import pytest

__all__ = ["give_up", "quick"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts that are short, and as many attempts as there would be."""
    monkeypatch.setattr("vmops.sending._BACKOFF", (0.01, 0.04))
    monkeypatch.setattr("vmops.submission._NOT_YET", 0.03)


@pytest.fixture
def give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever gives no definite answer is not asked a second time."""
    monkeypatch.setattr("vmops.sending._SEND_BUDGET", 0.0)
