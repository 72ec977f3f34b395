"""The tests' side of a real OpenStack Nova: starts it, makes it slow or broken, asks what it did.

It has a Python of its own in `.venv/nova`, which `./dev test` makes: Nova's requirements and ours
do not go together.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from stand_in import StandIn

__all__ = ["NovaCloud"]

_PYTHON = Path(__file__).parents[2] / ".venv" / "nova" / "bin" / "python"


class NovaCloud(StandIn):
    """OpenStack in a process of its own, which ends with this one.

        with NovaCloud(spawn_seconds=0.5) as cloud:
            cloud.environment()

    Keyword arguments are settings: see `nova_server/hypervisor.py`, and besides `instances`, the
    quota of servers, and `token_lifetime` in seconds.
    """

    server = Path(__file__).with_name("nova_server") / "server.py"
    python = str(_PYTHON)

    imports = ("libcloud.compute.drivers.openstack", "requests", "vmops_libcloud.backend")
    """Modules of what talks to it that take long to import."""

    user, password, project, region = "vmops", "c0rrect-h0rse", "vmops-project", "R1"
    project_id = "6f70656e737461636b20342065766572"
    image, size, huge = "debian-12", "m1.tiny", "m1.huge"

    @classmethod
    def needed(cls) -> None:
        """Skips the test where Nova is not installed, unless it must be."""
        if not _PYTHON.exists():
            reason = f"there is no Nova in {_PYTHON.parents[1]}: ./dev test puts it there"
            if os.environ.get("VMOPS_REQUIRE_NOVA"):
                raise pytest.UsageError(reason)
            pytest.skip(reason)

    def environment(self) -> dict[str, str]:
        """The variables with which OpenStack's own tools sign in here."""
        return {
            "OS_AUTH_URL": f"{self.endpoint}/v3",
            "OS_USERNAME": self.user,
            "OS_PASSWORD": self.password,
            "OS_PROJECT_NAME": self.project,
            "OS_REGION_NAME": self.region,
        }

    def calls(self) -> list[dict[str, Any]]:
        """What was answered since the start or the last reset, in that order."""
        found: list[dict[str, Any]] = self._ask("calls")
        return [call for call in found if call["status"] is not None]

    def servers(self) -> list[dict[str, Any]]:
        """All servers, as Nova's administrator sees them."""
        found: list[dict[str, Any]] = self._ask("servers")
        return found

    def alive(self) -> list[dict[str, Any]]:
        """Those that there are: Nova lists one as DELETED for a moment."""
        return [one for one in self.servers() if one["status"] != "DELETED"]

    def expire_tokens(self) -> None:
        """From now on all tokens that were given are refused."""
        self._ask("expire", {})
