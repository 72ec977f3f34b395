"""The caller dies at any of its calls to AWS, and another process goes on: one VM, one life."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from lives import VERBS, Fate, Life, Mother, killed_everywhere

QUICK = dict.fromkeys(("run", "start", "stop", "terminate"), 0.005)
RESTART = VERBS.index("restart")


@pytest.fixture(scope="module")
def mother() -> Iterator[Any]:
    """Where processes are forked from; it inherits no credentials, they come with the config."""
    environment = pytest.MonkeyPatch()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.setenv(name, "testing")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        environment.setenv(name, "/dev/null")
    environment.delenv("AWS_PROFILE", raising=False)
    with Mother() as found:
        environment.undo()
        yield found


def _lives(aws: Any, names: list[str], journal: Path, **params: Any) -> Life:
    """A whole life of VMs with these names, in a cloud as new."""
    aws.cloud.reset()
    aws.cloud.settings(**QUICK)
    every = [aws.params(name, **params) for name in names]
    config = {**aws.config, "tick": 0.01}
    return Life(config=config, journal=str(journal), params=every)


def _audit(aws: Any, names: list[str], first: Fate, second: Fate) -> None:
    """What has to hold of the cloud and of the journal after two processes' life of the VMs."""
    assert second.exit_code == 0
    ever = aws.api.describe_instances()["Reservations"]
    assert sum(len(one["Instances"]) for one in ever) == len(names), "VMs were made twice"
    assert aws.left() == {}
    assert aws.states() == dict.fromkeys(names, "GONE")
    # a caller that dies between a reboot and its answer, and asks again, is asking again
    twice = first.verb == RESTART and not first.pending and "RebootInstances" in first.calls[-1:]
    sent = Counter(i for r in aws.requests("RebootInstances") for i in r["InstanceId"])
    asked = 1 + (twice and len(aws.requests("RebootInstances")) > 1)
    assert sorted(sent.values()) == [asked] * len(names)


def _killed_everywhere(
    aws: Any, mother: Any, names: list[str], *, after: bool, step: int = 1, **params: Any
) -> int:
    """How many calls a life of these VMs has: see `lives.killed_everywhere`."""
    return killed_everywhere(
        aws,
        mother,
        lambda: _lives(aws, names, aws.journal, **params),
        partial(_audit, aws, names),
        after=after,
        step=step,
    )


MOMENTS = pytest.mark.parametrize("after", [False, True], ids=["before", "after"])


@MOMENTS
def test_one_vm(aws: Any, mother: Any, after: bool) -> None:
    """Killed before or after every fourth call: one VM, one reboot, and nothing is left."""
    assert _killed_everywhere(aws, mother, ["web-1"], after=after, step=4) > 12


@pytest.mark.slow
@MOMENTS
def test_three_vms(aws: Any, mother: Any, after: bool) -> None:
    """The same of a batch, at every fourth call."""
    names = ["web-1", "web-2", "web-3"]
    assert _killed_everywhere(aws, mother, names, after=after, step=4) > 12


@pytest.mark.parametrize("number", [1, 3])
def test_a_create_that_is_not_shown_yet(aws: Any, mother: Any, number: int) -> None:
    """Killed after RunInstances, with nothing to be seen yet: the token alone prevents a second."""
    names = [f"web-{i}" for i in range(number)]
    for kill_at in count(1):
        aws.journal = aws.journal.parent.parent / str(kill_at) / "journal.db"
        life = Life(**{**vars(_lives(aws, names, aws.journal)), "kill_at": kill_at, "after": True})
        aws.cloud.settings(invisible=2.0)  # more than it takes to ask again
        first = mother.live(life)
        if first.calls[-1] == "RunInstances":
            break
    second = mother.live(Life(**{**vars(life), "kill_at": 0}))
    _audit(aws, names, first, second)
    one, other = aws.requests("RunInstances")
    assert one == other


@pytest.mark.slow
@MOMENTS
@pytest.mark.parametrize(
    "params",
    [{}, {"spot": True, "spotMode": "persistent"}],
    ids=["on demand", "persistent"],
)
@pytest.mark.parametrize("number", [1, 3, 10])
def test_more_of_them(
    aws: Any, mother: Any, number: int, params: dict[str, Any], after: bool
) -> None:
    """Batches of all sizes and persistent spot VMs, at every call."""
    names = [f"web-{i}" for i in range(number)]
    assert _killed_everywhere(aws, mother, names, after=after, **params) > 12
