"""The server that answers with one recording of Azure Resource Manager."""

from __future__ import annotations

from typing import Any

import pytest
from arm_reality.cassette import load
from arm_reality.replay import RECORDINGS
from arm_reality.replay_server import ReplayCloud

VM = RECORDINGS / "compute-23.1.0-vm.jsonl"
VM_PATH = next(item.path for item in load(VM).exchanges if item.path.endswith("/start"))[:-6]


def test_replay_server() -> None:
    """Power states follow the verbs, a deleted machine is gone, and anything else is 404."""
    machine = VM_PATH
    with ReplayCloud(VM) as cloud:

        def asked(method: str, target: str) -> Any:
            return cloud.answer(method, target, None)

        def power() -> str:
            _, _, found = asked("GET", f"{machine}?$expand=instanceView&api-version=9")
            codes = [each["code"] for each in found["properties"]["instanceView"]["statuses"]]
            return next(code for code in codes if code.startswith("PowerState/"))

        before = power()
        _, headers, _ = asked("POST", f"{machine}/powerOff?api-version=9")
        stopped = power()
        asked("POST", f"{machine}/start")
        started = power()
        asked("DELETE", machine)

        assert [before, stopped, started] == [
            f"PowerState/{state}" for state in ("running", "stopped", "running")
        ]
        assert headers["azure-asyncoperation"].startswith(cloud.endpoint)
        assert asked("GET", machine)[2]["error"]["code"] == "ResourceNotFound"
        assert asked("POST", f"{machine}/fly")[0] == 404
        assert cloud.unknown() == [f"POST {machine}/fly"]


def test_replay_server_serves_the_sdk() -> None:
    """Microsoft's client lives a machine's life with it, to the end of each operation."""
    from azure.core.credentials import AccessToken
    from azure.core.exceptions import ResourceNotFoundError
    from azure.mgmt.compute import ComputeManagementClient

    class Credential:
        def get_token(self, *scopes: str, **options: Any) -> AccessToken:
            return AccessToken("testing", 2**31)

    with ReplayCloud(VM) as cloud:
        name = VM_PATH.rpartition("/")[2]
        client = ComputeManagementClient(
            Credential(),
            cloud.subscription,
            cloud.endpoint,
            enforce_https=False,
            polling_interval=0,
        )
        plain: Any = {"enforce_https": False}
        with client:
            machines = client.virtual_machines
            for verb in ("begin_power_off", "begin_start", "begin_restart", "begin_deallocate"):
                getattr(machines, verb)("rgname", name, **plain).wait()
            view = machines.get("rgname", name, expand="instanceView", **plain).instance_view
            machines.begin_delete("rgname", name, **plain).wait()
            with pytest.raises(ResourceNotFoundError):
                machines.get("rgname", name, **plain)

        assert view.statuses[-1].code == "PowerState/deallocated"
        assert cloud.unknown() == []
