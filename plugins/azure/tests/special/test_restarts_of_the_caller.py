"""The caller dies at any of its calls to Azure, and another process goes on: one VM, one life."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from lives import VERBS, Fate, Life, Mother, killed_everywhere

RESTART = VERBS.index("restart")


@pytest.fixture(scope="module")
def mother(arm_server: Any) -> Iterator[Any]:
    """Where processes are forked from; they sign in at the emulator."""
    environment = pytest.MonkeyPatch()
    for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
        environment.delenv(name, raising=False)
    for name, value in arm_server.environment().items():
        environment.setenv(name, value)
    with Mother() as found:
        environment.undo()
        yield found


def _lives(azure: Any, names: list[str], journal: Path) -> Life:
    """A whole life of VMs with these names, in a cloud as new but for its network."""
    azure.cloud.reset()
    azure.cloud.settings(
        **dict.fromkeys(("create", "start", "deallocate", "restart", "delete"), 0.005)
    )
    config = {**azure.config, "tick": 0.01}
    return Life(config=config, journal=str(journal), params=[azure.params(name) for name in names])


def _writes(azure: Any, kind: str) -> list[str]:
    """The VMs about which a kind of request was accepted, as often as it was."""
    method, _, verb = kind.partition(" ")
    found = []
    for call in azure.cloud.calls():
        place = call["path"].partition("/virtualMachines/")[2]
        name, _, asked = place.partition("/")
        if call["method"] == method and name and asked == verb and call["status"] < 300:
            found.append(name)
    return found


def _audit(azure: Any, names: list[str], first: Fate, second: Fate) -> None:
    """What has to hold of the cloud and of the journal after two processes' life of the VMs."""
    assert second.exit_code == 0
    assert sorted(_writes(azure, "PUT")) == sorted(names), "VMs were made twice"
    assert azure.left() == []
    assert azure.states() == dict.fromkeys(names, "GONE")
    # a caller that dies between a restart and its answer, and asks again, is asking again
    restarted = _writes(azure, "POST restart")
    last = first.calls[-1] if first.calls else ""
    twice = first.verb == RESTART and not first.pending and last.endswith("/restart")
    assert set(restarted) == set(names)
    assert len(restarted) - len(names) in ({0, 1} if twice else {0})


def _killed_everywhere(
    azure: Any, mother: Any, names: list[str], *, after: bool, step: int = 1
) -> int:
    """How many calls a life of these VMs has: see `lives.killed_everywhere`."""
    return killed_everywhere(
        azure,
        mother,
        lambda: _lives(azure, names, azure.journal),
        partial(_audit, azure, names),
        after=after,
        step=step,
    )


MOMENTS = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


@MOMENTS
def test_one_vm(azure: Any, mother: Any, after: bool) -> None:
    """Killed before or after every sixth call: one VM, one restart, and nothing is left."""
    assert _killed_everywhere(azure, mother, ["web-1"], after=after, step=6) > 12


@pytest.mark.slow
@MOMENTS
def test_one_vm_at_every_call(azure: Any, mother: Any, after: bool) -> None:
    """The same at each of them."""
    assert _killed_everywhere(azure, mother, ["web-1"], after=after) > 12


@pytest.mark.slow
@MOMENTS
def test_three_vms(azure: Any, mother: Any, after: bool) -> None:
    """The same of three at once, at every call."""
    names = ["web-1", "web-2", "web-3"]
    assert _killed_everywhere(azure, mother, names, after=after) > 24


@pytest.mark.slow
def test_many_vms(azure: Any, mother: Any) -> None:
    """Enough of them to be waited for by lists, at every twentieth call."""
    names = [f"web-{i}" for i in range(25)]
    assert _killed_everywhere(azure, mother, names, after=True, step=20) > 100
