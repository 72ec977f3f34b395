"""What the ARM emulator refuses and why, and how it names, lists, tags and guards resources."""

from __future__ import annotations

from typing import Any

import arm_calls
import pytest
from arm_calls import SECONDS, Arm

arm, arm_server = arm_calls.arm, arm_calls.arm_server

_NETWORK = "{group}/providers/Microsoft.Network"
_VM = "{group}/providers/Microsoft.Compute/virtualMachines/vm"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", _VM, 404, "ResourceNotFound"),
        ("POST", _VM + "/start", 404, "ResourceNotFound"),
        ("DELETE", _VM, 204, ""),
        ("GET", "{group}2/providers/Microsoft.Compute/disks/d", 404, "ResourceGroupNotFound"),
        ("DELETE", "{group}2", 404, "ResourceGroupNotFound"),
        ("DELETE", "{group}2/providers/Microsoft.Compute/disks/d", 404, "ResourceGroupNotFound"),
        ("HEAD", "{group}", 204, ""),
        ("HEAD", "{group}2", 404, ""),
        ("GET", "/subscriptions/2222/resourceGroups/g", 404, "SubscriptionNotFound"),
        ("GET", _VM + "?api-version=", 400, "MissingApiVersionParameter"),
        ("GET", _VM + "?api-version=2024", 400, "InvalidApiVersionParameter"),
        ("GET", _VM + "?api-version=2029-01-01", 400, "NoRegisteredProviderFound"),
        ("GET", "{group}/providers/Microsoft.Compute/vms/vm", 404, "InvalidResourceType"),
        ("GET", "{group}/providers/Nobody.Compute/vms/vm", 404, "InvalidResourceNamespace"),
        ("PUT", _VM, 400, "InvalidRequestContent"),
        ("DELETE", _NETWORK + "/virtualNetworks/v/subnets/x", 204, ""),
        ("TRACE", _VM, 405, "MethodNotAllowed"),
    ],
)
def test_refused(arm: Arm, method: str, path: str, status: int, code: str) -> None:
    """Status and code are ARM's."""
    found = arm.ask(method, path.format(group=arm.group))
    assert (found.status, found.code) == (status, code)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"location": None}, "LocationRequired"),
        ({"location": "atlantis"}, "LocationNotAvailableForResourceType"),
        ({"hardwareProfile": {"vmSize": "huge"}}, "InvalidParameter"),
        ({"osProfile": {"computerName": "c", "adminUsername": "me"}}, "InvalidParameter"),
        ({"availabilitySet": {"id": "mine"}}, "LinkedInvalidPropertyId"),
        (
            {"networkProfile": {"networkInterfaces": [{"id": "/subscriptions/x"}]}},
            "InvalidResourceReference",
        ),
    ],
)
def test_vms_that_cannot_be(arm: Arm, change: dict[str, Any], code: str) -> None:
    """They are refused before anything is made."""
    body = arm.wanted()
    (body if "location" in change else body["properties"]).update(change)
    found = arm.ask("PUT", arm.vm(), body)
    assert (found.status, found.code, arm.left()) == (400, code, [])


def test_a_networked_vm_needs_its_subnet(arm: Arm) -> None:
    """An inline interface in a subnet that is not there is refused, and so is a bad version."""
    body = arm.wanted()
    body["properties"]["networkProfile"]["networkApiVersion"] = "2001-01-01"
    assert arm.ask("PUT", arm.vm(), body).code == "InvalidParameter"
    arm.ask("DELETE", arm.subnet)
    arm.cloud.advance(SECONDS)
    assert arm.ask("PUT", arm.vm(), arm.wanted()).code == "InvalidResourceReference"
    assert arm.left() == []


def test_headers(arm: Arm) -> None:
    """Every answer can be told apart and traced, and says what is left of the caller's limits."""
    first, second = (arm.ask("GET", arm.vm()).headers for _ in range(2))
    assert first["x-ms-request-id"] != second["x-ms-request-id"]
    assert first["x-ms-routing-request-id"].endswith(first["x-ms-correlation-request-id"])
    assert "Microsoft.Compute/LowCostGet" in first["x-ms-ratelimit-remaining-resource"]
    network = arm.ask("GET", arm.vnet).headers
    assert {"x-ms-arm-service-request-id", "etag"} <= set(network)
    assert "x-ms-ratelimit-remaining-subscription-deletes" in arm.ask("DELETE", arm.vm()).headers


def test_case_does_not_matter(arm: Arm) -> None:
    """Groups, providers, types and names are found in any case, and shown as they were made."""
    vm = arm.running("MyVM")
    shouted = vm.upper().replace(arm.cloud.subscription.upper(), arm.cloud.subscription)
    for path in (vm.lower(), shouted):
        found = arm.ask("GET", f"{path}?api-version=2024-11-01").body
        assert (found["id"], found["name"]) == (vm, "MyVM")
    lower = f"{arm.group}/providers/microsoft.compute/virtualmachines/myvm".replace("/g/", "/G/")
    assert arm.ask("PUT", lower, arm.wanted()).body["id"] == vm
    made = arm.ask("PUT", lower.replace("myvm", "new"), arm.wanted())
    assert made.body["id"] == arm.vm("new")


def test_lists_come_in_pages(arm: Arm) -> None:
    """Following nextLink gives each item once; groups and subscriptions have their own lists."""
    arm.cloud.settings(page=2)
    for number in range(5):
        arm.ask("PUT", arm.vm(f"vm-{number}"), arm.wanted(networkProfile={}))
    for scope in (arm.group, arm.subscription):
        answer = arm.ask("GET", f"{scope}/providers/Microsoft.Compute/virtualMachines")
        names = [one["name"] for one in answer.body["value"]]
        while link := answer.body.get("nextLink"):
            answer = arm.follow(link)
            names += [one["name"] for one in answer.body["value"]]
        assert names == [f"vm-{number}" for number in range(5)]
    assert len(arm.ask("GET", f"{arm.group}/resources").body["value"]) == 2
    groups = arm.ask("GET", f"{arm.subscription}/resourceGroups").body["value"]
    assert [one["name"] for one in groups] == ["g"]


@pytest.mark.parametrize(
    ("operation", "tags"),
    [
        ("Merge", {"a": "1", "b": "3", "c": "4"}),
        ("Replace", {"b": "3", "c": "4"}),
        ("Delete", {"a": "1"}),
    ],
)
def test_tags_of_anything(arm: Arm, operation: str, tags: dict[str, str]) -> None:
    """PATCH of `tags/default` changes the tags alone; what is not there has none."""
    for target in (arm.vnet, arm.group):
        arm.ask("PATCH", target, {"tags": {"a": "1", "b": "2"}})
        path = f"{target}/providers/Microsoft.Resources/tags/default"
        body = {"operation": operation, "properties": {"tags": {"b": "3", "c": "4"}}}
        assert arm.ask("PATCH", path, body).body["properties"]["tags"] == tags
        assert arm.ask("GET", target).body["tags"] == tags
    nowhere = f"{arm.vm()}/providers/Microsoft.Resources/tags/default"
    assert arm.ask("PATCH", nowhere, body).code == "ResourceNotFound"


def test_what_is_in_use_stays(arm: Arm) -> None:
    """A network, a subnet or an address cannot be deleted while something has it."""
    vm = arm.running()
    (card,) = arm.ask("GET", vm).body["properties"]["networkProfile"]["networkInterfaces"]
    (place,) = arm.ask("GET", card["id"]).body["properties"]["ipConfigurations"]
    address = place["properties"]["publicIPAddress"]["id"]
    for path, code in (
        (arm.subnet, "InUseSubnetCannotBeDeleted"),
        (arm.vnet, "InUseSubnetCannotBeDeleted"),
        (address, "PublicIPAddressCannotBeDeleted"),
    ):
        refused = arm.ask("DELETE", path)
        assert (refused.status, refused.code) == (400, code)
    without = arm.network()
    without["properties"]["subnets"] = []
    assert arm.ask("PUT", arm.vnet, without).code == "InUseSubnetCannotBeDeleted"


def test_addresses_are_given_once(arm: Arm) -> None:
    """No two interfaces get one address, even if the network is put again between them."""
    found, public = [], set()
    for number in range(3):
        vm = arm.ask("GET", arm.running(f"vm-{number}"))
        (card,) = vm.body["properties"]["networkProfile"]["networkInterfaces"]
        (place,) = arm.ask("GET", card["id"]).body["properties"]["ipConfigurations"]
        found.append(place["properties"]["privateIPAddress"])
        public.add(place["properties"]["publicIPAddress"]["id"])
        assert arm.ask("PUT", arm.vnet, arm.network()).status == 200
    assert found == ["10.0.0.4", "10.0.0.5", "10.0.0.6"]
    assert len(public) == 3


def test_addresses_stay(arm: Arm) -> None:
    """The same interface or public address, put again, keeps its numbers and who has it."""
    network = f"{arm.group}/providers/Microsoft.Network"
    public, card = f"{network}/publicIPAddresses/p", f"{network}/networkInterfaces/c"
    static = {"publicIPAllocationMethod": "Static"}
    place = {"subnet": {"id": arm.subnet}, "publicIPAddress": {"id": public}}
    found = []
    for _ in range(2):
        arm.ask("PUT", public, {"location": "westeurope", "properties": static})
        body = {"ipConfigurations": [{"name": "ip", "properties": place}]}
        arm.ask("PUT", card, {"location": "westeurope", "properties": body})
        arm.cloud.advance(SECONDS)
        (shown,) = arm.ask("GET", card).body["properties"]["ipConfigurations"]
        number = arm.ask("GET", public).body["properties"]
        assert number["ipConfiguration"]["id"] == shown["id"]
        found.append((shown["properties"]["privateIPAddress"], number["ipAddress"]))
    assert found[0] == found[1]
    del place["publicIPAddress"]
    arm.ask("PUT", card, {"location": "westeurope", "properties": body})
    assert arm.ask("DELETE", public).status == 202


def test_parts_are_resources_too(arm: Arm) -> None:
    """A rule that is made by itself shows in its group; one whose holder is missing is refused."""
    group = f"{arm.group}/providers/Microsoft.Network/networkSecurityGroups/n"
    rule = {"properties": {"priority": 100, "direction": "Inbound", "access": "Allow"}}
    refused = arm.ask("PUT", f"{group}/securityRules/ssh", rule)
    assert (refused.status, refused.code) == (404, "ParentResourceNotFound")
    arm.ask("PUT", group, {"location": "westeurope"})
    assert arm.ask("PUT", f"{group}/securityRules/ssh", rule).status == 201
    shown = arm.ask("GET", group).body["properties"]
    assert [one["name"] for one in shown["securityRules"]] == ["ssh"]
    assert len(shown["defaultSecurityRules"]) == 6
    assert len(arm.ask("GET", f"{group}/securityRules").body["value"]) == 1


def test_a_write_can_have_a_condition(arm: Arm) -> None:
    """If-Match lets a change through that knows the last one; If-None-Match only what is new."""
    tag = arm.ask("GET", arm.vnet).headers["etag"]
    assert arm.ask("PUT", arm.vnet, arm.network(), If_Match=tag).status == 200
    assert arm.ask("PUT", arm.vnet, arm.network(), If_Match=tag).code == "PreconditionFailed"
    stars = {"If_None_Match": "*"}
    assert arm.ask("PUT", arm.vnet, arm.network(), **stars).status == 412
    assert arm.ask("PUT", arm.vnet + "2", arm.network(), **stars).status == 201


def test_locks(arm: Arm) -> None:
    """CanNotDelete forbids deletions, ReadOnly all changes, of what is locked or is in it."""
    vm = arm.running()
    lock = f"{arm.group}/providers/Microsoft.Authorization/locks/l"
    for level, start in (("CanNotDelete", ""), ("ReadOnly", "ScopeLocked")):
        arm.ask("PUT", lock, {"properties": {"level": level}})
        assert arm.ask("DELETE", vm).code == arm.ask("DELETE", arm.group).code == "ScopeLocked"
        assert arm.ask("POST", f"{vm}/restart").code == start
        assert arm.ask("GET", vm).status == 200
    arm.ask("DELETE", lock)
    assert arm.ask("DELETE", vm).status == 202


def test_roles(arm: Arm) -> None:
    """What a role has no action for is refused, and so is joining what may not be joined."""
    vm = arm.running()
    allowed = ["Microsoft.Compute/virtualMachines/*", "Microsoft.Network/*/read"]
    arm.cloud.settings(actions=allowed)
    assert arm.ask("POST", f"{vm}/restart").status == 202
    assert arm.ask("GET", arm.subnet).status == 200
    refused = arm.ask("DELETE", arm.vnet)
    assert (refused.status, refused.code) == (403, "AuthorizationFailed")
    assert "'Microsoft.Network/virtualNetworks/delete'" in refused.body["error"]["message"]
    assert arm.ask("GET", arm.group).code == "AuthorizationFailed"
    linked = arm.ask("PUT", arm.vm("second"), arm.wanted())
    assert (linked.status, linked.code) == (403, "LinkedAuthorizationFailed")
    joining = "Microsoft.Network/virtualNetworks/subnets/join/action"
    assert f"'{joining}'" in linked.body["error"]["message"]
    arm.cloud.settings(actions=[*allowed, joining])
    assert arm.ask("PUT", arm.vm("second"), arm.wanted()).status == 201
