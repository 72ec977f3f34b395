"""The caller dies at any of its requests to Nova, and another process goes on: one VM, one life."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from lives import Fate, Life, Mother, killed_everywhere


@pytest.fixture(scope="module")
def mother(nova_server: Any) -> Iterator[Any]:
    """Where processes are forked from; they sign in at Nova."""
    environment = pytest.MonkeyPatch()
    for name, value in nova_server.environment().items():
        environment.setenv(name, value)
    with Mother() as found:
        environment.undo()
        yield found


def _lives(stack: Any, names: list[str]) -> Life:
    """A whole life of VMs with these names, in a cloud as new."""
    stack.cloud.reset()
    params = [stack.params(name) for name in names]
    return Life(config=stack.config, journal=str(stack.journal), params=params)


def _audit(stack: Any, names: list[str], first: Fate, second: Fate) -> None:
    """What has to hold of Nova and of the journal after two processes' life of the VMs."""
    assert second.exit_code == 0
    taken = [c for c in stack.cloud.calls() if c["action"] == "POST /servers"]
    assert [c["status"] for c in taken] == [202] * len(names), "VMs were made twice"
    assert stack.servers() == []
    assert stack.states() == dict.fromkeys(names, "GONE")


def _killed_everywhere(stack: Any, mother: Any, *, after: bool, step: int) -> int:
    """How many requests a life has: see `lives.killed_everywhere`."""
    names = ["web-1"]
    audit = partial(_audit, stack, names)
    begin = partial(_lives, stack, names)
    return killed_everywhere(stack, mother, begin, audit, after=after, step=step)


MOMENTS = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


@MOMENTS
def test_one_vm(stack: Any, mother: Any, after: bool) -> None:
    """Killed before or after every eleventh request: one VM, and nothing is left."""
    assert _killed_everywhere(stack, mother, after=after, step=11) > 12


@pytest.mark.slow
@MOMENTS
def test_one_vm_at_every_request(stack: Any, mother: Any, after: bool) -> None:
    """The same at each of them."""
    assert _killed_everywhere(stack, mother, after=after, step=1) > 12
