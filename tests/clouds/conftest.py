"""Makes `ec2_cloud` importable by name, and keeps one EC2 for the tests of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# importlib mode keeps test folders off sys.path
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def ec2_server() -> Iterator[Any]:
    """The stand-in, started once."""
    from ec2_cloud import EC2Cloud

    with EC2Cloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(ec2_server: Any) -> Any:
    """The stand-in as new."""
    ec2_server.reset()
    return ec2_server


@pytest.fixture
def ec2(cloud: Any) -> Any:
    """A boto3 client of it."""
    return cloud.client("ec2")
