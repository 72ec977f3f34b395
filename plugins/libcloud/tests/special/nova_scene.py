"""What these tests do over and over, and what they ask Nova about."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import scene

__all__ = ["Scene"]


class Scene(scene.Scene):
    """Nova, and vmops over it."""

    def __init__(self, cloud: Any, config: dict[str, Any], folder: Path) -> None:
        super().__init__(cloud, config, folder, {"vmSize": cloud.size, "image": cloud.image})

    def servers(self, name: str = "") -> list[dict[str, Any]]:
        """The servers that there are, of one name or of all; not those that Nova lists as gone."""
        return [one for one in self.cloud.alive() if name in {"", one["name"]}]

    def power(self, name: str = "web-1") -> str:
        """A server's status; empty if it does not exist, and both of two that have one name."""
        return " ".join(one["status"] for one in self.servers(name))

    def count(self) -> Counter[str]:
        """How often each kind of call was made."""
        return Counter(self.actions())
