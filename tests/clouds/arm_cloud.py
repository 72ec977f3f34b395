"""The tests' side of the ARM emulator: starts it, sets it up, and asks what it was asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from stand_in import StandIn


class ArmCloud(StandIn):
    """Azure Resource Manager in a process of its own, which ends with this one.

        with ArmCloud(create=0.5) as cloud:
            compute = cloud.client()

    Keyword arguments are the settings that hold at the start and after each `reset()`: see
    `arm/world.py`, class Settings.
    """

    subscription = "11111111-2222-3333-4444-555555555555"

    server = Path(__file__).with_name("arm") / "server.py"

    imports = ("azure.identity", "azure.mgmt.compute", "vmops_azure.backend")
    """Modules of what talks to it that take long to import."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._clients: list[Any] = []
        self._token = ""

    def clients(self) -> list[Any]:
        """Those that were made here."""
        return self._clients

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

    def fault(self, **fault: Any) -> None:
        """Some of the next requests or operations go wrong: see `arm/world.py`, class Fault.

        cloud.fault(method="PUT", path="/virtualMachines/", drop=True, after=True)
        cloud.fault(operation="start", code="AllocationFailed")
        """
        self._ask("faults", fault)

    def expire_tokens(self) -> None:
        """From now on all tokens that were given are refused."""
        self._ask("expire", {})
        self._token = ""

    def evict(self, vm: str) -> None:
        """Takes a spot VM away."""
        self._ask("evict", {"vm": vm})

    def reset(self) -> None:
        """The same, and its tokens are forgotten, too."""
        super().reset()
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
