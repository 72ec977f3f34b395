"""SIGKILL at every disk and network system call of a verb, then recovery in a new process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from processes.points import Stage, share, stage
from processes.work import ACTS

PARTS = 4


def need_qemu() -> None:
    """Skip where there is no QEMU; where it is required the run does not even begin."""
    if shutil.which("qemu-system-x86_64") is None and not os.environ.get("VMOPS_REQUIRE_QEMU"):
        pytest.skip("install QEMU: apt-get install --no-install-recommends qemu-system-x86")


def check(setting: Stage, part: int = 0, parts: int = 1, most: int = 10_000) -> None:
    """Kill a verb at its share of points: half of them recovered, half repeated by the user."""
    points = setting.points()
    assert len(points) > 15, "the verb's system calls were not seen"
    wrong = []
    mine = list(share(points, part, parts))
    for number, point in enumerate(mine[:: max(len(mine) // most, 1)]):
        killed, found = setting.kill_at(point, repeat=number % 2 == 1)
        if not (killed and found.clean):
            wrong.append(f"{point}: killed: {killed}, {found}")
    assert wrong == []


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("verb", ["provision", "deprovision"])
def test_sim_at_every_point(tmp_path: Path, verb: str, part: int) -> None:
    """Nothing is leaked, lost, stuck, duplicated or corrupt, wherever the process died."""
    check(stage(tmp_path, verb), part, PARTS)


@pytest.mark.parametrize("verb", ["provision", "deprovision"])
def test_local_at_some_points(tmp_path: Path, verb: str) -> None:
    """The same with real VMs, at points spread over the whole verb."""
    need_qemu()
    check(stage(tmp_path, verb, "local"), most=5)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("verb", sorted(set(ACTS) - {"provision", "deprovision"}))
def test_sim_all_verbs(tmp_path: Path, verb: str, part: int) -> None:
    """Every verb, and recovery and reaping themselves, at every point."""
    check(stage(tmp_path, verb), part, PARTS)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("verb", sorted(set(ACTS) - {"power cycle", "provision three"}))
def test_local_all_verbs(tmp_path: Path, verb: str, part: int) -> None:
    """Every verb at every point, with real VMs."""
    need_qemu()
    check(stage(tmp_path, verb, "local"), part, PARTS)
