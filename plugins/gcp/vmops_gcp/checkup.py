"""What `vmops doctor` asks of Google Cloud: the SDK, the zone, and whether VMs may be listed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from vmops import Check
from vmops_gcp.client import Compute
from vmops_gcp.errors import read
from vmops_gcp.settings import GcpSettings

__all__ = ["checks"]


def checks(settings: GcpSettings) -> Iterator[Check]:
    """Read-only checks."""
    packages = ("google-cloud-compute", "google-api-core", "google-auth")
    yield Check("SDK", ok=True, detail=", ".join(f"{one} {version(one)}" for one in packages))
    compute = Compute(settings, lambda _: None)
    try:
        yield Check.asked("VMs", lambda: _vms(compute, settings), read)
        yield Check.asked("default network", lambda: _network(compute), read)
    finally:
        compute.close()


def _vms(compute: Compute, settings: GcpSettings) -> str:
    count = sum(len(page.items) for page in compute.pages("InstancesClient"))
    return f"{count} in project {settings.project}, zone {settings.zone}"


def _network(compute: Compute) -> str:
    from google.api_core.exceptions import NotFound

    try:
        compute.call("NetworksClient", "get", zonal=False, network="default")
    except NotFound:
        return "there is none; name one with network or subnet"
    return "default"
