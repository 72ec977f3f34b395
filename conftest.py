"""What holds for every test of the workspace."""

from __future__ import annotations

import os
import shutil

import pytest


def pytest_configure() -> None:
    """Where QEMU is required (./dev test, CI) a missing one is an error, never a row of skips."""
    if os.environ.get("VMOPS_REQUIRE_QEMU") and shutil.which("qemu-system-x86_64") is None:
        line = "apt-get install -y --no-install-recommends qemu-system-x86"
        raise pytest.UsageError(f"VMOPS_REQUIRE_QEMU is set and there is no QEMU; run: {line}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
