"""What `vmops doctor` asks of Azure: whose credentials these are, and where they lead."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from vmops import Check
from vmops_azure.client import Arm
from vmops_azure.errors import read
from vmops_azure.settings import OWN_GROUP, AzureSettings

__all__ = ["checks"]


def checks(settings: AzureSettings) -> Iterator[Check]:
    """Read-only checks: the SDK, the subscription, and whether its VMs may be listed."""
    packages = ("azure-mgmt-compute", "azure-identity", "azure-core")
    yield Check("SDK", ok=True, detail=", ".join(f"{one} {version(one)}" for one in packages))
    arm = Arm(settings, lambda _: None)
    try:
        yield Check.asked("subscription", lambda: _subscription(arm), read)
        yield Check.asked("resource group", lambda: _group(arm, settings.resource_group), read)
    finally:
        arm.close()


def _subscription(arm: Arm) -> str:
    found = arm.json("GET", f"{arm.subscription}?api-version=2022-12-01")
    return f"{found.get('displayName')} ({found.get('state')}) at {arm.endpoint}"


def _group(arm: Arm, name: str) -> str:
    if arm.find(f"{arm.group}?api-version=2022-09-01") is None:
        made = "vmops makes it with the first VM" if name == OWN_GROUP else "make it first"
        return f"{name}: does not exist yet; {made}"
    return name
