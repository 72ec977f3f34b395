"""One EC2 stand-in for all of these tests, and made-up credentials for whatever talks to it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# importlib mode keeps test folders off sys.path
sys.path.insert(0, str(Path(__file__).parents[3] / "tests" / "clouds"))


@pytest.fixture(scope="session")
def ec2_server() -> Iterator[Any]:
    """The stand-in, started once."""
    from ec2_cloud import EC2Cloud

    with EC2Cloud() as cloud:
        yield cloud


@pytest.fixture
def ec2(ec2_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The stand-in as new, and an environment in which AWS's chain finds made-up credentials."""
    ec2_server.reset()
    for name, value in ec2_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL")  # the endpoint is a setting here
    return ec2_server


@pytest.fixture
def config(ec2: Any) -> dict[str, Any]:
    """What leads vmops to the stand-in."""
    return {"backend": "aws", "region": "eu-west-1", "endpointUrl": ec2.endpoint, "tick": 0.05}
