"""The conformance kit on the simulated cloud: with handles, without, one VM per call, and late."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from vmops.testing import BackendConformance, CloudUnderTest
from vmops_sim.backend import SimBackend
from vmops_sim.errors import SimError

ERRORS: dict[str, Callable[[], Exception]] = {
    code: partial(SimError, code) for code in SimBackend.error_codes
}
FAST = {
    f"{verb}Seconds": "0.1" for verb in ("provision", "start", "stop", "restart", "deprovision")
}


def sim(folder: Path, **config: Any) -> CloudUnderTest:
    """A cloud in a file, whose operations take 0.1 seconds."""
    settings = {"backend": "sim", "stateDir": str(folder / "cloud"), "tick": 0.05, **FAST}
    return CloudUnderTest(config={**settings, **config}, errors=ERRORS, timeout=30.0)


class TestSim(BackendConformance):
    """Operations can be polled, and one call acts on many VMs."""

    @pytest.fixture
    def cloud(self, tmp_path: Path) -> CloudUnderTest:
        return sim(tmp_path)


@pytest.mark.slow
class TestSimByState(BackendConformance):
    """As on EC2: no operation can be polled, and a new VM is not visible at once."""

    @pytest.fixture
    def cloud(self, tmp_path: Path) -> CloudUnderTest:
        return sim(tmp_path, handles=False, visibleAfter="0.1")


@pytest.mark.slow
class TestSimOneByOne(BackendConformance):
    """One call per VM, unique names, and a restart in two phases."""

    @pytest.fixture
    def cloud(self, tmp_path: Path) -> CloudUnderTest:
        return sim(tmp_path, batch=False, uniqueNames=True, restartMode="power-cycle")
