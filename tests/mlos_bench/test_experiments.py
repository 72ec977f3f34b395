"""Experiments of the real mlos_bench, from its own command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

OLDER = Path(__file__).parents[2] / ".venv" / "older"


def test_several_trials(sim: Any) -> None:
    """Four trials succeed, each on a VM of the size it asked for, and no VM is left."""
    said = sim.run()
    assert sim.statuses() == ["SUCCEEDED"] * 4
    assert sorted(row["vmSize"] for row in sim.results()) == ["big", "big", "small", "small"]
    assert {vm.info["vmSize"] for vm in sim.vms()} == {"small", "big"}
    assert said.count("made with other params") == len(sim.vms()) - 1
    assert sim.alive() == []


def test_throttling_slow_answers_and_failures(sim: Any) -> None:
    """A bad cloud costs time: all trials succeed all the same, and no VM is left."""
    sim.service(
        callsPerSecond=5,
        apiSeconds="0-0.2",
        faults="provision:1=lost,describe:4=lost,poll:2=InternalError,poll:3=lost,stop:1=lost",
        forgotten=0.3,
        visibleAfter="0-0.5",
    )
    sim.run()
    assert sim.statuses() == ["SUCCEEDED"] * 4
    assert sim.alive() == []


def test_a_trial_without_room_fails_by_itself(sim: Any) -> None:
    """A create that the cloud refuses is one failed trial, not the experiment's end."""
    sim.service(faults="provision:2=InsufficientCapacity")
    assert "Too many trials failed" in sim.run(code=1)  # one of four
    assert sorted(sim.statuses()) == ["FAILED", *["SUCCEEDED"] * 3]
    assert sim.alive() == []


@pytest.mark.parametrize(
    "moment",
    ["Host set up: VM", "OS set up: OS", "Setup Database", "made with other params"],
    ids=["while provisioning", "while starting", "in a trial", "while replacing"],
)
def test_killed_in_mid_trial(sim: Any, moment: str) -> None:
    """After kill -9, recover and reap leave nothing behind once the VM's time is over."""
    sim.service(ttl=1.5, provisionSeconds="0.5")
    sim.kill_at(moment)
    sim.clean_up()
    assert sim.alive() == []


def test_killed_and_run_again(sim: Any) -> None:
    """mlos_bench run again after kill -9 finishes the experiment on the VM that is there."""
    sim.kill_at("Setup Database")
    assert sim.alive() == ["bench-1"]
    sim.run()
    assert sim.statuses().count("SUCCEEDED") >= 4
    assert sim.alive() == []


def test_killed_beside_a_real_vm(local: Any) -> None:
    """A QEMU process outlives the mlos_bench that started it, and ends when it is reaped."""
    local.write("tunables.jsonc", {"machine": MEMORY, "database": NOTHING})
    local.service(ttl=2, graceSeconds=1)
    local.kill_at("Setup Database")
    assert local.alive() == ["bench-1"]
    local.clean_up()
    assert local.alive() == []


MEMORY = {"cost": 1, "params": {"memoryMib": {"type": "int", "range": [64, 128], "default": 64}}}
NOTHING = {"cost": 1, "params": {"cache": {"type": "int", "range": [0, 1], "default": 0}}}


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="they import distutils, gone since 3.12")
@pytest.mark.parametrize("version", ["0.4.2", "0.5.0"])
def test_older_versions(sim: Any, version: str) -> None:
    """mlos_bench 0.5 and 0.4 run the same experiment with the same service config."""
    folder = OLDER / f"mlos-bench-{version}"
    if not folder.is_dir():
        assert not os.environ.get("VMOPS_REQUIRE_OLD_MLOS"), f"{folder} is missing"
        pytest.skip("./dev test downloads older versions of mlos_bench")
    sim.older(folder)
    sim.run("--experiment_id", "four-trials")
    assert sim.statuses() == ["SUCCEEDED"] * 4
    assert {row["vmSize"] for row in sim.results()} == {"small", "big"}
    assert sim.alive() == []
