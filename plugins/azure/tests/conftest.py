"""One ARM emulator for all of these tests, and a credential chain that finds its tokens."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# importlib mode keeps test folders off sys.path
sys.path[:0] = [str(Path(__file__).parents[3] / "tests" / "clouds"), str(Path(__file__).parent)]


@pytest.fixture(scope="session")
def arm_server() -> Iterator[Any]:
    """The emulator, started once."""
    from arm_cloud import ArmCloud

    with ArmCloud() as cloud:
        yield cloud


@pytest.fixture
def arm(arm_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The emulator as new, and an environment in which azure-identity's chain finds its tokens."""
    arm_server.reset()
    for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in arm_server.environment().items():
        monkeypatch.setenv(name, value)
    return arm_server


@pytest.fixture
def config(arm: Any) -> dict[str, Any]:
    """What leads vmops to the emulator."""
    return {
        "backend": "azure",
        "subscription": arm.subscription,
        "endpointUrl": arm.endpoint,
        "location": "westeurope",
        "tick": 0.05,
    }
