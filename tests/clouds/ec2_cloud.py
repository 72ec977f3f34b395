"""The tests' side of the EC2 stand-in: starts it, sets it up, and asks what it was asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

_SERVER = Path(__file__).with_name("ec2") / "server.py"


class EC2Cloud:
    """EC2, STS and SSM in a process of their own, which ends with this one.

        with EC2Cloud(run=0.5) as cloud:
            ec2 = cloud.client("ec2")

    Keyword arguments are the settings that hold at the start and after each `reset()`: seconds that
    `run`, `start`, `stop` and `terminate` take, and all else in `ec2/world.py`, class Settings.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self.endpoint = ""
        self._clients: dict[tuple[str, str], Any] = {}

    def __enter__(self) -> Self:
        """Returns when it answers."""
        self._stderr = TemporaryFile()
        chosen = [f"--set={name}={json.dumps(value)}" for name, value in self._settings.items()]
        self._process = subprocess.Popen(
            [sys.executable, str(_SERVER), "--port", "0", "--with-stdin", *chosen],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        assert self._process.stdout is not None
        self.endpoint = self._process.stdout.readline().strip()
        if not self.endpoint:
            self.__exit__()
            raise RuntimeError(f"the EC2 stand-in did not start:\n{self._said}")
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the server."""
        for client in self._clients.values():
            client.close()
        self._process.kill()
        # closes the pipes, too
        self._process.communicate()
        self._said = self.stderr()
        self._stderr.close()

    def stderr(self) -> str:
        """What went wrong inside: a gap in the stand-in leaves its stack here."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

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

    def settings(self, **changes: Any) -> dict[str, Any]:
        """All settings, after these changes; they hold for what begins from now on."""
        found: dict[str, Any] = self._ask("settings", changes)
        return found

    def fault(self, action: str, **fault: Any) -> None:
        """The next calls of an action fail: see `ec2/world.py`, class Fault."""
        self._ask("faults", {"action": action, **fault})

    def advance(self, seconds: float) -> None:
        """Moves the cloud's clock, Date headers and all that waits for it."""
        self._ask("advance", {"seconds": seconds})

    def preempt(self, instance: str, resume_after: float | None = None) -> None:
        """Takes a spot instance away; one that stops can be given back later."""
        self._ask("preempt", {"instance": instance, "resume_after": resume_after})

    def reset(self) -> None:
        """Forgets instances, faults, calls and changed settings: a new cloud at the same URL."""
        self._ask("reset", {})

    def calls(self, action: str | None = None) -> list[dict[str, Any]]:
        """What was asked since the start or the last reset, in that order."""
        found: list[dict[str, Any]] = self._ask("calls")
        return [call for call in found if action in {None, call["action"]}]

    def image(self, name: str = "ubuntu-24.04-amd64", region: str = "eu-west-1") -> str:
        """The AMI id of a public image: see `ec2/images.py`."""
        found: str = self._ask(f"images/{region}")[name]
        return found

    def _ask(self, what: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.endpoint}/vmops/{what}", data)  # noqa: S310  (our own server)
        try:
            with urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.load(answer)
        except HTTPError as exc:
            with exc:
                raise ValueError(exc.read().decode()) from None
