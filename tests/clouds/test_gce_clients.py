"""The GCE emulator under clients that know nothing of it: Google's library, gcloud and libcloud."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gce_calls
import pytest
from gce_calls import Gce

gce, gce_server = gce_calls.gce, gce_calls.gce_server


@pytest.fixture
def quick(gce: Gce) -> Gce:
    """Verbs that take a moment."""
    gce.cloud.settings(**dict.fromkeys(gce_calls.SLOW, 0.02))
    return gce


# -- google.cloud.compute_v1 ----------------------------------------------------------------------


@pytest.fixture
def instances(quick: Gce, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client whose operations are asked for here, and not at Google."""
    client = quick.cloud.client()
    services = {"zone_operations": quick.cloud.client("ZoneOperationsClient")}
    monkeypatch.setattr(client.transport, "_extended_operations_services", services)
    return client


def test_googles_client(quick: Gce, instances: Any) -> None:
    """Its own operations poll, end and raise."""
    from google.api_core.exceptions import BadRequest, Forbidden, NotFound, ServiceUnavailable
    from google.cloud import compute_v1

    place = {"project": quick.cloud.project, "zone": quick.cloud.zone}
    wanted = compute_v1.Instance.from_json(json.dumps(quick.wanted()))
    making = instances.insert(**place, instance_resource=wanted)
    assert making.result(timeout=10) is None
    vm = instances.get(**place, instance="vm")
    assert (vm.status, vm.id) == ("RUNNING", making._extended_operation.target_id)
    instances.stop(**place, instance="vm").result(timeout=10)
    assert [(one.name, one.status) for one in instances.list(**place)] == [("vm", "TERMINATED")]
    zones = dict(instances.aggregated_list(project=quick.cloud.project))
    assert [one.name for one in zones[f"zones/{quick.cloud.zone}"].instances] == ["vm"]

    quick.cloud.settings(no_capacity=["e2-small"])
    starting = instances.start(**place, instance="vm")
    with pytest.raises(ServiceUnavailable, match="does not have enough resources"):
        starting.result(timeout=10)
    assert starting.error_code == 503

    quick.cloud.fault(path="/instances/vm", status=403, code="rateLimitExceeded")
    with pytest.raises(Forbidden) as limited:
        instances.stop_unary(**place, instance="vm")
    assert limited.value.errors[0]["reason"] == "rateLimitExceeded"
    with pytest.raises(BadRequest):
        instances.reset_unary(**place, instance="vm")
    instances.delete(**place, instance="vm").result(timeout=10)
    with pytest.raises(NotFound):
        instances.get(**place, instance="vm")


def test_other_clients_of_google(quick: Gce) -> None:
    """They read what they are answered, down to the last field."""
    place = {"project": quick.cloud.project, "zone": quick.cloud.zone}
    images = quick.cloud.client("ImagesClient")
    image = images.get_from_family(project="debian-cloud", family="debian-12")
    assert (image.architecture, image.disk_size_gb) == ("X86_64", 10)
    types = quick.cloud.client("MachineTypesClient")
    assert len(list(types.list(request={**place, "max_results": 7}))) > 100
    regions = quick.cloud.client("RegionsClient").list(project=quick.cloud.project)
    assert "europe-west1" in {one.name for one in regions}
    networks = quick.cloud.client("NetworksClient")
    assert networks.get(project=quick.cloud.project, network="default").auto_create_subnetworks


# -- libcloud -------------------------------------------------------------------------------------


@pytest.fixture
def driver(quick: Gce, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Libcloud's driver; its token comes from a file, and its connection leads here."""
    from libcloud.compute.drivers.gce import GCEConnection, GCENodeDriver

    class Here(GCEConnection):  # type: ignore[misc]
        poll_interval = 0.02

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            host, _, port = quick.cloud.endpoint.removeprefix("http://").partition(":")
            self.host, self.port, self.secure = host, int(port), False

    class Driver(GCENodeDriver):  # type: ignore[misc]
        connectionCls = Here  # noqa: N815  (libcloud's name)

    until = datetime.now(UTC) + timedelta(hours=1)
    token = {
        "access_token": quick.cloud.token(),
        "expires_in": 3600,
        "expire_time": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "token_type": "Bearer",
    }
    file = tmp_path / "token.json"
    file.write_text(json.dumps(token))
    made = Driver(
        "user",
        "secret",
        datacenter=quick.cloud.zone,
        project=quick.cloud.project,
        auth_type="IA",
        credential_file=str(file),
    )
    yield made
    made.connection.connection.session.close()


def test_libcloud(quick: Gce, driver: Any) -> None:
    """A life of a node: made with all that it can have, stopped, started, rebooted, destroyed."""
    from libcloud.common.google import ResourceNotFoundError
    from libcloud.compute.types import NodeState

    node = driver.create_node(
        "vm",
        "e2-small",
        driver.ex_get_image_from_family("debian-12", ex_project_list=["debian-cloud"]),
        ex_tags=["web"],
        ex_metadata={"user-data": "#!/bin/sh"},
        ex_labels={"a": "b"},
        ex_preemptible=True,
        ex_automatic_restart=False,
        ex_on_host_maintenance="TERMINATE",
    )
    assert node.state == NodeState.RUNNING
    assert node.public_ips[0].startswith("34.")
    assert node.extra["labels"] == {"a": "b"}
    shown = quick.vm()
    assert shown["tags"]["items"] == ["web"]
    assert shown["metadata"]["items"] == [{"key": "user-data", "value": "#!/bin/sh"}]
    assert shown["scheduling"]["preemptible"] is True
    assert [(one.name, one.id) for one in driver.list_nodes()] == [("vm", shown["id"])]
    assert driver.stop_node(node)
    assert driver.ex_get_node("vm").state == NodeState.STOPPED
    assert driver.start_node(node)
    assert driver.reboot_node(node)
    assert driver.ex_get_node("vm").state == NodeState.RUNNING
    assert driver.ex_set_node_labels(node, {"c": "d"})
    assert quick.vm()["labels"] == {"c": "d"}
    assert driver.destroy_node(node)
    with pytest.raises(ResourceNotFoundError):
        driver.ex_get_node("vm")
    assert not [one for one in quick.cloud.resources() if "/disks/" in one]


def test_libcloud_lists(driver: Any) -> None:
    """Sizes, images, networks, addresses, disks and snapshots."""
    assert {"e2-small", "t2a-standard-1"} <= {one.name for one in driver.list_sizes()}
    image = driver.ex_get_image_from_family("debian-12", ex_project_list=["debian-cloud"])
    assert image.extra["family"] == "debian-12"
    assert [one.name for one in driver.ex_list_networks()] == ["default"]
    address = driver.ex_create_address("a", region="europe-west1")
    assert [one.address for one in driver.ex_list_addresses()] == [address.address]
    assert driver.ex_destroy_address(address)
    volume = driver.create_volume(20, "data")
    assert [(one.name, one.size) for one in driver.list_volumes()] == [("data", "20")]
    snapshot = driver.create_volume_snapshot(volume, "s")
    assert [one.name for one in driver.ex_list_snapshots()] == ["s"]
    assert snapshot.destroy()
    assert driver.destroy_volume(volume)


# -- gcloud ---------------------------------------------------------------------------------------


@pytest.fixture
def gcloud(quick: Gce, tmp_path: Path) -> Callable[..., Any]:
    """What `gcloud compute instances` answers, whose every setting is one of this test."""
    token = tmp_path / "token"
    token.write_text(quick.cloud.token())
    settings = {
        "API_ENDPOINT_OVERRIDES_COMPUTE": f"{quick.cloud.endpoint}/compute/v1/",
        "AUTH_ACCESS_TOKEN_FILE": str(token),
        "COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
        "COMPUTE_ZONE": quick.cloud.zone,
        "CONFIG": str(tmp_path / "gcloud"),
        "CORE_CHECK_GCE_METADATA": "0",
        "CORE_DISABLE_FILE_LOGGING": "1",
        "CORE_DISABLE_PROMPTS": "1",
        "CORE_DISABLE_USAGE_REPORTING": "1",
        "CORE_PROJECT": quick.cloud.project,
        "SURVEY_DISABLE_PROMPTS": "1",
    }
    environment = {f"CLOUDSDK_{name}": value for name, value in settings.items()}
    environment |= {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}

    def run(*words: str) -> Any:
        done = subprocess.run(
            ["gcloud", "compute", "instances", *words, "--format=json"],
            capture_output=True,
            text=True,
            env=environment,
            timeout=120,
            check=False,
        )
        assert (done.returncode, "did not succeed" in done.stderr) == (0, False), done.stderr
        return json.loads(done.stdout or "null")

    return run


@pytest.mark.skipif(shutil.which("gcloud") is None, reason="no gcloud (Google Cloud CLI) here")
def test_gcloud(quick: Gce, gcloud: Callable[..., Any]) -> None:
    """A life of a VM by Google's command line: made of a family's image, and seen by a list."""
    family = ["--image-family=debian-12", "--image-project=debian-cloud"]
    (made,) = gcloud("create", "vm", "--machine-type=e2-small", *family)
    assert made["status"] == "RUNNING"
    assert [one["id"] for one in gcloud("list")] == [made["id"]]
    gcloud("add-labels", "vm", "--labels=a=b")
    assert gcloud("describe", "vm")["labels"] == {"a": "b"}
    gcloud("stop", "vm")
    assert quick.vm()["status"] == "TERMINATED"
    gcloud("start", "vm")
    assert quick.vm()["status"] == "RUNNING"
    gcloud("delete", "vm")
    assert not [one for one in quick.cloud.resources() if "/instances/" in one or "/disks/" in one]
