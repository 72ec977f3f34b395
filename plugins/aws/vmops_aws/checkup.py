"""What `vmops doctor` asks of AWS: whose credentials these are, and where they lead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vmops import Check
from vmops_aws.client import Clients
from vmops_aws.errors import read
from vmops_aws.settings import AwsSettings

__all__ = ["checks"]

_FEW: Final = 5  # the least that MaxResults takes


def checks(settings: AwsSettings) -> Iterator[Check]:
    """Read-only checks: boto3, the region, the account, and whether EC2 may be described."""
    import boto3

    yield Check("boto3", ok=True, detail=boto3.__version__)
    yield Check("region", ok=True, detail=settings.region)
    clients = Clients(settings)
    try:
        yield Check.asked("account", lambda: f"account {clients.identity()[0]}", read)
        yield Check.asked("EC2", lambda: _described(clients), read)
    finally:
        clients.close()


def _described(clients: Clients) -> str:
    clients.call("describe_instances", MaxResults=_FEW)
    return f"answers at {clients.of('ec2').meta.endpoint_url}"
