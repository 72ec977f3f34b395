"""Which VM is meant: names, unique ids, resource ids, and what took over a name."""

from __future__ import annotations

from typing import Any

import pytest

from vmops import Ref, Status, Tags, Target, VMOps
from vmops.errors import Conflict, InvalidRequest, NotFound
from vmops_azure.backend import AzureBackend
from vmops_azure.settings import AzureParams, AzureSettings


def foreign(azure: Any, name: str, **tags: str) -> str:
    """The unique id of a VM that somebody else makes in the same group."""
    body = {
        "location": "westeurope",
        "tags": tags,
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_B1s"},
            "storageProfile": {
                "imageReference": {
                    "publisher": "Canonical",
                    "offer": "ubuntu-24_04-lts",
                    "sku": "server",
                    "version": "latest",
                },
                "osDisk": {"createOption": "FromImage"},
            },
            "osProfile": {"computerName": "x", "adminUsername": "a", "adminPassword": "Pa55word!x"},
            "networkProfile": {"networkInterfaces": []},
        },
    }
    status, _, made = azure.cloud.call("PUT", f"{azure.path(name)}?api-version=2024-11-01", body)
    assert status == 201, made
    azure.until(name, "running")
    found: str = made["properties"]["vmId"]
    return found


@pytest.fixture
def group(azure: Any, ops: VMOps) -> VMOps:
    """Where one of our VMs is, so that its group and network exist."""
    azure.up(ops)
    return ops


def test_a_vm_made_elsewhere_is_run_but_not_deleted(group: VMOps, azure: Any) -> None:
    """Start, stop and restart work on it; deleting and making over it are refused."""
    foreign(azure, "Theirs")
    azure.wait(group, group.vm_stop({"vmName": "Theirs"}))
    assert azure.power("Theirs") == "deallocated"
    azure.wait(group, group.vm_start({"vmName": "Theirs"}))
    azure.wait(group, group.vm_restart({"vmName": "Theirs"}))
    for answer in (
        group.vm_deprovision({"vmName": "Theirs"}),
        group.vm_provision(azure.params("Theirs")),
    ):
        assert answer[0] is Status.FAILED
        assert isinstance(answer[1].error, Conflict)
    azure.wait(group, group.vm_deprovision({"vmName": "Theirs", "deleteUnowned": True}))
    assert azure.model("Theirs") == {}


def test_a_resource_id_names_a_vm(group: VMOps, azure: Any) -> None:
    """In any case of its letters, as ARM takes it."""
    foreign(azure, "theirs")
    for vm_id in (
        azure.path("theirs"),
        azure.path("THEIRS").replace("resourceGroups", "resourcegroups"),
    ):
        azure.wait(group, group.vm_stop({"vmId": vm_id}))
        azure.wait(group, group.vm_start({"vmId": vm_id}))
    assert azure.power("theirs") == "running"


def test_a_unique_id_names_a_vm(azure: Any, group: VMOps) -> None:
    """Even for a process that has not seen it: a list tells."""
    vm_id = foreign(azure, "theirs")
    with azure.open(azure.journal.parent / "other.db") as fresh:
        azure.wait(fresh, fresh.vm_stop({"vmId": vm_id}))
    assert azure.power("theirs") == "deallocated"


@pytest.mark.parametrize("group_name", ["other", "vmops-2"])
def test_a_resource_id_of_another_group_is_not_found(
    group: VMOps, azure: Any, group_name: str
) -> None:
    """The connection's own resource group is meant, and no other."""
    status, result = group.vm_stop({"vmId": azure.path("web-1", group_name)})
    assert status is Status.FAILED
    assert isinstance(result.error, NotFound)
    assert azure.power("web-1") == "running"


def test_another_spelling_of_our_vm_is_not_ours(group: VMOps, azure: Any) -> None:
    """Azure ignores case, the journal does not: nothing is made or deleted by the other name."""
    for answer in (
        group.vm_provision(azure.params("WEB-1")),
        group.vm_deprovision({"vmName": "WEB-1"}),
    ):
        assert answer[0] is Status.FAILED
        assert isinstance(answer[1].error, Conflict)
    assert azure.power("web-1") == "running"


def test_tags_that_were_copied_prove_nothing(group: VMOps, azure: Any) -> None:
    """A VM with the tags of another one is not ours."""
    tags = azure.model("web-1")["tags"]
    foreign(azure, "copy", **tags)
    assert group.vm_deprovision({"vmName": "copy"})[0] is Status.FAILED
    assert sorted(vm.name for vm in group.list_vms()) == ["copy", "web-1"]
    assert [vm.name for vm in group.list_vms() if vm.tags is not None] == ["web-1"]


def test_what_took_over_a_name_is_another_vm(group: VMOps, azure: Any) -> None:
    """The deletion of a VM has succeeded, whoever has its name now."""
    _, result = group.vm_deprovision({"vmName": "web-1"})
    azure.wait(group, (Status.PENDING, result))
    foreign(azure, "web-1")
    azure.cloud.settings(operation_lifetime=0)
    azure.cloud.advance(3600)
    with VMOps(azure.config, journal=None) as other:
        status, _ = other.wait_vm_operation({**result, "pollTimeout": 5})
    assert status is Status.SUCCEEDED
    assert azure.power("web-1") == "running"


def test_what_was_remade_is_neither_deleted_nor_claimed(group: VMOps, azure: Any) -> None:
    """ARM goes by the name; a VM that somebody has made under it since the look is left alone."""
    settings = AzureSettings(
        subscription=azure.cloud.subscription, endpoint_url=azure.cloud.endpoint
    )
    backend = AzureBackend(settings)
    (mine,) = backend.describe([Ref("web-1")])
    azure.wait(group, group.vm_deprovision({"vmName": "web-1"}))
    foreign(azure, "web-1")
    backend._machines._sighted.clear()  # as after some seconds
    params = AzureParams()
    with pytest.raises(NotFound, match="another one has its name"):
        backend.deprovision(Target(mine, params), "t")
    with pytest.raises(NotFound, match="another one has its name"):
        backend.retag(mine, Tags("me", "web-1", "t"))
    backend.close()
    assert azure.power("web-1") == "running"
    assert azure.model("web-1").get("tags", {}) == {}


def test_what_a_list_misses_is_asked_for(group: VMOps, azure: Any) -> None:
    """A VM that was seen before is not gone because one list lacks it."""
    settings = AzureSettings(
        subscription=azure.cloud.subscription, endpoint_url=azure.cloud.endpoint
    )
    backend = AzureBackend(settings)
    (mine,) = backend.describe([Ref("web-1")])
    backend._machines.listed = list
    many = [Ref("web-1", mine.id), *(Ref(f"no-{i}") for i in range(25))]
    assert [(vm.name, vm.state) for vm in backend.describe(many)] == [("web-1", "running")]
    backend.close()


# -- network --------------------------------------------------------------------------------------


def network_writes(azure: Any) -> list[str]:
    """What was made that is no VM."""
    return [
        call["path"].rpartition("/")[2]
        for call in azure.cloud.calls()
        if call["method"] == "PUT" and "/virtualMachines/" not in call["path"]
    ]


def test_the_network_is_made_once(azure: Any, ops: VMOps) -> None:
    """By fixed names; a second process finds it and changes nothing."""
    azure.all(ops, "provision", [f"web-{i}" for i in range(4)])
    assert network_writes(azure) == ["vmops", "vmops-westeurope", "vmops-westeurope"]
    with azure.open(azure.journal.parent / "other.db") as other:
        azure.up(other, "db-1")
    assert len(network_writes(azure)) == 3


def test_each_region_has_a_network_of_its_own(azure: Any, ops: VMOps) -> None:
    """In the same resource group."""
    azure.up(ops, "web-1")
    with azure.open(location="northeurope") as other:
        azure.up(other, "web-2")
    assert network_writes(azure)[3:] == ["vmops-northeurope", "vmops-northeurope"]


def test_a_named_group_must_exist(azure: Any) -> None:
    """Only our own group is made; the error says how to make another."""
    ops = azure.open(resourceGroup="Mine")
    status, result = ops.vm_provision(azure.params())
    assert status is Status.FAILED
    assert isinstance(result.error, InvalidRequest)
    assert "az group create --name mine" in result.error.hint
    assert network_writes(azure) == []


def test_a_named_group_and_subnet_are_used_as_they_are(azure: Any) -> None:
    """Nothing but the VM is made there."""
    place = f"/subscriptions/{azure.cloud.subscription}/resourceGroups/mine"
    network = f"{place}/providers/Microsoft.Network/virtualNetworks/net"
    azure.cloud.call("PUT", f"{place}?api-version=2022-09-01", {"location": "westeurope"})
    subnets = [{"name": "default", "properties": {"addressPrefix": "10.0.0.0/24"}}]
    properties = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}
    body = {"location": "westeurope", "properties": properties}
    azure.cloud.call("PUT", f"{network}?api-version=2024-05-01", body)
    before = len(network_writes(azure))
    ops = azure.open(resourceGroup="mine")
    azure.up(ops, subnet="net/default")
    assert network_writes(azure)[before:] == []
    (made,) = [c for c in azure.cloud.calls() if c["action"] == "PUT virtualMachines"]
    (card,) = made["body"]["properties"]["networkProfile"]["networkInterfaceConfigurations"]
    (place_,) = card["properties"]["ipConfigurations"]
    assert place_["properties"]["subnet"]["id"].endswith("/virtualNetworks/net/subnets/default")


def test_a_network_that_was_deleted_is_made_again(azure: Any, ops: VMOps) -> None:
    """The create that meets its absence fails; the next one finds or makes it."""
    azure.up(ops)
    azure.wait(ops, ops.vm_deprovision({"vmName": "web-1"}))
    place = f"/subscriptions/{azure.cloud.subscription}/resourceGroups/vmops"
    azure.cloud.call("DELETE", f"{place}?api-version=2022-09-01")
    azure.cloud.advance(5)
    assert ops.vm_provision(azure.params("web-2"))[0] is Status.FAILED
    azure.up(ops, "web-2")


def test_a_location_is_needed_before_anything_is_asked(azure: Any) -> None:
    """The error says which words are meant."""
    del azure.config["location"]
    ops = azure.open()
    status, result = ops.vm_provision(azure.params())
    assert status is Status.FAILED
    assert "location" in str(result.error)
    assert [c for c in azure.cloud.calls() if c["method"] != "GET"] == []


def test_addresses_are_told(azure: Any, ops: VMOps) -> None:
    """Private and public ones, after the create and after a stop and a start."""
    made = azure.wait(ops, ops.vm_provision(azure.params(publicIp=True)))
    assert made["privateIp"]
    assert made["publicIp"]
    azure.wait(ops, ops.vm_stop({"vmName": "web-1"}))
    again = azure.wait(ops, ops.vm_start({"vmName": "web-1"}))
    assert {key: again[key] for key in ("privateIp", "publicIp", "vmId", "resourceId")} == {
        key: made[key] for key in ("privateIp", "publicIp", "vmId", "resourceId")
    }


def test_renewing_rewrites_all_tags(azure: Any, ops: VMOps) -> None:
    """Of the VM, its disk, its interface and its address."""
    azure.up(ops, publicIp=True, ttl=3600)
    ops.renew({"vmName": "web-1", "ttl": 7200})
    patched = [c["path"] for c in azure.cloud.calls() if c["method"] == "PATCH"]
    kinds = ["virtualMachines/", "disks/", "networkInterfaces/", "publicIPAddresses/"]
    assert [any(kind in path for path in patched) for kind in kinds] == [True] * 4


def test_stop_modes(azure: Any, ops: VMOps) -> None:
    """Deallocate by default; powerOff holds the compute, and can be released later."""
    azure.up(ops)
    azure.wait(ops, ops.vm_stop({"vmName": "web-1", "stopMode": "keep"}))
    seen = ops.describe({"vmName": "web-1"})
    assert (azure.power("web-1"), seen.holds_compute) == ("stopped", True)
    azure.wait(ops, ops.vm_deprovision({"vmName": "web-1", "deprovisionMode": "deallocate"}))
    assert azure.power("web-1") == "deallocated"


def test_force(azure: Any, ops: VMOps) -> None:
    """Each verb's own option is sent only where it is wanted."""
    azure.up(ops)
    azure.wait(ops, ops.vm_stop({"vmName": "web-1", "stopMode": "keep", "force": True}))
    azure.wait(ops, ops.vm_stop({"vmName": "web-1", "force": True}))
    azure.wait(ops, ops.vm_deprovision({"vmName": "web-1", "force": True}))
    queries = [c["query"] for c in azure.cloud.calls() if c["method"] in {"POST", "DELETE"}]
    wanted = ["skipShutdown=true", "forceDeallocate=true", "forceDeletion=true"]
    assert [one in query for one, query in zip(wanted, queries, strict=True)] == [True] * 3
