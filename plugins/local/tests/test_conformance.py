"""The conformance kit on real VMs: QEMU processes with the default guest."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from vmops.testing import BackendConformance, CloudUnderTest


class TestLocal(BackendConformance):
    """Real VMs."""

    @pytest.fixture
    def cloud(self, tmp_path: Path) -> CloudUnderTest:
        if shutil.which("qemu-system-x86_64") is None and not os.environ.get("VMOPS_REQUIRE_QEMU"):
            pytest.skip("install QEMU: apt-get install --no-install-recommends qemu-system-x86")
        return CloudUnderTest(
            config={"backend": "local", "stateDir": str(tmp_path / "state")},
            sdk=("qemu", "pycdlib"),
            secrets={"user_data": {"guest": "linux", "userData": "#!/bin/sh\n# {canary}\n"}},
            timeout=60.0,
        )
