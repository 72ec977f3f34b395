"""The plugin against what the real ARM once answered, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vmops import Status, VMOps

RECORDINGS = Path(__file__).parents[4] / "tests" / "clouds" / "arm_reality" / "recordings"
VERB = re.compile(
    r"/virtualMachines/([^/?\"]+)/(start|powerOff|restart|deallocate)\b", re.IGNORECASE
)
LIVES = sorted(
    path.stem
    for path in RECORDINGS.glob("*.jsonl")
    if {found[1].lower() for found in VERB.findall(path.read_text())}
    >= {"start", "poweroff", "restart", "deallocate"}
)


def test_there_are_recorded_lives() -> None:
    """The recordings hold whole lives of VMs."""
    assert len(LIVES) >= 3


@pytest.fixture(params=LIVES)
def recorded(request: pytest.FixtureRequest) -> Iterator[Any]:
    """One recording as a server."""
    from arm_reality.replay_server import ReplayCloud

    with ReplayCloud(RECORDINGS / f"{request.param}.jsonl") as cloud:
        yield cloud


def machine_of(cloud: Any) -> tuple[str, str]:
    """The resource group and the name of the recorded VM."""
    from arm_reality.replay_server import POWER  # the verbs that it knows

    paths = [item.path for item in cloud._recorded]
    path = next(one for one in paths if one.rpartition("/")[2].lower() in POWER)
    _, _, _, _, group, *_, name, _ = path.split("/")
    return group, name


def test_a_recorded_life(recorded: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every verb on the recorded VM ends as it did there; nothing else is asked."""
    for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in recorded.environment().items():
        monkeypatch.setenv(name, value)
    group, name = machine_of(recorded)
    config = {
        "backend": "azure",
        "subscription": recorded.subscription,
        "resourceGroup": group,
        "endpointUrl": recorded.endpoint,
        "tick": 0.01,
    }
    vm: dict[str, Any] = {"vmName": name}
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        seen = ops.describe(vm)
        assert seen is not None
        assert (seen.state, seen.tags) == ("running", None)
        assert re.fullmatch(r"[0-9a-f-]{36}", seen.id)

        def lived(verb: str, **more: Any) -> Any:
            status, result = getattr(ops, f"vm_{verb}")({**vm, **more})
            assert status is Status.PENDING, result.error
            status, result = ops.wait_vm_operation({**result, "pollTimeout": 30})
            assert status is Status.SUCCEEDED, result.error
            return result

        assert lived("stop", stopMode="keep")["vmId"] == seen.id
        assert ops.describe(vm).holds_compute
        lived("start")
        assert lived("restart")["restartConfirmed"] is True
        lived("stop")
        assert not ops.describe(vm).holds_compute
        lived("deprovision", deleteUnowned=True)
        assert ops.describe(vm) is None or ops.describe(vm).state == "absent"
    assert recorded.unknown() == []
