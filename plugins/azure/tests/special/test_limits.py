"""Budgets: reads never come faster than ARM allows, and what is refused is repeated."""

from __future__ import annotations

from typing import Any

import pytest

from vmops import VMOps


def busiest(times: list[float], seconds: float) -> int:
    """The most calls within so many seconds."""
    return max(sum(at <= one < at + seconds for one in times) for at in times)


def test_reads_keep_to_their_budget(azure: Any, ops: VMOps) -> None:
    """Many VMs, each stopped and described by itself: at most 25 reads leave in any second."""
    azure.cloud.settings(rate_limits=1.0)
    names = [f"web-{i}" for i in range(18)]
    azure.all(ops, "provision", names)
    azure.all(ops, "stop", names)
    for name in names:
        ops.describe({"vmName": name})
    calls = azure.cloud.calls()
    assert [call for call in calls if call["status"] == 429] == []
    assert busiest([call["time"] for call in calls if call["method"] == "GET"], 1.0) <= 25


@pytest.mark.parametrize(("method", "path"), [("PUT", "virtualMachines"), ("GET", "subnets")])
def test_what_is_throttled_is_repeated_when_arm_says(
    azure: Any, ops: VMOps, method: str, path: str
) -> None:
    """A verb and what it reads before."""
    azure.cloud.fault(
        method=method, path=path, status=429, code="Throttled", headers={"Retry-After": "1"}
    )
    azure.up(ops)
    times = [
        call["time"]
        for call in azure.cloud.calls()
        if call["method"] == method and f"/{path}/" in call["path"]
    ]
    assert times[1] - times[0] >= 1.0


def test_one_life_takes_no_more_calls_than_the_sdks_pollers(azure: Any, ops: VMOps) -> None:
    """Fourteen, as azure-mgmt-compute takes; the look at subnet and addresses included."""
    azure.up(ops, "first")
    azure.cloud.settings(**dict.fromkeys(("create", "start", "deallocate", "restart", "delete"), 0))
    with azure.open() as fresh:
        before = len(azure.cloud.calls())
        azure.up(fresh, "web-1")
        for verb in ("stop", "start", "restart", "deprovision"):
            azure.wait(fresh, getattr(fresh, f"vm_{verb}")({"vmName": "web-1"}))
        assert len(azure.cloud.calls()) - before <= 14
