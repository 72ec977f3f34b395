"""What these tests do over and over, and what they ask the emulator of ARM about."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import scene

__all__ = ["QUICK", "Scene"]

QUICK = dict.fromkeys(
    ("create", "start", "power_off", "deallocate", "restart", "delete", "network"), 0.02
)
"""Seconds that the emulator takes for each verb."""

_TIMEOUT = 20.0
_COMPUTE = "api-version=2024-11-01"


class Scene(scene.Scene):
    """The emulator, and vmops over it."""

    def __init__(self, cloud: Any, config: dict[str, Any], folder: Path) -> None:
        super().__init__(cloud, config, folder, {})
        cloud.settings(**QUICK)

    def path(self, name: str, group: str = "vmops") -> str:
        """The path of a VM."""
        return (
            f"/subscriptions/{self.cloud.subscription}/resourceGroups/{group}"
            f"/providers/Microsoft.Compute/virtualMachines/{name}"
        )

    def model(self, name: str) -> dict[str, Any]:
        """A VM as ARM shows it; empty if it does not exist."""
        place = f"{self.path(name)}?$expand=instanceView&{_COMPUTE}"
        status, _, body = self.cloud.call("GET", place)
        return body if status == 200 else {}

    def power(self, name: str) -> str:
        """A VM's power state; empty if it does not exist."""
        statuses = self.model(name).get("properties", {}).get("instanceView", {}).get("statuses")
        codes = [status["code"] for status in statuses or ()]
        return next((c.partition("/")[2] for c in codes if c.startswith("PowerState/")), "")

    def until(self, name: str, power: str) -> None:
        """Returns when a VM is in a power state."""
        give_up = time.monotonic() + _TIMEOUT
        while self.power(name) != power:
            assert time.monotonic() < give_up, f"{name} is {self.power(name)}, not {power}"
            time.sleep(0.01)

    def polls(self) -> list[dict[str, Any]]:
        """The polls of operations so far."""
        return [call for call in self.cloud.calls() if "/operations/" in call["path"]]

    def left(self) -> list[str]:
        """What costs money or is in somebody's way: all but the shared network and its group."""
        kept = ("/virtualnetworks/", "/networksecuritygroups/")
        found = [id_ for id_ in self.cloud.resources() if "/providers/" in id_]
        return sorted(id_ for id_ in found if not any(kind in id_.lower() for kind in kept))
