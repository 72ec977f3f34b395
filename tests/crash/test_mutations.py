"""The simulator has teeth: take one safety element away, and it finds what that one is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from simulator import mutations
from simulator.faults import ROUGH
from simulator.run import SCENARIOS, Plan, simulate

_SEEDS = 120


@pytest.mark.parametrize(
    ("mutation", "cloud", "kinds"),
    [
        (mutations.without_token, "ec2", {"duplicated"}),
        (mutations.without_tags, "ec2", {"leaked"}),
        (mutations.without_tags, "gce", {"leaked"}),
        (mutations.without_tags, "arm", {"leaked"}),
        (mutations.without_horizon, "ec2", {"duplicated"}),
        (mutations.without_fence, "ec2", {"duplicated", "reaped alive", "lost"}),
        (mutations.without_reaper, "ec2", {"leaked"}),
        (mutations.without_reaper, "gce", {"leaked", "overdue"}),
        (mutations.without_reaper, "arm", {"leaked", "overdue"}),
        (mutations.without_recovery, "ec2", {"stuck"}),
        (mutations.without_recovery, "gce", {"stuck"}),
        (mutations.without_recovery, "arm", {"stuck"}),
        (mutations.without_restraint, "ec2", {"restarted twice"}),
        (mutations.without_restraint, "arm", {"restarted twice"}),
        (mutations.without_horizon, "nova", {"duplicated"}),
        (mutations.without_look, "nova", {"duplicated"}),
        (mutations.without_pause, "nova", {"duplicated"}),
        (mutations.without_singling_out, "nova", {"reaped alive"}),
    ],
)
def test_a_missing_safety_element_is_found(
    mutation: Callable[[pytest.MonkeyPatch], None],
    cloud: str,
    kinds: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without token, tags, horizon, fence, reaper, recovery, restraint, look or pause it fails."""
    with monkeypatch.context() as patch:
        mutation(patch)
        reports = (simulate(_plan(cloud, seed)) for seed in range(_SEEDS))
        report = next((report for report in reports if kinds & report.findings.keys()), None)
    assert report is not None, "nobody missed it"
    assert not simulate(_plan(cloud, report.seed)).findings, "the seed fails with it, too"


def test_a_restored_journal_needs_caution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reaping that trusts a restored journal to know everything deletes VMs that are in use."""
    mutations.without_caution(monkeypatch)
    reports = (simulate(Plan("ec2", seed, **SCENARIOS["restored"])) for seed in range(_SEEDS))
    assert any("reaped alive" in report.findings for report in reports)


def test_what_a_create_made_twice_goes_with_its_vm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a create came twice, a deletion takes both VMs, before anybody reaps."""

    def leaks(seed: int) -> bool:
        twice = frozenset({("twice", 0)})
        report = simulate(Plan("nova", seed, processes=1, names=1, jobs=1, script=twice))
        return "leaked" in report.findings

    mutations.without_reaper(monkeypatch)
    tidy = [seed for seed in range(20) if not leaks(seed)]
    assert len(tidy) > 10
    mutations.without_surplus(monkeypatch)
    assert all(leaks(seed) for seed in tidy)


def _plan(cloud: str, seed: int) -> Plan:
    """A run with many processes that wake up late: most of the elements are there for those."""
    return Plan(cloud, seed, jobs=4, faults=replace(ROUGH, pause=0.04))
