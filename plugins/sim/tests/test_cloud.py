"""The simulated cloud itself: faults on order, the same for the same seed, shared in a file."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from vmops import Status, VirtualClock, VMOps
from vmops_sim.backend import SimBackend
from vmops_sim.cloud import CODES, Behaviour, Order, SimCloud
from vmops_sim.errors import SimError
from vmops_sim.script import Duration, FaultScript
from vmops_sim.settings import SimSettings
from vmops_sim.world import FileStore, MemoryStore

TAGS = {"vmops-owner": "me"}
WRITER = """
import sys, time
from pathlib import Path
from vmops_sim.cloud import Behaviour, Order, SimCloud
from vmops_sim.world import FileStore
sim = SimCloud(FileStore(Path({folder!r}), "x"), Behaviour(), time.time, time.sleep)
n = 0
while True:
    n += 1
    sim.create([Order(f"v{{n}}", {{}})], f"{{sys.argv[1]}}-{{n}}")
    print(n, flush=True)
"""


def cloud(**behaviour: Any) -> tuple[SimCloud, VirtualClock]:
    """A cloud in memory under a virtual clock; operations take ten seconds."""
    clock = VirtualClock()
    actions = ("provision", "start", "stop", "restart", "deprovision")
    durations = {action: Duration.parse("10") for action in actions}
    made = Behaviour(durations=durations, **behaviour)
    return SimCloud(MemoryStore(), made, clock.now, clock.sleep), clock


def create(sim: SimCloud, name: str = "a", token: str = "t", **order: Any) -> str:
    """The id of a new VM."""
    return sim.create([Order(name, TAGS, **order)], token)[0][0]


def state(sim: SimCloud, id_: str) -> str:
    """A VM's state as the cloud shows it."""
    return sim.describe([id_], ())[0].state


def test_a_life_takes_its_time() -> None:
    """Every operation is on its way until its time has passed, and only then done."""
    sim, clock = cloud()
    vm = create(sim)
    for action, during, after in (
        ("", "starting", "running"),
        ("stop", "stopping", "stopped"),
        ("start", "starting", "running"),
        ("restart", "running", "running"),
        ("deprovision", "deleting", "absent"),
    ):
        if action:
            (operation,) = sim.act(action, [vm])
            assert isinstance(operation, str)
        clock.advance(9)
        assert state(sim, vm) == during
        clock.advance(1)
        assert state(sim, vm) == after


def test_tokens() -> None:
    """A token finds what it made; with another request it is a mismatch; reused later, refused."""
    sim, clock = cloud()
    vm = create(sim)
    assert create(sim) == vm
    with pytest.raises(SimError, match="other parameters"):
        create(sim, size="huge")
    sim.act("deprovision", [vm])
    clock.advance(10)
    with pytest.raises(SimError) as caught:
        create(sim)
    assert caught.value.code == "IdempotentVMTerminated"


def test_names_are_not_unique_unless_asked() -> None:
    """By default a careless caller gets two VMs of one name, so that duplicates show."""
    sim, _ = cloud()
    assert create(sim, token="t1") != create(sim, token="t2")
    sim, _ = cloud(unique_names=True)
    create(sim, token="t1")
    with pytest.raises(SimError) as caught:
        create(sim, token="t2")
    assert caught.value.code == "NameTaken"


def test_batches_make_all_or_none() -> None:
    """A create that would exceed quota or capacity makes nothing."""
    for behaviour, code in (
        ({"quota": 2}, "QuotaExceeded"),
        ({"capacity": 2}, "InsufficientCapacity"),
    ):
        sim, _ = cloud(**behaviour)
        with pytest.raises(SimError) as caught:
            sim.create([Order(str(n), TAGS) for n in range(3)], "t")
        assert caught.value.code == code
        assert sim.describe(None, (), tag="vmops-owner") == []


def test_one_bad_member_fails_alone() -> None:
    """In a call for many VMs an unknown one is refused, the others go on."""
    sim, clock = cloud()
    vm = create(sim)
    clock.advance(10)
    answers = sim.act("stop", [vm, "vm-nobody"])
    assert isinstance(answers[0], str)
    assert isinstance(answers[1], SimError)


def test_lost_answers() -> None:
    """`lost` was not carried out, `lost-applied` was; both look the same to the caller."""
    for fault, made in (("lost", 0), ("lost-applied", 1)):
        sim, _ = cloud(faults=FaultScript.parse(f"provision:1={fault}", CODES))
        with pytest.raises(SimError) as caught:
            create(sim)
        assert caught.value.code == "ConnectionLost"
        assert len(sim.describe(None, (), tag="vmops-owner")) == made


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_on_order(code: str) -> None:
    """Any error code can be ordered for any call, and becomes its class in the backend."""
    assert code in SimBackend.error_codes
    sim, _ = cloud(faults=FaultScript.parse(f"describe:2={code}", CODES))
    sim.describe(["x"], ())
    with pytest.raises(SimError) as caught:
        sim.describe(["x"], ())
    assert caught.value.code == code


def test_operations_that_fail_late_get_stuck_or_are_forgotten() -> None:
    """Accepted, and then: failed at the end, never ended, or unknown to the cloud."""
    for fault, machine, known in (
        ("fail-late", "failed", True),
        ("stuck", "starting", True),
        ("forgotten", "running", False),
    ):
        sim, clock = cloud(faults=FaultScript.parse(f"provision:1={fault}", CODES))
        ((vm, operation),) = sim.create([Order("a", TAGS)], "t")
        clock.advance(10**6 if fault == "stuck" else 10)
        assert state(sim, vm) == machine
        assert bool(sim.operations([operation])) is known


def test_new_vms_are_invisible_for_a_while() -> None:
    """Eventual consistency: describe does not show a VM before its time."""
    sim, clock = cloud(visible_after=Duration.parse("5"))
    vm = create(sim)
    assert sim.describe([vm], ()) == []
    clock.advance(5)
    assert state(sim, vm) == "starting"


def test_throttling_is_a_token_bucket() -> None:
    """Five seconds' worth of calls at once, then as many as refill, with a hint when to retry."""
    sim, clock = cloud(calls_per_second=2.0)
    for _ in range(10):
        sim.describe(["x"], ())
    with pytest.raises(SimError) as caught:
        sim.describe(["x"], ())
    assert caught.value.retry_after == pytest.approx(0.5)
    clock.advance(0.5)
    sim.describe(["x"], ())


def test_spot_vms_are_taken_away_and_cannot_stop() -> None:
    """A spot VM cannot be stopped, and vanishes when its time is up, with the reason."""
    sim, clock = cloud(preempt_after=100.0)
    vm = create(sim, spot=True)
    clock.advance(10)
    (refusal,) = sim.act("stop", [vm])
    assert isinstance(refusal, SimError)
    assert refusal.code == "Unsupported"
    clock.advance(100)
    (machine,) = sim.describe([vm], ())
    assert (machine.state, machine.cause) == ("absent", "SpotPreempted")


def test_the_same_seed_is_the_same_cloud() -> None:
    """What goes wrong, and when, depends on the seed alone."""

    def story(seed: int) -> list[str]:
        sim, clock = cloud(seed=seed, lost_answers=0.3, server_errors=0.2, stuck=0.2)
        said = []
        for number in range(30):
            try:
                said.append(create(sim, str(number), str(number)))
            except SimError as exc:
                said.append(exc.code)
            clock.advance(1)
        return said

    assert story(1) == story(1)
    assert story(1) != story(2)


@given(st.lists(st.sampled_from(["start", "stop", "restart", "deprovision", "tick"]), max_size=30))
@settings(max_examples=60, deadline=None)
def test_states_stay_within_the_seven(actions: list[str]) -> None:
    """Whatever is asked in whatever order, a VM is in a known state and ends where it was sent."""
    sim, clock = cloud()
    vm = create(sim)
    for action in actions:
        if action == "tick":
            clock.advance(4)
        else:
            sim.act(action, [vm])
    clock.advance(10)
    machines = sim.describe([vm], ())
    assert [m.state for m in machines if m.state not in {"running", "stopped", "absent"}] == []


def test_a_file_is_shared_private_and_survives_kills(tmp_path: Path) -> None:
    """Processes that are killed while they write leave a world that the next one reads."""
    code = WRITER.format(folder=str(tmp_path / "w"))
    for round_ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(round_)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(5 + round_ * 7):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    sim = SimCloud(FileStore(tmp_path / "w", "x"), Behaviour(), lambda: 0.0, lambda _: None)
    assert sim.calls()["provision"] >= sum(5 + r * 7 for r in range(6))
    assert stat.S_IMODE((tmp_path / "w").stat().st_mode) == 0o700
    assert {stat.S_IMODE(f.stat().st_mode) for f in (tmp_path / "w").iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("provisionSeconds", "soon"),
        ("faults", "provision:1=Nonsense"),
        ("faults", "explode:1=Throttling"),
        ("lostAnswers", 2),
        ("world", "../x"),
    ],
)
def test_bad_settings(setting: str, value: object) -> None:
    """A setting that says nothing sensible is refused by name."""
    with pytest.raises(ValidationError, match=setting):
        SimSettings(**{setting: value})


def test_a_virtual_clock_is_not_shared(tmp_path: Path) -> None:
    """A cloud in a file has the real clock: nobody could agree on a virtual one."""
    with pytest.raises(ValidationError, match="virtual clock"):
        SimSettings(clock="virtual", state_dir=tmp_path)


def test_chaos_ends_well() -> None:
    """With a tenth of everything going wrong, 60 creates and deletes end as they should."""
    config = {
        "backend": "sim",
        "clock": "virtual",
        "world": "chaos",
        "seed": 3,
        "provisionSeconds": "lognormal:30,0.5",
        "lostAnswers": 0.1,
        "serverErrors": 0.1,
        "forgotten": 0.3,
        "visibleAfter": "0-8",
        "callsPerSecond": 4,
    }
    with VMOps(config, journal=None) as ops:
        names = [{"vmName": f"n-{i}"} for i in range(60)]
        for verb in ("vm_provision", "vm_stop", "vm_start", "vm_deprovision"):
            answers = [(status, result) for _, status, result in ops.run_many(verb, names)]
            pending = [result for status, result in answers if status is Status.PENDING]
            # one whose answer was lost may have ended by the time it is looked at again
            done = [result for status, result in answers if status is Status.SUCCEEDED]
            assert len(pending) + len(done) == 60, verb
            assert {status for _, status, _ in ops.wait_many(pending)} <= {Status.SUCCEEDED}, verb
        alive = [vm.name for vm in ops.list_vms() if vm.state.value != "absent"]
        assert alive == []
