"""What these tests do over and over, and what they ask the emulator of GCE about."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import scene

__all__ = ["QUICK", "Scene"]

QUICK = dict.fromkeys(("create", "start", "stop", "reset", "delete", "labels"), 0.02)
"""Seconds that the emulator takes for each verb."""

_TIMEOUT = 20.0


class Scene(scene.Scene):
    """The emulator, and vmops over it."""

    def __init__(self, cloud: Any, config: dict[str, Any], folder: Path) -> None:
        super().__init__(cloud, config, folder, {})
        cloud.settings(**QUICK)

    def path(self, what: str) -> str:
        """The path of something in the zone, such as `instances/web-1`."""
        return f"/compute/v1/projects/{self.cloud.project}/zones/{self.cloud.zone}/{what}"

    def model(self, name: str) -> dict[str, Any]:
        """A VM as GCE shows it; empty if it does not exist."""
        status, _, body = self.cloud.call("GET", self.path(f"instances/{name}"))
        return body if status == 200 else {}

    def power(self, name: str) -> str:
        """A VM's status; empty if it does not exist."""
        return str(self.model(name).get("status", ""))

    def until(self, name: str, status: str) -> None:
        """Returns when a VM has this status."""
        give_up = time.monotonic() + _TIMEOUT
        while self.power(name) != status:
            assert time.monotonic() < give_up, f"{name} is {self.power(name)}, not {status}"
            time.sleep(0.01)

    def calls(self, *actions: str) -> list[dict[str, Any]]:
        """The calls with these actions so far, such as `zoneOperations.wait`."""
        return [call for call in self.cloud.calls() if call["action"] in actions]

    def polls(self) -> list[dict[str, Any]]:
        """The requests about operations so far."""
        return [call for call in self.cloud.calls() if "/operations" in call["path"]]

    def left(self) -> list[str]:
        """What costs money: all but networks and what belongs to them."""
        kept = ("/networks/", "/subnetworks/", "/firewalls/")
        return [path for path in self.cloud.resources() if not any(kind in path for kind in kept)]
