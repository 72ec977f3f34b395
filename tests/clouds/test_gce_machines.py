"""The GCE emulator's VMs: their lives, their disks and addresses, and what is refused."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import gce_calls
import pytest
from gce.names import fingerprint
from gce_calls import SECONDS, Gce

ZONE = "zones/europe-west1-b"
gce, gce_server = gce_calls.gce, gce_calls.gce_server


def test_a_launch(gce: Gce) -> None:
    """PROVISIONING, STAGING, RUNNING; the disk comes with the VM, addresses when it is staged."""
    begun = gce.post("instances", gce.wanted(labels={"a": "b"}))
    new = gce.vm()
    assert (new["status"], new["id"]) == ("PROVISIONING", begun["targetId"])
    assert "networkIP" not in new["networkInterfaces"][0]
    gce.cloud.advance(SECONDS / 2)
    assert gce.vm()["status"] == "STAGING"
    assert gce.end(begun)["status"] == "DONE"
    vm = gce.vm()
    assert vm["status"] == "RUNNING"
    assert vm["labels"] == {"a": "b"}
    assert vm["selfLink"] == f"https://www.googleapis.com{gce.zone}/instances/vm"
    assert re.fullmatch(r"[1-9][0-9]{17,19}", vm["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}-0[78]:00", vm["creationTimestamp"])
    began, started = (vm[f"{one}Timestamp"] for one in ("creation", "lastStart"))
    took = datetime.fromisoformat(started) - datetime.fromisoformat(began)
    assert took.total_seconds() == pytest.approx(SECONDS, abs=0.1)
    card = vm["networkInterfaces"][0]
    assert card["networkIP"].startswith("10.132.0.")
    assert card["accessConfigs"][0]["natIP"].startswith("34.")
    assert vm["disks"][0]["source"].endswith("/disks/vm")
    disk = gce.get("disks/vm")
    assert (disk["status"], disk["users"]) == ("READY", [vm["selfLink"]])
    assert gce.get(f"instances/{vm['id']}")["name"] == "vm"


def test_stop_and_start(gce: Gce) -> None:
    """The public address is gone at the stop and another one comes; the private one stays."""
    before = gce.running()
    stopping = gce.post("instances/vm/stop")
    assert gce.vm()["status"] == "RUNNING"
    gce.cloud.advance(SECONDS / 2)
    assert gce.vm()["status"] == "STOPPING"
    assert gce.end(stopping)["operationType"] == "stop"
    off = gce.vm()
    assert (off["status"], off["cpuPlatform"]) == ("TERMINATED", "Unknown CPU Platform")
    assert "natIP" not in off["networkInterfaces"][0]["accessConfigs"][0]
    assert off["lastStopTimestamp"] > before["lastStartTimestamp"]
    gce.end(gce.post("instances/vm/stop"))  # once more does nothing
    gce.end(gce.post("instances/vm/start"))
    after = gce.vm()
    assert after["status"] == "RUNNING"
    old, new = (one["networkInterfaces"][0] for one in (before, after))
    assert old["networkIP"] == new["networkIP"]
    assert old["accessConfigs"][0]["natIP"] != new["accessConfigs"][0]["natIP"]
    assert before["fingerprint"] != after["fingerprint"]


def test_suspend_and_resume(gce: Gce) -> None:
    """What is suspended can be resumed and deleted, but neither started nor stopped."""
    gce.running()
    gce.end(gce.post("instances/vm/suspend"))
    assert gce.vm()["status"] == "SUSPENDED"
    for verb in ("start", "stop", "reset"):
        assert gce.ask("POST", f"instances/vm/{verb}").reason == "resourceNotReady"
    gce.end(gce.post("instances/vm/resume"))
    assert gce.vm()["status"] == "RUNNING"


def test_one_verb_at_a_time(gce: Gce) -> None:
    """While one runs, others are refused, but not changes of labels."""
    vm = gce.running()
    gce.post("instances/vm/reset")
    for verb in ("start", "stop", "reset"):
        refused = gce.ask("POST", f"instances/vm/{verb}")
        assert (refused.status, refused.reason) == (400, "resourceNotReady")
    assert gce.ask("DELETE", "instances/vm").reason == "resourceNotReady"
    gce.post("instances/vm/setLabels", {"labels": {}, "labelFingerprint": vm["labelFingerprint"]})


def test_deletion(gce: Gce) -> None:
    """It is STOPPING, then gone with its disk; another VM may then have the name, no more."""
    before = gce.running()
    deleting = gce.ask("DELETE", "instances/vm").body
    gce.cloud.advance(SECONDS / 2)
    assert gce.vm()["status"] == "STOPPING"
    assert gce.ask("POST", "instances", gce.wanted()).reason == "alreadyExists"
    assert gce.end(deleting)["status"] == "DONE"
    missing = gce.ask("GET", "instances/vm")
    path = "projects/vmops-test/zones/europe-west1-b/instances/vm"
    assert (missing.status, missing.reason) == (404, "notFound")
    assert missing.error["message"] == f"The resource '{path}' was not found"
    assert not [one for one in gce.cloud.resources() if "/disks/" in one]
    after = gce.running()
    assert after["id"] != before["id"]
    assert after["networkInterfaces"][0]["networkIP"] == before["networkInterfaces"][0]["networkIP"]


def test_deletion_of_what_is_being_made(gce: Gce) -> None:
    """It is made no further: its insertion ends with an error, and nothing is left."""
    making = gce.post("instances", gce.wanted())
    deleting = gce.ask("DELETE", "instances/vm").body
    ended = gce.now(making)
    assert (ended["status"], ended["httpErrorStatusCode"]) == ("DONE", 409)
    assert ended["error"]["errors"][0]["code"] == "OPERATION_CANCELED_BY_USER"
    assert "error" not in gce.end(deleting)
    assert not [one for one in gce.cloud.resources() if "/instances/" in one or "/disks/" in one]


def test_a_disk_that_stays(gce: Gce) -> None:
    """Without autoDelete it outlives the VM, and can be another one's."""
    body = gce.wanted()
    body["disks"][0]["autoDelete"] = False
    gce.end(gce.post("instances", body))
    refused = gce.ask("DELETE", "disks/vm")
    assert (refused.status, refused.reason) == (400, "resourceInUseByAnotherResource")
    gce.end(gce.ask("DELETE", "instances/vm").body)
    assert "users" not in gce.get("disks/vm")
    assert gce.ask("POST", "instances", gce.wanted()).reason == "alreadyExists"
    body["disks"] = [{"boot": True, "source": "zones/europe-west1-b/disks/vm"}]
    gce.end(gce.post("instances", body))
    assert gce.get("disks/vm")["users"]
    taken = gce.ask("POST", "instances", {**body, "name": "other"})
    assert taken.reason == "resourceInUseByAnotherResource"


def test_protection(gce: Gce) -> None:
    """What is protected is not deleted until it is not any more."""
    gce.running(deletionProtection=True)
    assert gce.ask("DELETE", "instances/vm").status == 400
    gce.end(gce.post("instances/vm/setDeletionProtection", deletionProtection="false"))
    assert gce.ask("DELETE", "instances/vm").status == 200


def test_local_disks(gce: Gce) -> None:
    """They come with the machine type, and a stop has to say what becomes of them."""
    image = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"
    vm = gce.running(size="c3-standard-4-lssd", image=image)
    assert [one["type"] for one in vm["disks"]] == ["PERSISTENT", "SCRATCH"]
    assert gce.ask("POST", "instances/vm/stop").status == 400
    gce.end(gce.post("instances/vm/stop", discardLocalSsd="true"))
    assert gce.vm()["status"] == "TERMINATED"


def test_another_machine_type(gce: Gce) -> None:
    """Only what is stopped can get one."""
    gce.running()
    wanted = {"machineType": "zones/europe-west1-b/machineTypes/n2-standard-4"}
    assert gce.ask("POST", "instances/vm/setMachineType", wanted).status == 400
    gce.end(gce.post("instances/vm/stop"))
    gce.end(gce.post("instances/vm/setMachineType", wanted))
    assert gce.vm()["machineType"].endswith("/n2-standard-4")


@pytest.mark.parametrize(
    ("verb", "body", "mark"),
    [
        ("setLabels", {"labels": {"a": "b"}}, "labelFingerprint"),
        ("setMetadata", {"items": [{"key": "a", "value": "b"}]}, "fingerprint"),
        ("setTags", {"items": ["web"]}, "fingerprint"),
    ],
)
def test_changes_need_a_fingerprint(gce: Gce, verb: str, body: dict[str, Any], mark: str) -> None:
    """That of what they change: with any other they are refused."""
    field = verb[3:].lower()

    def now() -> tuple[str, Any]:
        vm = gce.vm()
        if field == "labels":
            return vm["labelFingerprint"], vm.get("labels")
        return vm[field]["fingerprint"], vm[field].get("items")

    gce.running()
    old = now()
    for wrong in ({}, {mark: "AAAAAAAAAAA="}):
        refused = gce.ask("POST", f"instances/vm/{verb}", {**body, **wrong})
        assert (refused.status, refused.reason) == (412, "conditionNotMet")
    gce.end(gce.post(f"instances/vm/{verb}", {**body, mark: old[0]}))
    new = now()
    assert new[1] == (body.get("items") or body["labels"])
    assert new[0] != old[0]


def test_a_fingerprint_is_written_as_in_urls() -> None:
    """So clients that read its bytes, and write them again, give back the same text."""
    assert not [mark for mark in map(fingerprint, range(100)) if {*mark} & {*"+/"}]
    assert len({*map(fingerprint, range(100))}) == 100


def test_preemption(gce: Gce) -> None:
    """A spot VM is stopped or deleted, and an operation of the system tells it."""
    spot = {"provisioningModel": "SPOT"}
    assert gce.running("a", scheduling=spot)["scheduling"] == {
        "automaticRestart": False,
        "instanceTerminationAction": "STOP",
        "onHostMaintenance": "TERMINATE",
        "preemptible": True,
        "provisioningModel": "SPOT",
    }
    gce.running("b", scheduling={**spot, "instanceTerminationAction": "DELETE"})
    gce.running("c")
    with pytest.raises(ValueError, match="no spot VM"):
        gce.cloud.preempt("c")
    for name in ("a", "b"):
        gce.cloud.preempt(name)
        assert gce.vm(name)["status"] == "STOPPING"
    gce.cloud.advance(SECONDS)
    assert gce.vm("a")["status"] == "TERMINATED"
    assert "b" not in gce.names()
    gce.end(gce.post("instances/a/start"))
    assert gce.vm("a")["status"] == "RUNNING"
    text = '(operationType = "compute.instances.preempted")'
    told = gce.get("operations", filter=text)["items"]
    assert {one["user"] for one in told} == {"system"}
    assert all(one["name"].startswith("systemevent-") for one in told)


def _without(field: str) -> Any:
    return lambda body: body.pop(field)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("name"), "Required field 'resource.name' not specified"),
        (_without("disks"), "No disks are specified"),
        (_without("networkInterfaces"), "At least one network interface is required"),
        (lambda body: body.update(name="Vm"), "Must be a match of regex"),
        (lambda body: body.update(machineType="e2-small"), "The URL is malformed"),
        (
            lambda body: body.update(machineType=f"{ZONE}/machineTypes/e9"),
            "does not exist in zone 'europe-west1-b'",
        ),
        (lambda body: body.update(labels={"a": "B"}), "Label value 'B' violates"),
        (lambda body: body.update(labels={"1": "b"}), "Label key '1' violates"),
        (lambda body: body.update(tags={"items": ["A"]}), "Must be a match of"),
        (
            lambda body: body.update(
                scheduling={"provisioningModel": "SPOT", "automaticRestart": True}
            ),
            "automaticRestart be false",
        ),
        (
            lambda body: body["disks"][0]["initializeParams"].update(
                sourceImage="projects/debian-cloud/global/images/family/debian-1"
            ),
            "global/images/family/debian-1' was not found",
        ),
        (
            lambda body: body["disks"][0]["initializeParams"].update(
                sourceImage="projects/debian-cloud/global/images/debian-1"
            ),
            "The referenced image resource cannot be found",
        ),
        (
            lambda body: body["disks"][0]["initializeParams"].update(diskSizeGb="5"),
            "cannot be smaller than the image size (10 GB)",
        ),
        (
            lambda body: body.update(
                machineType="zones/europe-west1-b/machineTypes/t2a-standard-1"
            ),
            "architecture (X86_64) is not compatible",
        ),
        (
            lambda body: body["networkInterfaces"][0].update(network="global/networks/none"),
            "The referenced network resource cannot be found",
        ),
        (lambda body: body.update(colour="red"), 'Unknown name "colour"'),
        (lambda body: body.update(canIpForward="yes"), "Invalid value at 'canIpForward'"),
        (
            lambda body: body.update(scheduling={"provisioningModel": "CHEAP"}),
            "Invalid value at 'scheduling.provisioningModel' (TYPE_ENUM)",
        ),
        (
            lambda body: body["disks"][0].update(colour="red"),
            "Unknown name \"colour\" at 'disks[0]'",
        ),
    ],
)
def test_what_cannot_be_launched(gce: Gce, change: Any, message: str) -> None:
    """The error says what is wrong, and nothing is made."""
    body = gce.wanted()
    change(body)
    refused = gce.ask("POST", "instances", body)
    assert refused.status in {400, 404}
    assert message in refused.error["message"]
    assert not gce.names()


def test_what_is_offered(gce: Gce) -> None:
    """Images by their families, machine types with what they have, and the network of a project."""
    images = {
        "ubuntu-os-cloud": {"ubuntu-2404-lts-amd64": "X86_64", "ubuntu-2404-lts-arm64": "ARM64"},
        "debian-cloud": {"debian-12": "X86_64", "debian-12-arm64": "ARM64"},
        "rhel-cloud": {"rhel-9": "X86_64", "rhel-9-arm64": "ARM64"},
        "rocky-linux-cloud": {"rocky-linux-9": "X86_64", "rocky-linux-9-arm64": "ARM64"},
        "cos-cloud": {"cos-stable": "X86_64", "cos-arm64-stable": "ARM64"},
        "windows-cloud": {"windows-2022": "X86_64"},
    }
    for project, families in images.items():
        for family, architecture in families.items():
            path = f"/compute/v1/projects/{project}/global/images"
            found = gce.get(f"{path}/family/{family}")
            assert (found["family"], found["architecture"]) == (family, architecture)
            assert gce.get(f"{path}/{found['name']}") == found
    for name, cpus, memory in (
        ("e2-micro", 2, 1024),
        ("n2-standard-4", 4, 16384),
        ("c4-standard-2", 2, 7680),
        ("t2a-standard-1", 1, 4096),
        ("n2-custom-6-20480", 6, 20480),
    ):
        found = gce.get(f"machineTypes/{name}")
        assert (found["guestCpus"], found["memoryMb"]) == (cpus, memory)
    assert gce.get("machineTypes/c4a-standard-8")["architecture"] == "ARM64"
    assert "bundledLocalSsds" in gce.get("machineTypes/c3-standard-8-lssd")
    network = gce.get(f"{gce.project}/global/networks/default")
    assert any("/regions/europe-west1/" in one for one in network["subnetworks"])
    region = gce.get(f"{gce.project}/regions/europe-west1")
    assert "CPUS" in {one["metric"] for one in region["quotas"]}
    assert gce.get(gce.project)["defaultServiceAccount"].endswith("@developer.gserviceaccount.com")


@pytest.mark.parametrize("zone", ["-", "europe-west1-b"])
def test_a_view_of_a_family(gce: Gce, zone: str) -> None:
    """It shows the newest image, in a zone or in any; gcloud makes VMs of it."""
    path = f"projects/debian-cloud/zones/{zone}/imageFamilyViews"
    family = "/compute/v1/projects/debian-cloud/global/images/family/debian-12"
    assert gce.get(f"/compute/v1/{path}/debian-12") == {"image": gce.get(family)}
    gce.running(image=f"https://www.googleapis.com/compute/v1/{path}/debian-12")
    assert gce.get("disks/vm")["sourceImage"] == gce.get(family)["selfLink"]
    assert gce.ask("GET", f"/compute/v1/{path}/debian-1").reason == "notFound"


def test_a_view_in_a_zone_that_is_none(gce: Gce) -> None:
    """Only `-` is any zone, and of nothing else."""
    views = f"{gce.project}/zones/mars-1-a/imageFamilyViews/debian-12"
    assert gce.ask("GET", views).reason == "notFound"
    assert gce.ask("GET", f"{gce.project}/zones/-/instances").reason == "invalid"


def test_a_reserved_address(gce: Gce) -> None:
    """It is the VM's as long as there is the VM, and cannot be deleted in the meantime."""
    addresses = f"{gce.project}/regions/europe-west1/addresses"
    gce.end(gce.post(addresses, {"name": "a"}))
    given = gce.get(f"{addresses}/a")["address"]
    body = gce.wanted()
    body["networkInterfaces"][0]["accessConfigs"][0]["natIP"] = given
    gce.end(gce.post("instances", body))
    assert gce.get(f"{addresses}/a")["status"] == "IN_USE"
    assert gce.ask("DELETE", f"{addresses}/a").reason == "resourceInUseByAnotherResource"
    gce.end(gce.post("instances/vm/stop"))
    assert gce.vm()["networkInterfaces"][0]["accessConfigs"][0]["natIP"] == given
    gce.end(gce.ask("DELETE", "instances/vm").body)
    assert gce.get(f"{addresses}/a")["status"] == "RESERVED"
    gce.end(gce.ask("DELETE", f"{addresses}/a").body)
    assert gce.ask("GET", f"{addresses}/a").status == 404


def test_images_and_snapshots(gce: Gce) -> None:
    """They are made of disks, and VMs of them."""
    gce.running()
    disk = "zones/europe-west1-b/disks/vm"
    for kind, name, field in (
        ("images", "i", "sourceImage"),
        ("snapshots", "s", "sourceSnapshot"),
    ):
        place = f"{gce.project}/global/{kind}"
        gce.end(gce.post(place, {"name": name, "sourceDisk": disk}))
        assert gce.get(f"{place}/{name}")["status"] == "READY"
        body = gce.wanted(f"of-{name}")
        body["disks"][0]["initializeParams"] = {field: f"global/{kind}/{name}"}
        gce.end(gce.post("instances", body))
        made = gce.get(f"disks/of-{name}")
        assert made[field].endswith(f"/{kind}/{name}")
        assert made["sizeGb"] == "10"
    gce.end(gce.post("disks/vm/resize", {"sizeGb": "20"}))
    assert gce.get("disks/vm")["sizeGb"] == "20"
    assert gce.ask("POST", "disks/vm/resize", {"sizeGb": "15"}).reason == "invalid"
