"""The tests' side of the EC2 stand-in: starts it, sets it up, and asks what it was asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stand_in import StandIn


class EC2Cloud(StandIn):
    """EC2, STS and SSM in a process of their own, which ends with this one.

        with EC2Cloud(run=0.5) as cloud:
            ec2 = cloud.client("ec2")

    Keyword arguments are the settings that hold at the start and after each `reset()`: seconds that
    `run`, `start`, `stop` and `terminate` take, and all else in `ec2/world.py`, class Settings.
    """

    server = Path(__file__).with_name("ec2") / "server.py"

    imports = ("boto3", "vmops_aws.backend")
    """Modules of what talks to it that take long to import."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._clients: dict[tuple[str, str], Any] = {}

    def clients(self) -> list[Any]:
        """Those that were made here."""
        return list(self._clients.values())

    def environment(self, region: str = "eu-west-1") -> dict[str, str]:
        """The variables with which any AWS program talks to this cloud and to no other."""
        return {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_SESSION_TOKEN": "testing",
            "AWS_DEFAULT_REGION": region,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def client(self, service: str, region: str = "eu-west-1") -> Any:
        """A boto3 client with made-up credentials that tries once."""
        import boto3
        from botocore.config import Config

        if (service, region) not in self._clients:
            session = boto3.Session("testing", "testing", region_name=region)
            config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30)
            made = session.client(service, endpoint_url=self.endpoint, config=config)
            self._clients[service, region] = made
        return self._clients[service, region]

    def fault(self, action: str, **fault: Any) -> None:
        """The next calls of an action fail: see `ec2/world.py`, class Fault."""
        self._ask("faults", {"action": action, **fault})

    def preempt(self, instance: str, resume_after: float | None = None) -> None:
        """Takes a spot instance away; one that stops can be given back later."""
        self._ask("preempt", {"instance": instance, "resume_after": resume_after})

    def calls(self, action: str | None = None) -> list[dict[str, Any]]:
        """What was asked since the start or the last reset, in that order."""
        found: list[dict[str, Any]] = self._ask("calls")
        return [call for call in found if action in {None, call["action"]}]

    def image(self, name: str = "ubuntu-24.04-amd64", region: str = "eu-west-1") -> str:
        """The AMI id of a public image: see `ec2/images.py`."""
        found: str = self._ask(f"images/{region}")[name]
        return found
