"""One view of the stand-in for all of these tests, and retries that do not keep them waiting."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quick import give_up, quick  # noqa: F401  (fixtures for this folder)

# importlib mode keeps test folders off sys.path; child processes need the names as well
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def aws(ec2: Any, config: dict[str, Any], tmp_path: Path) -> Iterator[Any]:
    """The stand-in as new, whose verbs take 20 ms, and vmops over it."""
    from aws_scene import Scene

    with Scene(ec2, {**config, "tick": 0.02}, tmp_path) as scene:
        yield scene


@pytest.fixture
def ops(aws: Any) -> Any:
    """What tests call, over the stand-in, with the scene's journal."""
    return aws.open()


@pytest.fixture
def proxy(aws: Any) -> Iterator[Any]:
    """A proxy that spoils answers, and through which `aws.open()` leads from now on."""
    from fault_proxy import FaultProxy

    with FaultProxy(aws.cloud.endpoint) as between:
        aws.config["endpointUrl"] = between.url
        yield between
        aws.close()
