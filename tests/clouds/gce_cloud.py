"""The tests' side of the GCE emulator: starts it, sets it up, and asks what it was asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from stand_in import StandInWithTokens


class GceCloud(StandInWithTokens):
    """The Compute Engine API in a process of its own, which ends with this one.

        with GceCloud(create=0.5) as cloud:
            instances = cloud.client()

    Keyword arguments are the settings that hold at the start and after each `reset()`: see
    `gce/world.py`, class Settings.
    """

    project = "vmops-test"
    zone = "europe-west1-b"
    region = "europe-west1"

    server = Path(__file__).with_name("gce") / "server.py"

    imports = ("google.cloud.compute_v1", "vmops_gcp.backend")
    """Modules of what talks to it that take long to import."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._clients: list[Any] = []

    def clients(self) -> list[Any]:
        """The transports of those that were made here."""
        return [client.transport for client in self._clients]

    def environment(self) -> dict[str, str]:
        """The variables with which google.auth.default() finds this cloud's metadata server.

        GOOGLE_APPLICATION_CREDENTIALS and NO_GCE_CHECK must not be set besides.
        """
        host = self.endpoint.removeprefix("http://")
        self._introduce(host)
        return {
            "GCE_METADATA_HOST": host,
            "GCE_METADATA_IP": host,
            "GOOGLE_CLOUD_PROJECT": self.project,
            "CLOUDSDK_CONFIG": "/nonexistent/gcloud",
        }

    @staticmethod
    def _introduce(host: str) -> None:
        """google-auth reads the host once, when it is imported: it may have been another one."""
        if (module := sys.modules.get("google.auth.compute_engine._metadata")) is not None:
            module._GCE_METADATA_HOST = host  # type: ignore[attr-defined]

    def token(self) -> str:
        """An access token."""
        found: str = self._ask("token")["access_token"]
        return found

    def client(self, kind: str = "InstancesClient") -> Any:
        """A client of google.cloud.compute_v1; it retries as Google's does."""
        from google.api_core.client_options import ClientOptions
        from google.cloud import compute_v1
        from google.oauth2.credentials import Credentials

        client = getattr(compute_v1, kind)(
            credentials=Credentials(token=self.token()),
            client_options=ClientOptions(api_endpoint=self.endpoint),
        )
        self._clients.append(client)
        return client

    def path(self, what: str) -> str:
        """The path of something in the zone, such as `instances/web-1`."""
        return f"/compute/v1/projects/{self.project}/zones/{self.zone}/{what}"

    def preempt(self, vm: str) -> None:
        """Takes a spot VM away."""
        self._ask("preempt", {"vm": vm})

    def suspend(self, vm: str) -> None:
        """Suspends a VM, and returns when it is suspended."""
        status, _, operation = self.call("POST", self.path(f"instances/{vm}/suspend"))
        if status == 200:
            status, _, operation = self.call(
                "POST", self.path(f"operations/{operation['name']}/wait")
            )
        if status != 200 or "error" in operation:
            raise ValueError(operation)
