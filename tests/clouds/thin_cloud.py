"""The tests' side of the benchmarks' thin EC2: starts it, or another in its place, and calls it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from botocore.config import Config

THIN = Path(__file__).parents[1] / "bench" / "_ec2_thin.py"
IMAGE = "ami-0123456789abcdef0"
OWN = [{"Name": "tag-key", "Values": ["vmops-owner"]}]


class Clients:
    """The SDK's clients for one endpoint, one attempt a call."""

    def __init__(self, session: Any, url: str) -> None:
        self.url = url
        config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
        self.ec2, self.sts, self.ssm = (
            session.client(name, endpoint_url=url, config=config) for name in ("ec2", "sts", "ssm")
        )

    def run(self, count: int = 1, token: str = "", **tags: str) -> Any:
        """RunInstances' answer."""
        every = [
            {"Key": key, "Value": value} for key, value in {"vmops-owner": "me", **tags}.items()
        ]
        return self.ec2.run_instances(
            ImageId=IMAGE,
            InstanceType="t3.micro",
            MinCount=count,
            MaxCount=count,
            ClientToken=token or os.urandom(16).hex(),
            MetadataOptions={"HttpTokens": "required"},
            TagSpecifications=[
                {"ResourceType": kind, "Tags": every} for kind in ("instance", "volume")
            ],
        )

    def found(self, name: str, *values: str) -> list[Any]:
        """The instances that a filter finds."""
        answer = self.ec2.describe_instances(Filters=[{"Name": name, "Values": list(values)}])
        return [item for group in answer["Reservations"] for item in group["Instances"]]

    def states(self) -> set[str]:
        """Those of all instances."""
        return {item["State"]["Name"] for item in self.found("tag-key", "vmops-owner")}

    def stats(self) -> Any:
        """The server's figures."""
        return json.loads(self.raw("/stats"))

    def raw(self, path: str, body: bytes | None = None) -> bytes:
        """An answer's body, without the SDK."""
        with urlopen(self.url + path, body) as response:  # noqa: S310 - http, on loopback
            answer: bytes = response.read()
        return answer

    def close(self) -> None:
        """No connection stays open."""
        for client in (self.ec2, self.sts, self.ssm):
            client.close()


@contextlib.contextmanager
def server(session: Any, *command: str) -> Iterator[Clients]:
    """A process that prints its port first, for as long as the context lasts."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        clients = Clients(session, f"http://127.0.0.1:{int(process.stdout.readline())}")
        yield clients
        clients.close()
        process.terminate()
