"""The recorded providers, one after the other, and vmops over each."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# importlib mode keeps test folders off sys.path
sys.path[:0] = [str(Path(__file__).parents[4] / "tests" / "clouds"), str(Path(__file__).parent)]

from quick import give_up, ops, quick  # noqa: E402, F401  (fixtures for this folder)
from recorded_clouds import CLOUDS  # noqa: E402


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A provider without VMs."""
    with CLOUDS[request.param]() as one:
        yield one


@pytest.fixture
def scene(cloud: Any, tmp_path: Path) -> Iterator[Any]:
    """The provider, and vmops over it."""
    from scene import Scene

    config = {
        "backend": "libcloud",
        "provider": cloud.provider,
        "key": "a-secret-token",
        "endpointUrl": cloud.endpoint,
        "tick": 0.02,
        "horizon": 0.3,
    }
    with Scene(cloud, config, tmp_path, cloud.defaults) as one:
        yield one
