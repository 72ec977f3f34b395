"""The tests' side of the ARM emulator: starts it, sets it up, and asks what it was asked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

_SERVER = Path(__file__).with_name("arm") / "server.py"


class ArmCloud:
    """Azure Resource Manager in a process of its own, which ends with this one.

        with ArmCloud(create=0.5) as cloud:
            compute = cloud.client()

    Keyword arguments are the settings that hold at the start and after each `reset()`: see
    `arm/world.py`, class Settings.
    """

    subscription = "11111111-2222-3333-4444-555555555555"

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self.endpoint = ""
        self._clients: list[Any] = []
        self._token = ""

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
            raise RuntimeError(f"the ARM emulator did not start:\n{self._said}")
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the server."""
        for client in self._clients:
            client.close()
        self._process.kill()
        # closes the pipes, too
        self._process.communicate()
        self._said = self.stderr()
        self._stderr.close()

    def stderr(self) -> str:
        """What went wrong inside: a gap in the emulator leaves its stack here."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def environment(self) -> dict[str, str]:
        """The variables with which azure-identity's default chain finds this cloud's tokens."""
        return {
            "IDENTITY_ENDPOINT": f"{self.endpoint}/vmops/token",
            "IDENTITY_HEADER": "emulated",
            "AZURE_SUBSCRIPTION_ID": self.subscription,
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
        }

    def token(self) -> str:
        """An access token."""
        asked = Request(  # noqa: S310  (our own server)
            f"{self.endpoint}/vmops/token?resource=x", headers={"X-IDENTITY-HEADER": "emulated"}
        )
        with urlopen(asked, timeout=30) as answer:  # noqa: S310
            found: str = json.load(answer)["access_token"]
        return found

    def client(self, **options: Any) -> Any:
        """A ComputeManagementClient of the SDK, with its own pollers.

        It retries as the SDK does; `retry_total=0` makes one attempt. Each of its calls needs
        `enforce_https=False`.
        """
        from azure.core.credentials import AccessToken
        from azure.mgmt.compute import ComputeManagementClient

        token = self.token()

        class Credential:
            """What the SDK wants."""

            def get_token(self, *_: str, **__: Any) -> AccessToken:
                """For a long time."""
                return AccessToken(token, 2**31)

        client = ComputeManagementClient(
            Credential(),
            self.subscription,
            base_url=self.endpoint,
            credential_scopes=["https://management.azure.com/.default"],
            **options,
        )
        self._clients.append(client)
        return client

    def call(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of the answer to one request."""
        self._token = self._token or self.token()
        data = None if body is None else json.dumps(body).encode()
        own = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        asked = Request(f"{self.endpoint}{path}", data, {**own, **headers}, method=method)  # noqa: S310
        try:
            answer = urlopen(asked, timeout=30)  # noqa: S310
        except HTTPError as exc:
            answer = exc
        with answer:
            content = answer.read()
            found = {key.lower(): value for key, value in answer.headers.items()}
            return answer.status, found, json.loads(content) if content else None

    def settings(self, **changes: Any) -> dict[str, Any]:
        """All settings, after these changes; they hold for what begins from now on."""
        found: dict[str, Any] = self._ask("settings", changes)
        return found

    def fault(self, **fault: Any) -> None:
        """Some of the next requests or operations go wrong: see `arm/world.py`, class Fault.

        cloud.fault(method="PUT", path="/virtualMachines/", drop=True, after=True)
        cloud.fault(operation="start", code="AllocationFailed")
        """
        self._ask("faults", fault)

    def advance(self, seconds: float) -> None:
        """Moves the cloud's clock, Date headers and all that waits for it."""
        self._ask("advance", {"seconds": seconds})

    def expire_tokens(self) -> None:
        """From now on all tokens that were given are refused."""
        self._ask("expire", {})
        self._token = ""

    def evict(self, vm: str) -> None:
        """Takes a spot VM away."""
        self._ask("evict", {"vm": vm})

    def reset(self) -> None:
        """Forgets resources, faults, calls and changed settings: a new cloud at the same URL."""
        self._ask("reset", {})
        self._token = ""

    def calls(self) -> list[dict[str, Any]]:
        """What was asked since the start or the last reset, in that order.

        Only what was answered; a status of 0 is a connection that a fault has cut.
        """
        found: list[dict[str, Any]] = self._ask("calls")
        return [call for call in found if call["status"] is not None]

    def resources(self) -> list[str]:
        """The ids of all that exists."""
        found: list[str] = self._ask("resources")
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
