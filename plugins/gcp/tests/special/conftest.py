"""One view of the emulator for all of these tests, and retries that do not keep them waiting."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quick import give_up, ops, proxy, quick  # noqa: F401  (fixtures for this folder)

# importlib mode keeps test folders off sys.path; child processes need the names as well
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def gcp(gce: Any, config: dict[str, Any], tmp_path: Path) -> Iterator[Any]:
    """The emulator as new, whose verbs take 20 ms, and vmops over it."""
    from gce_scene import Scene

    with Scene(gce, {**config, "tick": 0.02}, tmp_path) as scene:
        yield scene


@pytest.fixture
def scene(gcp: Any) -> Any:
    """What `ops` and `proxy` are about."""
    return gcp
