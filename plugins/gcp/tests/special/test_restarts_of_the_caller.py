"""The caller dies at any of its calls to GCE, and another process goes on: one VM, one life."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from lives import Fate, Life, Mother, killed_everywhere


@pytest.fixture(scope="module")
def mother(gce_server: Any) -> Iterator[Any]:
    """Where processes are forked from; they sign in at the emulator."""
    environment = pytest.MonkeyPatch()
    environment.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    for name, value in gce_server.environment().items():
        environment.setenv(name, value)
    with Mother() as found:
        environment.undo()
        yield found


def _lives(gcp: Any, names: list[str]) -> Life:
    """A whole life of VMs with these names, in a cloud as new."""
    gcp.cloud.reset()
    gcp.cloud.settings(**dict.fromkeys(("create", "start", "stop", "reset", "delete"), 0.005))
    config = {**gcp.config, "tick": 0.01}
    params = [gcp.params(name) for name in names]
    return Life(config=config, journal=str(gcp.journal), params=params)


def _accepted(gcp: Any, action: str) -> list[str]:
    """The clientOperationIds of operations of a kind, each as often as it had an effect."""
    done = gcp.cloud.call("GET", gcp.path("operations"))[2]["items"]
    return [one.get("clientOperationId", "") for one in done if one["operationType"] == action]


def _audit(gcp: Any, names: list[str], first: Fate, second: Fate) -> None:
    """What has to hold of the cloud and of the journal after two processes' life of the VMs."""
    assert second.exit_code == 0
    made = _accepted(gcp, "insert")
    assert len(made) == len(set(made)) == len(names), "VMs were made twice"
    assert gcp.left() == []
    assert gcp.states() == dict.fromkeys(names, "GONE")
    assert len(_accepted(gcp, "delete")) == len(names)


def _killed_everywhere(
    gcp: Any, mother: Any, names: list[str], *, after: bool, step: int = 1
) -> int:
    """How many calls a life of these VMs has: see `lives.killed_everywhere`."""
    return killed_everywhere(
        gcp,
        mother,
        lambda: _lives(gcp, names),
        partial(_audit, gcp, names),
        after=after,
        step=step,
    )


MOMENTS = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


@MOMENTS
def test_one_vm(gcp: Any, mother: Any, after: bool) -> None:
    """Killed before or after every fifth call: one VM, and nothing is left."""
    assert _killed_everywhere(gcp, mother, ["web-1"], after=after, step=5) > 12


@pytest.mark.slow
@MOMENTS
def test_one_vm_at_every_call(gcp: Any, mother: Any, after: bool) -> None:
    """The same at each of them."""
    assert _killed_everywhere(gcp, mother, ["web-1"], after=after) > 12


@pytest.mark.slow
@MOMENTS
def test_three_vms(gcp: Any, mother: Any, after: bool) -> None:
    """The same of three at once, at every call."""
    names = ["web-1", "web-2", "web-3"]
    assert _killed_everywhere(gcp, mother, names, after=after) > 24


@pytest.mark.slow
def test_many_vms(gcp: Any, mother: Any) -> None:
    """Enough of them to be waited for by lists, at every twentieth call."""
    names = [f"web-{i}" for i in range(25)]
    assert _killed_everywhere(gcp, mother, names, after=True, step=20) > 100
