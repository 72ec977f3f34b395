"""Budgets and figures: what is refused is repeated, and a life costs few calls."""

from __future__ import annotations

from typing import Any

import pytest

from vmops import VMOps


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/instances", 403),
        ("POST", "/instances", 429),
        ("GET", "/instances/web-1", 403),
        ("POST", "/wait", 403),
    ],
)
def test_what_is_throttled_is_repeated(
    gcp: Any, ops: VMOps, method: str, path: str, status: int
) -> None:
    """A verb, what is read before it, and a wait: a 403 with that reason is no refusal."""
    throttled = {"status": status, "reason": "rateLimitExceeded", "times": 2}
    gcp.cloud.fault(method=method, path=rf"{path}(\?|$)", **throttled)
    gcp.up(ops)
    assert [call["status"] for call in gcp.cloud.calls()].count(status) == 2


def test_under_the_published_limits_nothing_is_refused(gcp: Any, ops: VMOps) -> None:
    """Many VMs made, stopped and looked at."""
    gcp.cloud.settings(rate_limits=1.0)
    names = [f"web-{i}" for i in range(40)]
    gcp.all(ops, "provision", names)
    gcp.all(ops, "stop", names)
    for name in names:
        ops.describe({"vmName": name})
    assert [call for call in gcp.cloud.calls() if call["status"] == 403] == []


def test_one_life_where_operations_take_time(gcp: Any, ops: VMOps) -> None:
    """Two calls a verb, the look before the create, and the addresses after it."""
    with gcp.counted() as made:
        gcp.up(ops)
        for verb in ("stop", "start", "deprovision"):
            gcp.wait(ops, getattr(ops, f"vm_{verb}")({"vmName": "web-1"}))
    assert len(made) <= 10, made


def test_one_life_where_operations_are_done_at_once(gcp: Any, ops: VMOps) -> None:
    """A restart in two phases included: what its answer tells to be done is not asked about."""
    gcp.cloud.settings(inline_done=True, create=0, start=0, stop=0, delete=0)
    with gcp.counted() as made:
        gcp.up(ops)
        for verb in ("stop", "start", "restart", "deprovision"):
            gcp.wait(ops, getattr(ops, f"vm_{verb}")({"vmName": "web-1"}))
    assert len(made) <= 10, made
    assert not [action for action in made if "Operations" in action]
