"""What can be given, what is refused before GCE hears of it, and what the request is then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from refusals import nobody_answers, refusals_of

from vmops import VM, State, Tags, Target
from vmops.binding import Binder
from vmops.errors import InvalidParams, InvalidRequest
from vmops_gcp import images, launch
from vmops_gcp.settings import GcpParams, GcpSettings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me"
MOST = 256 * 1024
PLACE = {"project": "my-project", "zone": "europe-west1-b"}

BAD: list[tuple[str, Any, str]] = [
    ("zone", "us-east1-b", "config says"),
    ("project", "other-project", "config says"),
    ("vmSize", "large", "pattern"),
    ("vmSize", "", "pattern"),
    ("image", "", "pattern"),
    ("image", "a?b", "pattern"),
    ("image", "ubuntu-24.4", "did you mean ubuntu-24.04 or ubuntu-22.04?"),
    ("image", "Debian-12", "did you mean debian-12"),
    ("image", "windows", "did you mean windows-2022?"),
    ("image", "plan9", "[family/]NAME, or almalinux-9"),
    ("image", "a/b/c", "no alias, PROJECT/FAMILY or path"),
    ("image", "https://evil.example.com/x", "no alias"),
    ("image", "projects/p/global/images/../x", "no alias"),
    ("network", "My_Net", "pattern"),
    ("subnet", "projects/p/regions/r/subnetworks/../x", "pattern"),
    ("adminUsername", "Me", "pattern"),
    ("sshPublicKey", "-----BEGIN OPENSSH PRIVATE KEY-----", "no type of key"),
    ("sshPublicKey", f"{KEY}\n{KEY}", "not one line"),
    ("diskSizeGb", 0, "greater than or equal to 1"),
    ("diskType", "zones/x/pd-ssd", "pattern"),
    ("labels", "a", "key=value"),
    ("labels", {"vmops-owner": "me"}, "vmops-owner"),
    ("labels", {"Team": "a"}, "lower-case"),
    ("labels", {"team": "A"}, "lower-case"),
    ("labels", {"1a": "x"}, "letter first"),
    ("labels", {"k": "v" * 64}, "up to 63"),
    ("labels", {f"k{i}": "v" for i in range(51)}, "51 labels"),
    ("metadata", {"ssh-keys": "x"}, "give sshPublicKey"),
    ("metadata", {"user-data": "x"}, "give userData"),
    ("metadata", {"a b": "x"}, "letters, digits"),
    ("networkTags", "Web", "pattern"),
    ("spot", "maybe", "boolean"),
    ("spotEviction", "deallocate", "'stop' or 'delete'"),
    ("serviceAccount", "me", "pattern"),
    ("restartMode", "reboot", "'power-cycle' or 'reset'"),
    ("endpointUrl", "https://evil.example.com", "never by params"),
    ("keyName", "mine", "no such parameter"),
]


@pytest.mark.parametrize(
    ("name", "value", "says"), BAD, ids=[f"{name}={str(value)[:24]}" for name, value, _ in BAD]
)
def test_refused_before_any_call(nobody: Any, name: str, value: Any, says: str) -> None:
    """A bad value is refused by its own name, with the reason; nothing is asked of Google."""
    said = refusals_of(nobody, name, value)
    assert [one for one in said if says in one], said


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What tests call, where nobody answers: in the end not even the journal was opened."""
    with nobody_answers(tmp_path_factory.mktemp("nobody"), backend="gcp", **PLACE) as ops:
        yield ops


@pytest.mark.parametrize("name", ["-a", "a-", "a/b", "a b", "ä", "x" * 64, "A", "1a", "a_b", ".."])
def test_names_that_gce_does_not_take(nobody: Any, name: str) -> None:
    """A VM's name is RFC 1035's."""
    with pytest.raises(InvalidParams, match="is not a VM name"):
        nobody.vm_provision({"vmName": name})


@pytest.mark.parametrize(
    "params",
    [
        {"machineType": "e2-small", "vmSize": "e2-medium"},
        {"tags": {"a": "b"}, "labels": {"a": "c"}},
    ],
)
def test_two_names_for_one_thing(nobody: Any, params: dict[str, Any]) -> None:
    """Either will do; two values are a contradiction."""
    with pytest.raises(InvalidParams, match="differ"):
        nobody.vm_provision({"vmName": "web-1", **params})


def bound(params: dict[str, Any], **config: Any) -> Any:
    """What a create's params are bound to."""
    binder = Binder("gcp", GcpSettings, GcpParams, config={"project": "my-project", **config})
    return binder.bind({"vmName": "web-1", **params}, creating=True)


def test_either_name_is_the_same_request() -> None:
    """So the same VM may be asked for in both ways; a param replaces a default by any name."""
    one = bound({"machineType": "e2-small", "tags": {"a": "b"}}, zone="us-east1-b")
    other = bound({"vmSize": "e2-small", "labels": {"a": "b"}}, location="us-east1-b", vmSize="a1")
    assert one.params == other.params
    assert one.settings == other.settings


def test_zone_and_location_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One replaces the other from a place that counts less; two of one place are contradictory."""
    monkeypatch.setenv("VMOPS_GCP_ZONE", "us-east1-b")
    assert bound({"location": "us-east1-c"}).settings.zone == "us-east1-c"
    monkeypatch.delenv("VMOPS_GCP_ZONE")
    monkeypatch.setenv("VMOPS_GCP_LOCATION", "us-east1-b")
    assert bound({}).settings.zone == "us-east1-b"
    assert bound({"zone": "us-east1-c"}).settings.zone == "us-east1-c"
    with pytest.raises(InvalidParams, match="zone and location are both given and differ"):
        bound({"zone": "us-east1-b", "location": "us-east1-c"})
    with pytest.raises(InvalidParams, match="config says 'us-east1-c'"):
        bound({"location": "us-east1-b"}, zone="us-east1-c")
    monkeypatch.setenv("VMOPS_GCP_ZONE", "us-east1-c")
    with pytest.raises(InvalidParams, match="VMOPS_GCP_ZONE and VMOPS_GCP_LOCATION differ"):
        bound({})


GOOD: list[tuple[str, Any, Any]] = [
    ("vm_size", "c4-standard-4-lssd", None),
    ("network", "projects/host/global/networks/shared", None),
    ("subnet", "projects/host/regions/europe-west1/subnetworks/a", None),
    ("image", "debian-12", None),
    ("image", "my-project/my-family", None),
    ("image", "https://www.googleapis.com/compute/v1/projects/p-x1/global/images/a", None),
    ("ssh_public_key", f"  {KEY}\n", KEY),
    ("disk_size_gb", "64", 64),
    ("labels", "team=a, cost = b ,", {"team": "a", "cost": "b"}),
    ("labels", {"équipe": "né"}, None),
    ("metadata", "a=b", {"a": "b"}),
    ("network_tags", "web,db", ("web", "db")),
    ("spot", "true", True),
    ("service_account", "me@p.iam.gserviceaccount.com", None),
]


@pytest.mark.parametrize(
    ("name", "value", "typed"), GOOD, ids=[f"{g[0]}={str(g[1])[:20]}" for g in GOOD]
)
def test_taken_as(name: str, value: Any, typed: Any) -> None:
    """A good value is taken, given as text by a command line as well as by Python."""
    assert getattr(GcpParams(**{name: value}), name) == (value if typed is None else typed)


def test_user_data_of_256_kib() -> None:
    """One byte more than GCE takes is refused, and the data is not shown."""
    assert len(GcpParams(user_data="x" * MOST).user_data.get_secret_value()) == MOST
    with pytest.raises(ValueError, match="262145 bytes") as caught:
        GcpParams(user_data="canary" + "x" * (MOST - 5))
    assert "canary" not in str(caught.value)


# -- where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://compute.example.com",
        "ftp://127.0.0.1",
        "https://user@compute.example.com",
        "https://compute.example.com?x=1",
        "compute.example.com",
    ],
)
def test_tokens_go_to_no_place_that_others_listen_at(url: str) -> None:
    """Http is for this machine's loopback address only."""
    with pytest.raises(ValueError, match=r"endpoint_?[uU]rl"):
        GcpSettings(endpoint_url=url, **PLACE)


@pytest.mark.parametrize("zone", ["europe-west1", "b", "europe-west1-B", "../europe-west1-b"])
def test_a_zone_that_is_none(zone: str) -> None:
    """A region is no zone."""
    with pytest.raises(ValueError, match="zone"):
        GcpSettings(project="my-project", zone=zone)


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine on which Google's tools know nothing; the folder of gcloud's configuration."""
    for name in (
        "GOOGLE_CLOUD_PROJECT",
        "CLOUDSDK_CORE_PROJECT",
        "CLOUDSDK_COMPUTE_ZONE",
        "CLOUDSDK_ACTIVE_CONFIG_NAME",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    return tmp_path


def test_what_is_missing_is_said(nowhere: Path) -> None:
    """With what to do about it."""
    with pytest.raises(ValueError, match="gcloud config set project"):
        GcpSettings(zone="us-east1-b")
    with pytest.raises(ValueError, match="CLOUDSDK_COMPUTE_ZONE"):
        GcpSettings(project="my-project")


def test_the_place_of_googles_own_tools(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's, else gcloud's active configuration's, else the credentials' project."""
    credentials = nowhere / "application_default_credentials.json"
    credentials.write_text(json.dumps({"project_id": "of-credentials", "quota_project_id": "x"}))
    assert GcpSettings(zone="us-east1-b").project == "of-credentials"
    (nowhere / "configurations").mkdir()
    (nowhere / "active_config").write_text("work\n")
    (nowhere / "configurations" / "config_work").write_text(
        "[core]\nproject = of-gcloud\n[compute]\nzone = us-west1-a\n"
    )
    assert GcpSettings() == GcpSettings(project="of-gcloud", zone="us-west1-a")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "of-environment")
    monkeypatch.setenv("CLOUDSDK_COMPUTE_ZONE", "us-west1-c")
    assert GcpSettings() == GcpSettings(project="of-environment", zone="us-west1-c")


# -- the request ----------------------------------------------------------------------------------


def body(**params: Any) -> dict[str, Any]:
    """The insert of a VM with these params, their choices made."""
    settings = GcpSettings(**PLACE)
    asked = GcpParams(**params)
    image = images.resolved(asked.image, asked.vm_size, settings.project)
    tags = Tags("me", "web-1", "t-1", 0, 7, "j")
    target = Target(VM("web-1", State.ABSENT), asked.model_copy(update={"image": image}), tags)
    return launch.request(target, settings)


def test_the_sdk_takes_the_request() -> None:
    """Each of its fields is one that the SDK knows."""
    from google.cloud.compute_v1 import Instance

    made = Instance(
        body(
            public_ip=True,
            spot=True,
            user_data="x",
            network_tags="a",
            service_account="default",
            disk_size_gb=9,
            disk_type="pd-ssd",
        )
    )
    assert made.disks[0].initialize_params.disk_size_gb == 9


def test_all_that_is_made_is_deleted_with_the_vm() -> None:
    """The disk carries the labels, and goes with the VM."""
    made = body(labels={"team": "a"})
    (disk,) = made["disks"]
    assert disk["auto_delete"] is True
    assert made["labels"] == disk["initialize_params"]["labels"]
    assert made["labels"]["vmops-token"] == "t-1"
    assert made["labels"]["team"] == "a"


def test_a_private_vm_has_no_address() -> None:
    """By default."""
    assert body()["network_interfaces"] == [{"network": "global/networks/default"}]


def test_a_gpu_cannot_move_to_another_host() -> None:
    """GCE wants to be told so."""
    for size in ("a2-highgpu-1g", "a3-megagpu-8g", "g2-standard-4", "a4x-highgpu-4g"):
        assert body(image="ubuntu-os-cloud/x", vm_size=size)["scheduling"] == {
            "on_host_maintenance": "TERMINATE"
        }
    assert "scheduling" not in body(vm_size="c4a-standard-1")


def test_the_rest_of_the_request() -> None:
    """Each param in its place."""
    made = body(
        spot=True,
        spot_eviction="delete",
        disk_size_gb=64,
        disk_type="pd-ssd",
        user_data="#!/bin/sh\ntrue",
        ssh_public_key=KEY,
        admin_username="ann",
        metadata={"serial-port-enable": "TRUE"},
        network_tags="web",
        service_account="me@p.iam.gserviceaccount.com",
        public_ip=True,
        subnet="back",
    )
    (disk,) = made["disks"]
    assert disk["initialize_params"]["disk_size_gb"] == 64
    assert disk["initialize_params"]["disk_type"] == "zones/europe-west1-b/diskTypes/pd-ssd"
    assert made["machine_type"] == "zones/europe-west1-b/machineTypes/e2-medium"
    assert made["scheduling"] == {
        "provisioning_model": "SPOT",
        "instance_termination_action": "DELETE",
        "automatic_restart": False,
        "on_host_maintenance": "TERMINATE",
    }
    assert {item["key"]: item["value"] for item in made["metadata"]["items"]} == {
        "user-data": "#!/bin/sh\ntrue",
        "ssh-keys": f"ann:{KEY}",
        "serial-port-enable": "TRUE",
    }
    (card,) = made["network_interfaces"]
    assert card["subnetwork"] == "regions/europe-west1/subnetworks/back"
    assert "network" not in card
    assert card["access_configs"][0]["type_"] == "ONE_TO_ONE_NAT"
    assert made["tags"] == {"items": ["web"]}
    (account,) = made["service_accounts"]
    assert account["email"] == "me@p.iam.gserviceaccount.com"


FAMILY = "projects/ubuntu-os-cloud/global/images/family"


@pytest.mark.parametrize(
    ("image", "size", "path"),
    [
        ("ubuntu-24.04", "e2-medium", f"{FAMILY}/ubuntu-2404-lts-amd64"),
        ("ubuntu-24.04", "t2a-standard-1", f"{FAMILY}/ubuntu-2404-lts-arm64"),
        ("ubuntu-24.04", "c4a-standard-1", f"{FAMILY}/ubuntu-2404-lts-arm64"),
        ("ubuntu-24.04", "n2-standard-2", f"{FAMILY}/ubuntu-2404-lts-amd64"),
        ("ubuntu-os-cloud/x", "e2-medium", f"{FAMILY}/x"),
        ("global/images/mine", "e2-medium", "projects/my-project/global/images/mine"),
        ("global/images/family/m", "e2-medium", "projects/my-project/global/images/family/m"),
        (f"https://www.googleapis.com/compute/v1/{FAMILY}/x", "e2-medium", f"{FAMILY}/x"),
        (f"{FAMILY.replace('/family', '')}/a", "e2-medium", f"{FAMILY.replace('/family', '')}/a"),
    ],
)
def test_the_image_that_is_meant(image: str, size: str, path: str) -> None:
    """An alias follows the processor; a path of our own project needs no project."""
    assert images.resolved(image, size, "my-project") == path


def test_an_alias_that_is_not_for_the_processor() -> None:
    """It is refused."""
    with pytest.raises(InvalidRequest, match="not made for arm64"):
        images.resolved("windows-2022", "t2a-standard-1", "my-project")
