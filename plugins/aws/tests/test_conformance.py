"""The conformance kit on EC2: moto's, in a process of its own, with all that moto leaves out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from ec2_cloud import EC2Cloud

from vmops.testing import BackendConformance, CloudUnderTest
from vmops_aws.errors import CODES, NotEc2Error


def _sample(code: str) -> Exception:
    """What boto3 raises for a code; or, where it raises without one, for what we call so."""
    from botocore import exceptions as boto

    made: dict[str, Callable[[], Exception]] = {
        "ConnectionLost": lambda: boto.ConnectionClosedError(endpoint_url="http://ec2"),
        "NoCredentials": boto.NoCredentialsError,
        "NotEc2": lambda: NotEc2Error("no ids"),
        "ParamValidation": lambda: boto.ParamValidationError(report="InstanceIds"),
    }
    error = {"Error": {"Code": code, "Message": "said"}, "ResponseMetadata": {"RequestId": "r-1"}}
    return made.get(code, lambda: boto.ClientError(error, "RunInstances"))()


ERRORS = {code: partial(_sample, code) for code in CODES}


def under_test(config: dict[str, Any], **params: Any) -> CloudUnderTest:
    """The stand-in, with the cheapest VM."""
    return CloudUnderTest(
        config=config,
        params={"image": "debian-12", **params},
        errors=ERRORS,
        sdk=("boto3", "botocore"),
        imports=EC2Cloud.imports,
        secrets={"userData": {"userData": "#!/bin/sh\necho {canary}"}},
        timeout=30.0,
    )


class TestAws(BackendConformance):
    """On demand, reboots that leave no trace, and a cloud that shows new VMs and states late."""

    @pytest.fixture
    def cloud(self, config: dict[str, Any], ec2: Any) -> CloudUnderTest:
        ec2.settings(invisible=0.1, stale=0.05)
        return under_test(config)


@pytest.mark.slow
class TestAwsSpot(BackendConformance):
    """Persistent spot requests, and restarts as a stop and a start."""

    @pytest.fixture
    def cloud(self, config: dict[str, Any], ec2: Any) -> CloudUnderTest:
        # LaunchTime is told in whole seconds: two boots must not share one
        ec2.settings(invisible=0.2, stale=0.05, stop=1.0)
        spot = {"spot": True, "spotMode": "persistent", "restartMode": "power-cycle"}
        return under_test({**config, "restartMode": "power-cycle"}, **spot)
