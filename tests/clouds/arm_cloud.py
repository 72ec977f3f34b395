"""The tests' side of the ARM emulator: starts it, sets it up, and asks what it was asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from stand_in import StandInWithTokens


class ArmCloud(StandInWithTokens):
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

    def evict(self, vm: str) -> None:
        """Takes a spot VM away."""
        self._ask("evict", {"vm": vm})
