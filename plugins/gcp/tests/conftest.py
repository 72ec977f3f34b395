"""One GCE emulator for all of these tests, and credentials that google-auth finds by itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# importlib mode keeps test folders off sys.path
sys.path[:0] = [str(Path(__file__).parents[3] / "tests" / "clouds"), str(Path(__file__).parent)]


@pytest.fixture(scope="session")
def gce_server() -> Iterator[Any]:
    """The emulator, started once."""
    from gce_cloud import GceCloud

    with GceCloud() as cloud:
        yield cloud


@pytest.fixture
def gce(gce_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The emulator as new, and an environment in which google-auth finds its metadata server."""
    gce_server.reset()
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "NO_GCE_CHECK", "CLOUDSDK_COMPUTE_ZONE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in gce_server.environment().items():
        monkeypatch.setenv(name, value)
    return gce_server


@pytest.fixture
def config(gce: Any) -> dict[str, Any]:
    """What leads vmops to the emulator."""
    return {
        "backend": "gcp",
        "project": gce.project,
        "zone": gce.zone,
        "endpointUrl": gce.endpoint,
        "tick": 0.05,
    }
