"""The emulator of ARM beyond what recordings show: limits, tokens, quotas, faults, the clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from arm_cloud import ArmCloud

GROUP = f"/subscriptions/{ArmCloud.subscription}/resourceGroups/g"
NETWORK = f"{GROUP}/providers/Microsoft.Network"
MACHINES = f"{GROUP}/providers/Microsoft.Compute/virtualMachines"
COMPUTE = "api-version=2025-11-01"


@pytest.fixture(scope="module")
def arm_server() -> Iterator[ArmCloud]:
    """The emulator, started once."""
    with ArmCloud() as cloud:
        yield cloud


@pytest.fixture
def arm(arm_server: ArmCloud) -> ArmCloud:
    """The emulator as new, with a group and a network."""
    arm_server.reset()
    arm_server.call("PUT", f"{GROUP}?api-version=2022-09-01", {"location": "westeurope"})
    subnets = [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}]
    space = {"addressPrefixes": ["10.0.0.0/16"]}
    body = {"location": "westeurope", "properties": {"addressSpace": space, "subnets": subnets}}
    arm_server.call("PUT", f"{NETWORK}/virtualNetworks/n?api-version=2024-05-01", body)
    arm_server.advance(1)
    return arm_server


def body(**properties: Any) -> dict[str, Any]:
    """A VM with an interface and an address of its own."""
    address = {
        "name": "ip",
        "sku": {"name": "Standard"},
        "properties": {"deleteOption": "Delete", "publicIPAllocationMethod": "Static"},
    }
    place = {"subnet": {"id": f"{NETWORK}/virtualNetworks/n/subnets/s"}}
    card = {
        "name": "nic",
        "properties": {
            "primary": True,
            "deleteOption": "Delete",
            "ipConfigurations": [
                {"name": "c", "properties": {**place, "publicIPAddressConfiguration": address}}
            ],
        },
    }
    image = {"publisher": "Canonical", "offer": "o", "sku": "s", "version": "latest"}
    return {
        "location": "westeurope",
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "storageProfile": {
                "imageReference": image,
                "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"},
            },
            "osProfile": {
                "computerName": "x",
                "adminUsername": "a",
                "adminPassword": "Pa55word!x",
                "customData": "c2VjcmV0",
            },
            "networkProfile": {
                "networkApiVersion": "2022-11-01",
                "networkInterfaceConfigurations": [card],
            },
            **properties,
        },
    }


def put(arm: ArmCloud, name: str = "vm", **properties: Any) -> tuple[int, dict[str, str], Any]:
    """A VM's PUT."""
    return arm.call("PUT", f"{MACHINES}/{name}?{COMPUTE}", body(**properties))


def post(arm: ArmCloud, verb: str, name: str = "vm") -> tuple[int, dict[str, str], Any]:
    """A verb on a VM."""
    return arm.call("POST", f"{MACHINES}/{name}/{verb}?{COMPUTE}")


def up(arm: ArmCloud, name: str = "vm", **properties: Any) -> None:
    """A VM that runs."""
    assert put(arm, name, **properties)[0] == 201
    arm.advance(1)
    assert power(arm, name) == "running"


def shown(arm: ArmCloud, name: str = "vm") -> Any:
    """A VM with its instance view."""
    return arm.call("GET", f"{MACHINES}/{name}?$expand=instanceView&{COMPUTE}")[2]


def power(arm: ArmCloud, name: str = "vm") -> str:
    """Its power state."""
    codes = [one["code"] for one in shown(arm, name)["properties"]["instanceView"]["statuses"]]
    return next((c.partition("/")[2] for c in codes if c.startswith("PowerState/")), "")


def polled(arm: ArmCloud, headers: dict[str, str], name: str = "azure-asyncoperation") -> Any:
    """Status and body at an operation's URL."""
    status, _, found = arm.call("GET", headers[name].removeprefix(arm.endpoint))
    return status, found


def code(answer: tuple[int, Any, Any]) -> tuple[int, str]:
    """Status and error code of a refusal."""
    return answer[0], answer[2]["error"]["code"]


def test_secrets_are_not_shown_again(arm: ArmCloud) -> None:
    """Neither password nor custom data, in no answer."""
    answers = [put(arm)[2], shown(arm)]
    assert all("Pa55" not in str(one) and "c2VjcmV0" not in str(one) for one in answers)


def test_a_vm_brings_its_parts_and_takes_them_along(arm: ArmCloud) -> None:
    """Disk, interface and address are there when the operation begins, and go with the VM."""
    before = arm.resources()
    up(arm)
    assert len(arm.resources()) == len(before) + 4
    arm.call("DELETE", f"{MACHINES}/vm?{COMPUTE}")
    arm.advance(1)
    assert arm.resources() == before


def test_what_is_only_attached_stays(arm: ArmCloud) -> None:
    """A disk without deleteOption is unattached afterwards."""
    wanted = body()["properties"]["storageProfile"]
    del wanted["osDisk"]["deleteOption"]
    up(arm, storageProfile=wanted)
    arm.call("DELETE", f"{MACHINES}/vm?{COMPUTE}")
    arm.advance(1)
    (disk,) = [one for one in arm.resources() if "/disks/" in one]
    found = arm.call("GET", f"{disk}?api-version=2023-10-02")[2]
    assert found["properties"]["diskState"] == "Unattached"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", (400, "MissingApiVersionParameter")),
        ("?api-version=new", (400, "InvalidApiVersionParameter")),
        ("?api-version=2029-01-01", (400, "NoRegisteredProviderFound")),
    ],
)
def test_api_versions(arm: ArmCloud, query: str, expected: tuple[int, str]) -> None:
    """Every request names one that there is."""
    assert code(arm.call("GET", f"{MACHINES}/vm{query}")) == expected


def test_tokens(arm: ArmCloud) -> None:
    """None, an unknown one and one that has expired are refused, with a challenge."""
    status, headers, _ = arm.call("GET", f"{MACHINES}?{COMPUTE}", Authorization="Bearer x")
    assert (status, "invalid_token" in headers["www-authenticate"]) == (401, True)
    old = f"Bearer {arm.token()}"
    assert arm.call("GET", f"{MACHINES}?{COMPUTE}", Authorization=old)[0] == 200
    arm.expire_tokens()
    answer = arm.call("GET", f"{MACHINES}?{COMPUTE}", Authorization=old)
    assert code(answer) == (401, "ExpiredAuthenticationToken")


def test_an_operation_is_signed_and_forgotten(arm: ArmCloud) -> None:
    """One byte less is refused; the record is gone some time after its end."""
    arm.settings(operation_lifetime=60)
    _, headers, _ = put(arm)
    assert polled(arm, headers)[1]["status"] == "InProgress"
    url = headers["azure-asyncoperation"].removeprefix(arm.endpoint)
    assert len(url) > 1024
    assert arm.call("GET", url[:-1])[0] == 403
    arm.advance(1)
    assert polled(arm, headers)[1]["status"] == "Succeeded"
    arm.advance(61)
    assert polled(arm, headers)[0] == 404


def test_location_alone(arm: ArmCloud) -> None:
    """202 while it runs, then 200, and no other header."""
    arm.settings(location_only=True)
    _, headers, _ = put(arm)
    assert "azure-asyncoperation" not in headers
    assert polled(arm, headers, "location")[0] == 202
    arm.advance(1)
    assert polled(arm, headers, "location")[0] == 200


def test_retry_after_stands_where_it_is_asked_for(arm: ArmCloud) -> None:
    """On the answer that accepts, and on polls of what runs."""
    arm.settings(retry_after=10, poll_retry_after=5)
    _, headers, _ = put(arm)
    _, poll, _ = arm.call("GET", headers["azure-asyncoperation"].removeprefix(arm.endpoint))
    assert (headers["retry-after"], poll["retry-after"]) == ("10", "5")


def test_if_none_match(arm: ArmCloud) -> None:
    """A VM that exists is not made again so."""
    up(arm)
    answer = arm.call("PUT", f"{MACHINES}/VM?{COMPUTE}", body(), **{"If-None-Match": "*"})
    assert code(answer) == (412, "PreconditionFailed")


def test_names_are_the_same_in_any_case(arm: ArmCloud) -> None:
    """And keep the spelling that they were made with."""
    up(arm, "Web")
    assert shown(arm, "wEB")["name"] == "Web"


def test_quota_and_capacity(arm: ArmCloud) -> None:
    """Refused at once, or when the operation ends; a start may fail as well."""
    arm.settings(sold_out=["Standard_D2s_v5"])
    assert code(put(arm)) == (409, "SkuNotAvailable")
    arm.settings(sold_out=[], cores=1)
    status, _, answer = put(arm)
    assert (status, "quota" in answer["error"]["message"]) == (409, True)
    arm.settings(cores=100, no_capacity=["Standard_D2s_v5"])
    _, headers, _ = put(arm)
    arm.advance(1)
    assert polled(arm, headers)[1]["error"]["code"] == "AllocationFailed"
    assert shown(arm)["properties"]["provisioningState"] == "Failed"
    arm.settings(no_capacity=[])
    up(arm, "other")
    post(arm, "deallocate", "other")
    arm.advance(1)
    arm.settings(no_capacity=["Standard_D2s_v5"])
    _, headers, _ = post(arm, "start", "other")
    arm.advance(1)
    assert polled(arm, headers)[1]["status"] == "Failed"
    assert power(arm, "other") == "deallocated"


@pytest.mark.parametrize(
    ("verb", "states"),
    [
        ("powerOff", ("stopping", "stopped")),
        ("deallocate", ("deallocating", "deallocated")),
        ("restart", ("running", "running")),
    ],
)
def test_power_states(arm: ArmCloud, verb: str, states: tuple[str, str]) -> None:
    """While a verb is under way, and after it."""
    up(arm)
    arm.settings(power_off=10, deallocate=10, restart=10)
    post(arm, verb)
    assert (shown(arm)["properties"]["provisioningState"], power(arm)) == ("Updating", states[0])
    arm.advance(11)
    assert (shown(arm)["properties"]["provisioningState"], power(arm)) == ("Succeeded", states[1])


def test_a_newer_operation_preempts(arm: ArmCloud) -> None:
    """A deletion ends whatever is under way; other verbs have to wait."""
    up(arm)
    arm.settings(start=10, deallocate=10, delete=10)
    _, first, _ = post(arm, "deallocate")
    assert post(arm, "start")[0] == 409
    arm.call("DELETE", f"{MACHINES}/vm?{COMPUTE}")
    assert polled(arm, first)[1]["error"]["code"] == "OperationPreempted"
    assert post(arm, "start")[0] == 409
    arm.advance(11)
    assert code(post(arm, "start")) == (404, "ResourceNotFound")


def test_limits_as_published(arm: ArmCloud) -> None:
    """200 writes at once, then ten a second; what is left stands in the headers."""
    arm.settings(rate_limits=1, speed=0.0001)
    path = f"{GROUP}?api-version=2022-09-01"
    answers = [arm.call("PATCH", path, {"tags": {}}) for _ in range(201)]
    assert [status for status, _, _ in answers[:200]] == [200] * 200
    left = [int(h["x-ms-ratelimit-remaining-subscription-writes"]) for _, h, _ in answers[:3]]
    assert left == [199, 198, 197]
    status, headers, answer = answers[200]
    assert (status, answer["error"]["code"]) == (429, "SubscriptionRequestsThrottled")
    assert int(headers["retry-after"]) >= 1
    arm.advance(1)
    assert arm.call("PATCH", path, {"tags": {}})[0] == 200


def test_compute_counts_each_vm(arm: ArmCloud) -> None:
    """Twelve changes of one VM at once, and four a minute."""
    arm.settings(rate_limits=1, speed=0.0001)
    up(arm)
    statuses = []
    for _ in range(14):
        statuses.append(post(arm, "reapply")[0])
        arm.advance(0.1)
    assert statuses[:12] == [202] * 12
    assert statuses[12:] == [429, 429]


def test_pages(arm: ArmCloud) -> None:
    """Lists have pages, each with the link to the next."""
    arm.settings(page=2)
    for number in range(5):
        up(arm, f"vm-{number}")
    names, path = [], f"{MACHINES}?{COMPUTE}"
    while path:
        answer = arm.call("GET", path)[2]
        assert len(answer["value"]) <= 2
        names += [one["name"] for one in answer["value"]]
        path = answer.get("nextLink", "").removeprefix(arm.endpoint)
    assert names == [f"vm-{number}" for number in range(5)]


def test_status_only_lists_all_groups(arm: ArmCloud) -> None:
    """Little more than how each VM stands."""
    up(arm)
    place = f"/subscriptions/{arm.subscription}/providers/Microsoft.Compute/virtualMachines"
    (one,) = arm.call("GET", f"{place}?statusOnly=true&{COMPUTE}")[2]["value"]
    assert one["properties"]["instanceView"]["statuses"][-1]["code"] == "PowerState/running"
    assert "storageProfile" not in one["properties"]


def test_a_group_goes_with_all_that_is_in_it(arm: ArmCloud) -> None:
    """And says so by a Location alone."""
    up(arm)
    status, headers, _ = arm.call("DELETE", f"{GROUP}?api-version=2022-09-01")
    assert (status, "azure-asyncoperation" in headers) == (202, False)
    arm.advance(1)
    assert arm.resources() == []
    assert code(arm.call("GET", f"{MACHINES}/vm?{COMPUTE}")) == (404, "ResourceGroupNotFound")


@pytest.mark.parametrize(("policy", "left"), [("Deallocate", "deallocated"), ("Delete", None)])
def test_eviction(arm: ArmCloud, policy: str, left: str | None) -> None:
    """A spot VM is taken away as its policy says."""
    up(arm, priority="Spot", evictionPolicy=policy)
    arm.evict("vm")
    names = [one for one in arm.resources() if one.endswith("/virtualMachines/vm")]
    assert (power(arm) if names else None) == left


def test_tags_are_merged(arm: ArmCloud) -> None:
    """By the tags of any resource."""
    up(arm)
    place = f"{MACHINES}/vm/providers/Microsoft.Resources/tags/default?api-version=2021-04-01"
    for tags in ({"a": "1", "b": "1"}, {"b": "2"}):
        arm.call("PATCH", place, {"operation": "Merge", "properties": {"tags": tags}})
    assert shown(arm)["tags"] == {"a": "1", "b": "2"}


def test_faults(arm: ArmCloud) -> None:
    """A request that is refused, carried out or not; an operation that fails, or never ends."""
    arm.fault(method="PUT", path="virtualMachines", status=503, code="Busy", after=True)
    assert code(put(arm)) == (503, "Busy")
    arm.advance(1)
    assert power(arm) == "running"
    arm.fault(operation="deallocate", status="InProgress")
    _, headers, _ = post(arm, "deallocate")
    arm.advance(10_000)
    assert polled(arm, headers)[1]["status"] == "InProgress"


def test_the_clock_can_run_fast(arm: ArmCloud) -> None:
    """An hour's operation within a moment, by settings alone."""
    arm.settings(speed=100_000, create=3600)
    _, headers, _ = put(arm)
    found = ""
    while found != "Succeeded":
        found = polled(arm, headers)[1]["status"]


def test_nothing_went_wrong_inside(arm_server: ArmCloud) -> None:
    """No request so far has met a gap in the emulator."""
    assert arm_server.stderr() == ""
