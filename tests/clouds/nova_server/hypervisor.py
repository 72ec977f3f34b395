"""Nova's in-memory hypervisor, told to be slow or to fail as its own failing drivers do."""

from __future__ import annotations

import time
from typing import Any

__all__ = ["Hypervisor"]

_FAILING = {
    "abort": "FakeBuildAbortDriver",
    "unshelve": "FakeUnshelveSpawnFailDriver",
}
"""Setting -> the driver of `nova.virt.fake` whose spawn fails so."""


class Hypervisor:
    """The driver of the one compute service.

    Settings: `spawn_seconds`, `reboot_seconds` and `power_seconds` pass before such an act;
    `spawn_fails` is empty, or a key of the table above.
    """

    def __init__(self, cloud: Any) -> None:
        from nova.virt import fake

        self.settings: dict[str, Any] = {
            "spawn_seconds": 0.0,
            "spawn_fails": "",
            "reboot_seconds": 0.0,
            "power_seconds": 0.0,
        }
        self._fake = fake
        self._driver = cloud.compute.manager.driver
        self._driver.spawn = self._spawn
        for name, setting in (
            ("reboot", "reboot_seconds"),
            ("power_off", "power_seconds"),
            ("power_on", "power_seconds"),
        ):
            setattr(self._driver, name, self._late(getattr(self._driver, name), setting))

    def _spawn(self, *args: Any, **more: Any) -> Any:
        time.sleep(self.settings["spawn_seconds"])
        kind = _FAILING.get(self.settings["spawn_fails"], type(self._driver).__name__)
        driver = getattr(self._fake, kind)
        if kind == _FAILING["unshelve"]:
            return self._unshelved(*args, **more)
        return driver.spawn(self._driver, *args, **more)

    def _unshelved(self, *args: Any, **more: Any) -> Any:
        """As FakeUnshelveSpawnFailDriver does; its super() wants one of its own kind."""
        if args[1].vm_state == "shelved_offloaded":
            return self._fake.FakeUnshelveSpawnFailDriver.spawn(self._driver, *args, **more)
        return type(self._driver).spawn(self._driver, *args, **more)

    def _late(self, act: Any, setting: str) -> Any:
        def late(*args: Any, **more: Any) -> Any:
            time.sleep(self.settings[setting])
            return act(*args, **more)

        return late
