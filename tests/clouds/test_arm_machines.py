"""The ARM emulator's VMs: what they go through, and what they leave behind."""

from __future__ import annotations

from typing import Any

import arm_calls
import pytest
from arm_calls import SECONDS, Arm

arm, arm_server = arm_calls.arm, arm_calls.arm_server

NETWORKED = ["disks", "networkInterfaces", "publicIPAddresses", "virtualMachines"]


def test_a_life_with_the_sdk(arm: Arm) -> None:
    """The real SDK's pollers see each verb to its end, and a deletion takes all that came along."""
    from azure.core import MatchConditions
    from azure.core.exceptions import HttpResponseError

    arm.cloud.settings(speed=1000.0)
    options: dict[str, Any] = {"enforce_https": False, "polling_interval": 0.01}
    once = {"match_condition": MatchConditions.IfMissing, "etag": "*", **options}
    vms = arm.cloud.client(retry_total=0).virtual_machines

    made = vms.begin_create_or_update("g", "vm", arm.wanted(), **once).result()
    assert (made.provisioning_state, made.name, arm.power()) == ("Succeeded", "vm", "running")
    with pytest.raises(HttpResponseError) as refused:
        vms.begin_create_or_update("g", "vm", arm.wanted(), **once)
    assert (refused.value.status_code, refused.value.error.code) == (412, "PreconditionFailed")

    for verb, power in (
        (vms.begin_power_off, "stopped"),
        (vms.begin_start, "running"),
        (vms.begin_restart, "running"),
        (vms.begin_deallocate, "deallocated"),
    ):
        verb("g", "vm", **options).result()
        assert arm.power() == power
    (shown,) = vms.list_all(status_only="true", enforce_https=False)
    assert shown.instance_view.statuses[1].code == "PowerState/deallocated"
    assert arm.left() == NETWORKED
    vms.begin_delete("g", "vm", **options).result()
    assert arm.left() == []


def test_a_vm_is_creating_until_it_runs(arm: Arm) -> None:
    """Its PUT answers 201; until it is made, it has no power state, but its NIC and its disk."""
    made = arm.ask("PUT", arm.vm(), arm.wanted())
    assert (made.status, made.body["properties"]["provisioningState"]) == (201, "Creating")
    assert (arm.status(made), arm.state(), arm.power()) == ("InProgress", "Creating", "")
    assert "vmAgent" not in arm.ask("GET", f"{arm.vm()}/instanceView").body
    assert arm.left() == NETWORKED
    arm.cloud.advance(SECONDS)
    assert (arm.status(made), arm.state(), arm.power()) == ("Succeeded", "Succeeded", "running")
    assert "vmAgent" in arm.ask("GET", f"{arm.vm()}/instanceView").body


@pytest.mark.parametrize(
    ("verb", "during", "after"),
    [
        ("start", "running", "running"),
        ("powerOff", "stopping", "stopped"),
        ("deallocate", "deallocating", "deallocated"),
        ("restart", "running", "running"),
        ("redeploy", "running", "running"),
        ("reapply", "running", "running"),
    ],
)
def test_verbs_of_a_running_vm(arm: Arm, verb: str, during: str, after: str) -> None:
    """202 without a body; Updating with a power state of its own meanwhile."""
    vm = arm.running()
    begun = arm.ask("POST", f"{vm}/{verb}")
    assert (begun.status, begun.body) == (202, None)
    assert (arm.state(), arm.power(), arm.status(begun)) == ("Updating", during, "InProgress")
    arm.cloud.advance(SECONDS)
    assert (arm.state(), arm.power(), arm.status(begun)) == ("Succeeded", after, "Succeeded")


def test_verbs_of_a_deallocated_vm(arm: Arm) -> None:
    """It cannot be restarted, stays deallocated when it is powered off, and starts."""
    vm = arm.running()
    arm.ask("POST", f"{vm}/deallocate")
    arm.cloud.advance(SECONDS)
    assert arm.ask("POST", f"{vm}/restart").code == "OperationNotAllowed"
    arm.ask("POST", f"{vm}/powerOff")
    arm.cloud.advance(SECONDS)
    assert arm.power() == "deallocated"
    arm.ask("POST", f"{vm}/start")
    assert arm.power() == "starting"
    arm.cloud.advance(SECONDS)
    assert arm.power() == "running"


def test_newer_verbs_preempt_older_ones(arm: Arm) -> None:
    """What stops or deletes a VM ends what is under way; nothing else may come meanwhile."""
    made = arm.ask("PUT", arm.vm(), arm.wanted())
    assert arm.ask("POST", f"{arm.vm()}/start").code == "OperationNotAllowed"
    stopped = arm.ask("POST", f"{arm.vm()}/deallocate")
    record = arm.follow(made.headers["azure-asyncoperation"]).body
    assert (record["status"], record["error"]["code"]) == ("Canceled", "OperationPreempted")
    deleted = arm.ask("DELETE", arm.vm())
    assert (arm.status(stopped), arm.state()) == ("Canceled", "Deleting")
    assert arm.ask("POST", f"{arm.vm()}/start").status == 409
    assert arm.ask("PUT", arm.vm(), arm.wanted()).status == 409
    arm.cloud.advance(SECONDS)
    assert (arm.status(deleted), arm.state()) == ("Succeeded", "ResourceNotFound")


def test_a_late_deletion_spares_a_new_vm(arm: Arm) -> None:
    """The second of two deletions does not take a VM that was made after the first."""
    arm.running()
    arm.ask("DELETE", arm.vm())
    arm.cloud.advance(SECONDS / 2)
    arm.ask("DELETE", arm.vm())
    arm.cloud.advance(SECONDS / 2)
    arm.ask("PUT", arm.vm(), arm.wanted())
    arm.cloud.advance(SECONDS)
    assert arm.power() == "running"


def test_detached_things_stay(arm: Arm) -> None:
    """With `Detach`, disk, interface and address outlive the VM, and can then be deleted."""
    vm = arm.running(delete="Detach")
    (card,) = arm.ask("GET", vm).body["properties"]["networkProfile"]["networkInterfaces"]
    assert arm.ask("DELETE", card["id"]).code == "NicInUse"
    arm.ask("DELETE", vm)
    arm.cloud.advance(SECONDS)
    assert arm.left() == ["disks", "networkInterfaces", "publicIPAddresses"]
    (disk,) = arm.ask("GET", f"{arm.group}/providers/Microsoft.Compute/disks").body["value"]
    assert (disk["properties"]["diskState"], "managedBy" in disk) == ("Unattached", False)
    assert arm.ask("DELETE", card["id"]).status == 202


def test_disks_are_attached_and_let_go(arm: Arm) -> None:
    """A disk has one owner, cannot be deleted meanwhile, and is free when the VM says so."""
    disk = f"{arm.group}/providers/Microsoft.Compute/disks/d"
    empty = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 8}
    arm.ask("PUT", disk, {"location": "westeurope", "properties": empty})
    arm.cloud.advance(SECONDS)
    storage = arm.wanted()["properties"]["storageProfile"]
    data = {"lun": 0, "createOption": "Attach", "managedDisk": {"id": disk}}
    wanted = arm.wanted(storageProfile={**storage, "dataDisks": [data]})
    arm.ask("PUT", arm.vm(), wanted)
    arm.cloud.advance(SECONDS)
    assert arm.ask("GET", disk).body["managedBy"] == arm.vm()
    assert arm.ask("DELETE", disk).code == "OperationNotAllowed"
    assert arm.ask("PUT", arm.vm("second"), wanted).code == "ConflictingUserInput"
    arm.ask("PUT", arm.vm(), arm.wanted(storageProfile={**storage, "dataDisks": []}))
    assert "managedBy" not in arm.ask("GET", disk).body
    assert arm.ask("DELETE", disk).status == 202


def test_an_interface_has_one_vm(arm: Arm) -> None:
    """A VM cannot take the interface of another one."""
    (card,) = arm.ask("GET", arm.running()).body["properties"]["networkProfile"][
        "networkInterfaces"
    ]
    taken = arm.wanted(networkProfile={"networkInterfaces": [{"id": card["id"]}]})
    assert arm.ask("PUT", arm.vm("second"), taken).code == "NicInUse"


def test_an_inline_interface(arm: Arm) -> None:
    """It gets a name of its own, a private address, and with $expand shows its public one."""
    vm = arm.running()
    (card,) = arm.ask("GET", vm).body["properties"]["networkProfile"]["networkInterfaces"]
    assert card["id"].split("/")[-1].startswith("nic-")
    assert card["properties"] == {"primary": True, "deleteOption": "Delete"}
    shown = arm.ask("GET", f"{card['id']}?$expand=ipConfigurations/publicIPAddress").body
    (place,) = shown["properties"]["ipConfigurations"]
    assert place["properties"]["privateIPAddress"].startswith("10.0.0.")
    assert place["properties"]["publicIPAddress"]["properties"]["ipAddress"].startswith("20.")
    assert shown["properties"]["virtualMachine"]["id"] == vm


def test_the_same_put_again(arm: Arm) -> None:
    """It makes no second disk or interface, and loses none; what is fixed cannot be changed."""
    vm = arm.running()
    before = arm.ask("GET", vm).body["properties"]
    assert arm.ask("PUT", vm, arm.wanted()).status == 200
    arm.cloud.advance(SECONDS)
    after = arm.ask("GET", vm).body["properties"]
    assert arm.left() == NETWORKED
    for name in ("vmId", "networkProfile", "storageProfile"):
        assert after[name] == before[name]
    other = arm.wanted(osProfile={"adminUsername": "you"})
    assert arm.ask("PUT", vm, other).code == "PropertyChangeNotAllowed"
    elsewhere = {**arm.wanted(), "location": "northeurope"}
    assert arm.ask("PUT", vm, elsewhere).code == "InvalidResourceLocation"


def test_a_failed_create(arm: Arm) -> None:
    """It leaves a VM in Failed with all that came with it, and a deletion takes them."""
    arm.cloud.fault(operation="create", code="OSProvisioningTimedOut", message="too slow")
    made = arm.ask("PUT", arm.vm(), arm.wanted())
    arm.cloud.advance(SECONDS)
    record = arm.follow(made.headers["azure-asyncoperation"]).body
    assert record["error"] == {"code": "OSProvisioningTimedOut", "message": "too slow"}
    assert (record["status"], arm.state(), arm.power()) == ("Failed", "Failed", "")
    assert arm.left() == NETWORKED
    arm.ask("DELETE", arm.vm())
    arm.cloud.advance(SECONDS)
    assert arm.left() == []


@pytest.mark.parametrize(
    ("more", "properties", "code"),
    [
        ({}, {}, "AllocationFailed"),
        ({"zones": ["1"]}, {}, "ZonalAllocationFailed"),
        ({}, {"availabilitySet": {"id": "/subscriptions/x"}}, "OverconstrainedAllocationRequest"),
    ],
)
def test_no_capacity(arm: Arm, more: Any, properties: Any, code: str) -> None:
    """The PUT is accepted, and its operation fails with the code that the request earns."""
    arm.cloud.settings(no_capacity=["Standard_D2s_v5"])
    made = arm.ask("PUT", arm.vm(), {**arm.wanted(**properties), **more})
    arm.cloud.advance(SECONDS)
    record = arm.follow(made.headers["azure-asyncoperation"]).body
    assert (made.status, record["error"]["code"]) == (201, code)


def test_no_capacity_for_a_start(arm: Arm) -> None:
    """A deallocated VM has lost its place: it stays deallocated if there is none; others start."""
    vm = arm.running()
    arm.cloud.settings(no_capacity=["Standard_D2s_v5"])
    for verb, status, power in (
        ("powerOff", "Succeeded", "stopped"),
        ("start", "Succeeded", "running"),
        ("deallocate", "Succeeded", "deallocated"),
        ("start", "Failed", "deallocated"),
    ):
        begun = arm.ask("POST", f"{vm}/{verb}")
        arm.cloud.advance(SECONDS)
        assert (arm.status(begun), arm.power()) == (status, power)
    assert arm.state() == "Failed"


def test_a_sold_out_size_and_a_quota(arm: Arm) -> None:
    """Both are refused at once, and nothing is left of it; a quota is a region's."""
    arm.cloud.settings(sold_out=["Standard_D2s_v5"])
    assert arm.ask("PUT", arm.vm(), arm.wanted()).code == "SkuNotAvailable"
    arm.cloud.settings(sold_out=[], cores=3)
    arm.running()
    refused = arm.ask("PUT", arm.vm("second"), arm.wanted())
    assert (refused.status, refused.code) == (409, "OperationNotAllowed")
    assert "Current Limit: 3, Current Usage: 2" in refused.body["error"]["message"]
    assert arm.left() == NETWORKED
    elsewhere = {**arm.wanted(networkProfile={}), "location": "northeurope"}
    assert arm.ask("PUT", arm.vm("second"), elsewhere).status == 201


@pytest.mark.parametrize(("policy", "left"), [("Deallocate", "deallocated"), ("Delete", "")])
def test_evictions(arm: Arm, policy: str, left: str) -> None:
    """A spot VM goes as its policy says; another one cannot be taken."""
    spot = arm.running("spot", priority="Spot", evictionPolicy=policy)
    arm.cloud.evict("spot")
    assert arm.power("spot") == left
    assert (arm.ask("GET", spot).status == 404) == (policy == "Delete")
    assert arm.ask("POST", f"{arm.running()}/simulateEviction").code == "OperationNotAllowed"


def test_an_eviction_ends_what_is_under_way(arm: Arm) -> None:
    """A spot VM that is taken away in the middle of a restart does not run at its end."""
    spot = arm.running("spot", priority="Spot", evictionPolicy="Deallocate")
    begun = arm.ask("POST", f"{spot}/restart")
    arm.cloud.evict("spot")
    arm.cloud.advance(SECONDS)
    assert (arm.status(begun), arm.power("spot")) == ("Canceled", "deallocated")


def test_secrets_are_not_shown(arm: Arm) -> None:
    """Password and custom data never are, user data where it is asked for."""
    vm = arm.running(userData="dXNlcg==")
    found = arm.ask("GET", vm).body["properties"]
    assert not {"adminPassword", "customData"} & set(found["osProfile"])
    assert "userData" not in found
    expanded = arm.ask("GET", f"{vm}?$expand=userData").body["properties"]
    assert expanded["userData"] == "dXNlcg=="


def test_a_list_of_states(arm: Arm) -> None:
    """With statusOnly, a list has how VMs stand and nothing of what they are."""
    arm.running()
    every = f"{arm.subscription}/providers/Microsoft.Compute/virtualMachines"
    (shown,) = arm.ask("GET", f"{every}?statusOnly=true").body["value"]
    assert set(shown) == {"id", "name", "type", "location", "properties"}
    assert set(shown["properties"]) == {"vmId", "provisioningState", "instanceView"}
    (whole,) = arm.ask("GET", every).body["value"]
    assert "hardwareProfile" in whole["properties"]
