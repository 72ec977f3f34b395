"""One view of Nova for all of these tests, and retries that do not keep them waiting."""

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
def stack(nova: Any, config: dict[str, Any], tmp_path: Path) -> Iterator[Any]:
    """Nova without servers, and vmops over it."""
    from nova_scene import Scene

    with Scene(nova, config, tmp_path) as scene:
        yield scene


@pytest.fixture
def scene(stack: Any) -> Any:
    """What `ops` and `proxy` are about."""
    return stack
