"""What can be given, what is refused before ARM hears of it, and what the request is then."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from refusals import nobody_answers, refusals_of

from vmops import VM, State, Tags, Target
from vmops.binding import Binder
from vmops.errors import InvalidParams, InvalidRequest
from vmops_azure import images, launch
from vmops_azure.settings import AzureParams, AzureSettings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me"
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
SUBNET = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Network"
    "/virtualNetworks/v/subnets/s"
)
MOST = 65535

BAD: list[tuple[str, Any, str]] = [
    ("location", "west europe!", "pattern"),
    ("vmSize", "D2s", "pattern"),
    ("vmSize", "", "pattern"),
    ("image", "Canonical:ubuntu", "pattern"),
    ("image", "Ubuntu", "pattern"),
    ("image", "", "pattern"),
    ("zone", "westeurope-1", "pattern"),
    ("subnet", "default", "pattern"),
    ("subnet", "/subscriptions/{x}/subnets/y", "pattern"),
    ("adminUsername", "Me", "pattern"),
    ("sshPublicKey", "-----BEGIN OPENSSH PRIVATE KEY-----", "no type of key"),
    ("sshPublicKey", f"{KEY}\n{KEY}", "not one line"),
    ("diskSizeGb", 0, "greater than or equal to 1"),
    ("diskSizeGb", 4096, "less than or equal to 4095"),
    ("diskType", "ssd", "'Premium_LRS'"),
    ("tags", "a", "key=value"),
    ("tags", {"vmops-owner": "me"}, "vmops-owner"),
    ("tags", {"a": "1", "A": "2"}, "in case only"),
    ("tags", {"a/b": "1"}, "none of"),
    ("tags", {"k": "v" * 257}, "up to 256"),
    ("tags", {f"k{i}": "v" for i in range(41)}, "41 tags"),
    ("spot", "maybe", "boolean"),
    ("spotEviction", "stop", "'deallocate' or 'delete'"),
    ("identity", "me", "neither system nor a resource id"),
    ("force", "maybe", "boolean"),
    ("endpointUrl", "https://evil.example.com", "never by params"),
    ("cloud", "china", "never by params"),
    ("subscription", "mine", "config says"),
    ("resourceGroup", "a/b", "pattern"),
    ("keyName", "mine", "no such parameter"),
]


@pytest.mark.parametrize(
    ("name", "value", "says"), BAD, ids=[f"{name}={str(value)[:24]}" for name, value, _ in BAD]
)
def test_refused_before_any_call(nobody: Any, name: str, value: Any, says: str) -> None:
    """A bad value is refused by its own name, with the reason, and nothing is asked of Azure."""
    said = refusals_of(nobody, name, value)
    assert [one for one in said if says in one], said


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What tests call, where nobody answers: in the end not even the journal was opened."""
    with nobody_answers(
        tmp_path_factory.mktemp("nobody"), backend="azure", subscription=SUBSCRIPTION
    ) as ops:
        yield ops


@pytest.mark.parametrize("name", ["-a", "a-", "a/b", "a b", "ä", "x" * 65, "a..", "{a}"])
def test_names_that_azure_does_not_take(nobody: Any, name: str) -> None:
    """A VM's name is part of a path; what could change that path is refused."""
    with pytest.raises(InvalidParams, match="is not a VM name"):
        nobody.vm_provision({"vmName": name})


GOOD: list[tuple[str, Any, Any]] = [
    ("location", "West US 2", "westus2"),
    ("vm_size", "Standard_E96-24ads_v5", "Standard_E96-24ads_v5"),
    ("image", "Canonical:ubuntu-24_04-lts:server:24.04.202604060", None),
    ("image", f"/subscriptions/{SUBSCRIPTION}/resourceGroups/g/providers/x/images/i", None),
    ("image", "/CommunityGalleries/al-1/Images/a/Versions/latest", None),
    ("subnet", "net/default", None),
    ("subnet", SUBNET, None),
    ("ssh_public_key", f"  {KEY}\n", KEY),
    ("disk_size_gb", "64", 64),
    ("tags", "team=a, cost = b=c ,", {"team": "a", "cost": "b=c"}),
    ("spot", "true", True),
    ("identity", "system,/subscriptions/x", ("system", "/subscriptions/x")),
    ("deployment_name", "osat-1", None),
]


@pytest.mark.parametrize(
    ("name", "value", "typed"), GOOD, ids=[f"{g[0]}={str(g[1])[:20]}" for g in GOOD]
)
def test_taken_as(name: str, value: Any, typed: Any) -> None:
    """A good value is taken, given as text by a command line as well as by Python."""
    assert getattr(AzureParams(**{name: value}), name) == (value if typed is None else typed)


def test_user_data_of_64_kib() -> None:
    """One byte more than Azure takes is refused, and the data is not shown."""
    assert len(AzureParams(user_data="x" * MOST).user_data) == MOST
    with pytest.raises(ValueError, match="65536 bytes") as caught:
        AzureParams(user_data="canary" + "x" * (MOST - 5))
    assert "canary" not in str(caught.value)


def test_custom_data_is_user_data() -> None:
    """Azure's own name for it is taken; both at once are refused."""
    binder = Binder("azure", AzureSettings, AzureParams, config={"subscription": SUBSCRIPTION})
    bound = binder.bind({"vmName": "web-1", "customData": "#!/bin/sh"})
    assert bound.params.user_data.get_secret_value() == "#!/bin/sh"  # type: ignore[attr-defined]
    assert "customData" not in bound.echo
    with pytest.raises(InvalidParams, match="customData and userData are both given and differ"):
        binder.bind({"vmName": "web-1", "customData": "a", "userData": "b"})


# -- where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://management.example.com",
        "ftp://127.0.0.1",
        "https://user@management.example.com",
        "https://management.example.com?x=1",
        "management.example.com",
    ],
)
def test_tokens_go_to_no_place_that_others_listen_at(url: str) -> None:
    """Http is for this machine's loopback address only."""
    with pytest.raises(ValueError, match=r"endpoint_?[uU]rl"):
        AzureSettings(subscription=SUBSCRIPTION, endpoint_url=url)


def test_the_subscription_of_azures_own_tools(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The environment's, else the Azure CLI's default one; else the error says what to do."""
    monkeypatch.setenv("AZURE_CONFIG_DIR", str(tmp_path))
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID", raising=False)
    with pytest.raises(ValueError, match="az login"):
        AzureSettings()
    known = [{"id": "x"}, {"id": SUBSCRIPTION.upper(), "isDefault": True}]
    text = json.dumps({"subscriptions": known})
    (tmp_path / "azureProfile.json").write_text(text, "utf-8-sig")
    assert AzureSettings().subscription == SUBSCRIPTION
    other = SUBSCRIPTION.replace("1", "9")
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", other)
    assert AzureSettings().subscription == other


def test_two_spellings_are_one_place() -> None:
    """Azure ignores the case of subscriptions and resource groups."""
    one = AzureSettings(subscription=SUBSCRIPTION.upper(), resource_group="MyGroup")
    assert one == AzureSettings(subscription=SUBSCRIPTION, resource_group="mygroup")


# -- the request ----------------------------------------------------------------------------------


def body(**params: Any) -> dict[str, Any]:
    """The PUT of a VM with these params, their choices made."""
    tags = Tags("me", "web-1", "t-1", 0, 7, "j")
    asked = AzureParams(location="westeurope", subnet=SUBNET, **params)
    image = images.resolved(asked.image, asked.vm_size)
    asked = asked.model_copy(update={"image": image})
    return launch.request(Target(VM("web-1", State.ABSENT), asked, tags))


def test_all_that_is_made_is_deleted_with_the_vm() -> None:
    """Disk, interface and address carry the tags, and `deleteOption`."""
    made = body(public_ip=True, tags={"team": "a"})
    properties = made["properties"]
    (card,) = properties["networkProfile"]["networkInterfaceConfigurations"]
    (place,) = card["properties"]["ipConfigurations"]
    address = place["properties"]["publicIPAddressConfiguration"]
    disk = properties["storageProfile"]["osDisk"]
    assert made["tags"] == card["tags"] == address["tags"]
    assert made["tags"]["vmops-token"] == "t-1"
    assert made["tags"]["team"] == "a"
    assert [disk["deleteOption"], card["properties"]["deleteOption"]] == ["Delete", "Delete"]
    assert address["properties"]["deleteOption"] == "Delete"
    assert place["properties"]["subnet"] == {"id": SUBNET}


def test_a_private_vm_has_no_address() -> None:
    """By default."""
    (card,) = body()["properties"]["networkProfile"]["networkInterfaceConfigurations"]
    (place,) = card["properties"]["ipConfigurations"]
    assert "publicIPAddressConfiguration" not in place["properties"]


def test_the_key_logs_in() -> None:
    """Where one is given, passwords are off."""
    guest = body(ssh_public_key=KEY, admin_username="ann")["properties"]["osProfile"]
    linux = guest["linuxConfiguration"]
    (key,) = linux["ssh"]["publicKeys"]
    assert linux["disablePasswordAuthentication"] is True
    assert key == {"path": "/home/ann/.ssh/authorized_keys", "keyData": KEY}


def test_without_a_key_nobody_logs_in() -> None:
    """Azure wants one all the same: it is nobody's, and another one each time."""
    keys = [
        body()["properties"]["osProfile"]["linuxConfiguration"]["ssh"]["publicKeys"][0]["keyData"]
        for _ in range(2)
    ]
    assert keys[0].startswith("ssh-rsa ")
    assert keys[0] != keys[1]


def test_windows_gets_its_password_and_a_short_name() -> None:
    """A computer's name has 15 characters there."""
    tags = Tags("me", "a-long-name-for-windows", "t", 0)
    asked = AzureParams(
        location="westeurope", subnet=SUBNET, image="windows-2022", admin_password="Pa55word!x"
    )
    asked = asked.model_copy(update={"image": images.resolved(asked.image, asked.vm_size)})
    target = Target(VM("a-long-name-for-windows", State.ABSENT), asked, tags)
    guest = launch.request(target)["properties"]["osProfile"]
    assert guest["computerName"] == "a-long-name-for"
    assert guest["adminPassword"] == "Pa55word!x"
    assert "linuxConfiguration" not in guest


def test_the_rest_of_the_request() -> None:
    """Each param in its place."""
    made = body(
        zone="2",
        spot=True,
        spot_eviction="delete",
        disk_size_gb=64,
        disk_type="Premium_LRS",
        user_data="#!/bin/sh\ntrue",
        identity="system,/subscriptions/s/x",
    )
    properties = made["properties"]
    assert made["zones"] == ["2"]
    assert (properties["priority"], properties["evictionPolicy"]) == ("Spot", "Delete")
    assert properties["billingProfile"] == {"maxPrice": -1}
    disk = properties["storageProfile"]["osDisk"]
    assert (disk["diskSizeGB"], disk["managedDisk"]) == (64, {"storageAccountType": "Premium_LRS"})
    data = base64.b64decode(properties["osProfile"]["customData"])
    assert data == b"#!/bin/sh\ntrue"
    assert made["identity"] == {
        "type": "SystemAssigned, UserAssigned",
        "userAssignedIdentities": {"/subscriptions/s/x": {}},
    }


@pytest.mark.parametrize(
    ("size", "cpu"),
    [
        ("Standard_D2s_v5", "amd64"),
        ("Standard_D2ps_v5", "arm64"),
        ("Standard_E4pds_v6", "arm64"),
        ("Standard_B2pts_v2", "arm64"),
        ("Standard_NP10s", "amd64"),
        ("Standard_E96-24ads_v5", "amd64"),
    ],
)
def test_the_image_follows_the_processor(size: str, cpu: str) -> None:
    """An alias means the image for the size's processor."""
    sku = images.reference(images.resolved("ubuntu-24.04", size))["sku"]
    assert sku == {"amd64": "server", "arm64": "server-arm64"}[cpu]


def test_an_alias_that_is_none() -> None:
    """The error names those that there are; one without an Arm image says so."""
    with pytest.raises(InvalidRequest) as caught:
        images.resolved("ubuntu-99.04", "Standard_D2s_v5")
    assert "ubuntu-24.04" in caught.value.hint
    with pytest.raises(InvalidRequest, match="not made for arm64"):
        images.resolved("windows-2022", "Standard_D2ps_v5")
