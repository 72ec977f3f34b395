"""Fixtures: the service in this process, and experiments of the real mlos_bench."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# importlib mode keeps test folders off sys.path
sys.path[:0] = [str(Path(__file__).parents[1] / "clouds"), str(Path(__file__).parent)]


@pytest.fixture
def sim(tmp_path: Path) -> Any:
    """An experiment on a simulated cloud that is kept in a folder."""
    from trials import Trials

    quick = {f"{verb}Seconds": "0.2" for verb in ("provision", "start", "stop", "deprovision")}
    return Trials(tmp_path, "sim", {"state_dir": str(tmp_path / "cloud")}, quick)


@pytest.fixture
def local(tmp_path: Path) -> Any:
    """An experiment on real VMs of this machine."""
    from trials import Trials

    if sys.platform != "linux":
        pytest.skip("local VMs are tried on Linux")
    if shutil.which("qemu-system-x86_64") is None:
        assert not os.environ.get("VMOPS_REQUIRE_QEMU"), "QEMU is missing"
        pytest.skip("install QEMU: apt-get install --no-install-recommends qemu-system-x86")
    return Trials(tmp_path, "local", {"state_dir": str(tmp_path / "machines")}, {"graceSeconds": 1})


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes services in this process, on one simulated cloud with one journal."""
    from vmops.integrations.mlos_bench import VMOpsService

    monkeypatch.setenv("VMOPS_JOURNAL", str(tmp_path / "journal.db"))
    made = []
    name = re.sub(r"[^a-z0-9]+", "-", tmp_path.name.lower())[-40:]
    world = {"backend": "sim", "clock": "virtual", "world": name, "seed": 1}

    def make(**config: object) -> Any:
        given = {key: value for key, value in {**world, **config}.items() if value is not None}
        made.append(VMOpsService(given))
        return made[-1]

    yield make
    for one in made:
        one.ops.close()
