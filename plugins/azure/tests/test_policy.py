"""The roles of the how-to allow what vmops calls in a whole life, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from policy import Life

from vmops import Status, VMOps
from vmops_azure.backend import AzureBackend
from vmops_azure.settings import AzureSettings

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "run-on-azure.md").read_text()
SECTION = PAGE.split("\n## The least that it may do\n")[1].split("\n## ")[0]
BLOCK = re.compile(r'^```json title="(.*?)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
ROLES: dict[str, set[str]] = {
    name: set(json.loads(text)["Actions"]) for name, text in BLOCK.findall(SECTION)
}
MACHINES, NETWORK = ROLES["vmops-role.json"], ROLES["vmops-network-role.json"]
RECORDS = "Microsoft.Compute/locations/operations/read"
VERBS = {"GET": "read", "PUT": "write", "DELETE": "delete"}

Calls = list[dict[str, Any]]


def linked() -> set[str]:
    """The actions in the page's table of what ARM checks beside a call."""
    rows = [line.strip("|").split("|") for line in SECTION.splitlines() if line.startswith("| `")]
    return {
        f"{kind}/{end}"
        for kinds, ends, _ in rows
        for kind in re.findall(r"`(.*?)`", kinds)
        for end in re.findall(r"`(.*?)`", ends)
    }


def needed(call: dict[str, Any]) -> str:
    """The action that ARM wants for a call."""
    path, method = call["path"], call["method"]
    if "/providers/Microsoft.Resources/tags/" in path:
        return "Microsoft.Resources/tags/write"
    if "/providers/" not in path:
        kind = "subscriptions/resourceGroups" if "/resourceGroups/" in path else "subscriptions"
        return f"Microsoft.Resources/{kind}/{VERBS[method]}"
    provider, *rest = path.rpartition("/providers/")[2].split("/")
    kinds = "/".join(rest[::2])
    return f"{provider}/{kinds}/{'action' if method == 'POST' else VERBS[method]}"


def first(life: Life) -> None:
    """The VM for which the resource group and the network are made."""
    life.do("provision", {"vmName": "first-1"})
    life.do("deprovision", {"vmName": "first-1"})


def many(life: Life) -> None:
    """So many VMs that they are listed, and all verbs on one of them."""
    names = [{"vmName": f"web-{i}"} for i in range(25)]
    one = names[0]
    life.do("provision", *names)
    life.do("stop", {**one, "stopMode": "keep"})
    for verb in ("start", "restart", "stop"):
        life.do(verb, one)
    life.renew(one)
    assert len(life.ops.list_vms()) == len(names)
    life.do("deprovision", *names)


def allow(arm: Any, actions: set[str]) -> None:
    """Let the emulator refuse whatever needs another action."""
    arm.settings(actions=sorted(actions))


def test_roles_allow_what_is_called_and_nothing_else(
    config: dict[str, Any], arm: Any, tmp_path: Path
) -> None:
    """A life within the roles meets no refusal; what it does not use is what ARM checks beside."""
    with VMOps({**config, "publicIp": True}, journal=tmp_path / "journal.db") as ops:
        life = Life(ops)
        allow(arm, MACHINES | NETWORK)
        first(life)
        allow(arm, MACHINES)  # the network is there now
        many(life)
        life.left_over(arm)
    settings = AzureSettings(subscription=config["subscription"], endpoint_url=arm.endpoint)
    assert all(check.ok for check in AzureBackend.doctor(settings))
    calls: Calls = arm.calls()
    assert [call for call in calls if call["status"] == 403] == []
    used = {needed(call) for call in calls}
    assert used | linked() == MACHINES | NETWORK
    assert used & linked() == set()


def test_network_role_alone_makes_no_vm() -> None:
    """The second role adds nothing about VMs and what belongs to them."""
    assert {action for action in NETWORK if "Compute" in action or "Interface" in action} == set()
    assert not [action for action in MACHINES if "resourceGroups/write" in action]


@pytest.mark.parametrize("kind", ["virtualNetworks/subnets", "networkSecurityGroups"])
def test_what_a_body_refers_to_has_to_be_joined(
    kind: str, config: dict[str, Any], arm: Any, tmp_path: Path
) -> None:
    """The emulator refuses a create without these two of the actions that no call shows."""
    allow(arm, (MACHINES | NETWORK) - {f"Microsoft.Network/{kind}/join/action"})
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        status, result = ops.vm_provision({"vmName": "web-1"})
    assert status is Status.FAILED
    assert result.error.provider_code == "LinkedAuthorizationFailed"


def test_without_records_the_vms_tell(config: dict[str, Any], arm: Any, tmp_path: Path) -> None:
    """Operations that may not be read are judged by states; a restart is not confirmed then."""
    allow(arm, (MACHINES | NETWORK) - {RECORDS})
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        life = Life(ops)
        life.do("provision", {"vmName": "web-1"})
        status, info = ops.wait_vm_operation(ops.vm_restart({"vmName": "web-1"})[1])
        assert (status, info["restartConfirmed"]) == (Status.SUCCEEDED, False)
        life.do("stop", {"vmName": "web-1"})
        life.do("deprovision", {"vmName": "web-1"})
    assert {c["status"] for c in arm.calls() if c["action"] == "GET operations"} == {403}
