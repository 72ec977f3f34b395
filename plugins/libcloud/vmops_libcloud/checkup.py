"""What `vmops doctor` finds out: the driver, what it can do, and whether the credentials work."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

from vmops import Check
from vmops_libcloud.capabilities import capabilities

if TYPE_CHECKING:
    from vmops_libcloud.backend import LibcloudBackend

__all__ = ["checks"]


def checks(backend: LibcloudBackend) -> Iterator[Check]:
    """Read-only checks."""
    can = capabilities(backend.settings.provider)
    detail = f"apache-libcloud {version('apache-libcloud')}, {can.driver}"
    yield Check("SDK", ok=True, detail=detail)
    for verb, why in can.missing.items():
        yield Check(verb, ok=False, detail=why, needed=verb == "list")
    try:
        yield Check.asked("account", backend.account, backend.explain)
        yield Check.asked("VMs", lambda: _vms(backend), backend.explain)
    finally:
        backend.close()


def _vms(backend: LibcloudBackend) -> str:
    count = len(list(backend.describe(None)))
    return f"{count} made by vmops at {backend.settings.provider}"
