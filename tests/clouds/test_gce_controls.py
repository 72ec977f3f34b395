"""The GCE emulator's tokens, permissions, limits, clock and faults, and its check of itself."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http.client import RemoteDisconnected
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import gce_calls
import pytest
from gce.discovery import document
from gce.front import application
from gce.schema import Mismatch
from gce.seeds import begin
from gce.world import world
from gce_calls import SECONDS, Gce
from werkzeug.test import Client

gce, gce_server = gce_calls.gce, gce_calls.gce_server


# -- credentials ----------------------------------------------------------------------------------


def test_tokens(gce: Gce) -> None:
    """A request needs a token that was given, that has not expired, and that was not taken back."""
    missing = gce.ask("GET", "instances", Authorization="")
    assert (missing.status, missing.reason) == (401, "required")
    assert gce.ask("GET", "instances", Authorization="Bearer x").reason == "authError"
    old = {"Authorization": f"Bearer {gce.cloud.token()}"}
    assert gce.ask("GET", "instances", **old).status == 200
    gce.cloud.expire_tokens()
    refused = gce.ask("GET", "instances", **old)
    assert (refused.status, refused.reason) == (401, "authError")
    assert refused.headers["www-authenticate"].startswith("Bearer realm=")
    assert refused.body["error"]["details"][0]["reason"] == "ACCESS_TOKEN_EXPIRED"
    assert gce.ask("GET", "instances").status == 200
    gce.cloud.advance(86400)
    assert gce.ask("GET", "instances").reason == "authError"


def test_the_default_credentials(gce: Gce, monkeypatch: pytest.MonkeyPatch) -> None:
    """google.auth.default() finds the emulator by its variables alone, and its project."""
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "NO_GCE_CHECK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in gce.cloud.environment().items():
        monkeypatch.setenv(name, value)
    credentials, project = google.auth.default()
    assert project == gce.cloud.project
    with AuthorizedSession(credentials) as session:
        url = f"{gce.cloud.endpoint}{gce.zone}/instances"
        assert session.get(url).status_code == 200
        gce.cloud.expire_tokens()
        assert session.get(url).status_code == 200  # with another token
        assert credentials.service_account_email.endswith(".iam.gserviceaccount.com")
        assert credentials.universe_domain == "googleapis.com"


def test_the_metadata_server(gce: Gce) -> None:
    """It answers only those who ask for metadata, and what it gives is good for some minutes."""

    def ask(path: str, **headers: str) -> tuple[int, str]:
        url = f"{gce.cloud.endpoint}/computeMetadata/v1/{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with urlopen(Request(url, headers=named), timeout=10) as answer:  # noqa: S310
                assert answer.headers["Metadata-Flavor"] == "Google"
                return answer.status, answer.read().decode()
        except HTTPError as exc:
            with exc:
                return exc.status, ""

    flavor = {"Metadata_Flavor": "Google"}
    assert ask("project/project-id") == (403, "")
    assert ask("project/project-id", **flavor) == (200, "vmops-test")
    assert ask("instance/zone", **flavor)[1].endswith("/zones/europe-west1-b")
    assert ask("instance/colour", **flavor)[0] == 404
    path = "instance/service-accounts/default/token"
    first = json.loads(ask(path, **flavor)[1])
    assert first["token_type"] == "Bearer"
    gce.cloud.advance(80_000)
    assert json.loads(ask(path, **flavor)[1])["access_token"] == first["access_token"]
    gce.cloud.advance(6200)
    assert json.loads(ask(path, **flavor)[1])["access_token"] != first["access_token"]


# -- permissions ----------------------------------------------------------------------------------

LAUNCH = {
    "compute.instances.create",
    "compute.disks.create",
    "compute.disks.setLabels",
    "compute.subnetworks.use",
    "compute.subnetworks.useExternalIp",
    "compute.instances.setLabels",
    "compute.instances.setMetadata",
    "compute.instances.setTags",
    "compute.instances.setServiceAccount",
    "iam.serviceAccounts.actAs",
}


def test_permissions_of_a_launch(gce: Gce) -> None:
    """Each part of it needs its own, and the refusal names the one that is lacking."""
    account = "a@vmops-test.iam.gserviceaccount.com"
    body = gce.wanted(
        labels={"a": "b"},
        metadata={"items": [{"key": "a", "value": "b"}]},
        tags={"items": ["web"]},
        serviceAccounts=[{"email": account}],
    )
    body["disks"][0]["initializeParams"]["labels"] = {"a": "b"}
    for lacking in sorted(LAUNCH):
        gce.cloud.settings(permissions=sorted(LAUNCH - {lacking}))
        refused = gce.ask("POST", "instances", body)
        if lacking.startswith("iam."):
            assert refused.status == 400
            assert f"does not have access to service account '{account}'" in str(refused.body)
            continue
        assert (refused.status, refused.reason) == (403, "forbidden")
        assert refused.error["message"].startswith(
            f"Required '{lacking}' permission for 'projects/"
        )
    gce.cloud.settings(permissions=sorted(LAUNCH))
    assert gce.ask("POST", "instances", body).status == 200


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", "instances/vm", "compute.instances.get"),
        ("GET", "instances", "compute.instances.list"),
        ("POST", "instances/vm/start", "compute.instances.start"),
        ("POST", "instances/vm/stop", "compute.instances.stop"),
        ("POST", "instances/vm/reset", "compute.instances.reset"),
        ("DELETE", "instances/vm", "compute.instances.delete"),
        ("POST", "instances/vm/setLabels", "compute.instances.setLabels"),
        ("GET", "operations", "compute.zoneOperations.list"),
        ("POST", "operations/x/wait", "compute.zoneOperations.get"),
        ("GET", "machineTypes/e2-small", "compute.machineTypes.get"),
        ("GET", "imageFamilyViews/x", "compute.images.getFromFamily"),
    ],
)
def test_permissions(gce: Gce, method: str, path: str, permission: str) -> None:
    """Each method needs one; patterns of them count."""
    gce.cloud.settings(permissions=["compute.disks.*"])
    refused = gce.ask(method, path)
    assert (refused.status, refused.reason) == (403, "forbidden")
    assert refused.error["message"].startswith(f"Required '{permission}' permission for")
    gce.cloud.settings(permissions=[permission.rpartition(".")[0] + ".*"])
    assert gce.ask(method, path).status != 403


@pytest.mark.parametrize(
    "path", ["global/images", "global/images/family", "zones/-/imageFamilyViews"]
)
def test_permission_for_an_image_of_the_project(gce: Gce, path: str) -> None:
    """A launch from it needs one more, by whichever path it is named."""
    disk = {"name": "own", "family": "own", "sourceImage": gce_calls.DEBIAN}
    gce.end(gce.post(f"{gce.project}/global/images", disk))
    gce.cloud.settings(permissions=sorted(LAUNCH))
    refused = gce.ask("POST", "instances", gce.wanted(image=f"{path}/own"))
    assert refused.error["message"].startswith("Required 'compute.images.useReadOnly' permission")
    gce.cloud.settings(permissions=[*LAUNCH, "compute.images.useReadOnly"])
    assert gce.ask("POST", "instances", gce.wanted(image=f"{path}/own")).status == 200


def test_other_projects(gce: Gce) -> None:
    """There is one; Google's own are there for their images."""
    other = "/compute/v1/projects/other"
    assert gce.ask("GET", f"{other}/zones/europe-west1-b/instances").status == 404
    assert gce.ask("GET", "/compute/v1/projects/debian-cloud/global/networks").status == 404
    assert gce.ask("GET", f"{gce.project}/zones/mars-1-a/instances").reason == "notFound"


# -- limits ---------------------------------------------------------------------------------------


@pytest.fixture
def limited(gce: Gce) -> Iterator[Gce]:
    """With the limits, and hardly any refill."""
    gce.cloud.settings(rate_limits=1e-6)
    yield gce
    gce.cloud.settings(rate_limits=0)


def until_refused(gce: Gce, method: str, path: str) -> tuple[int, Any]:
    """How many requests are answered, and the refusal of the next one."""
    for count in range(2000):
        answer = gce.ask(method, path)
        if answer.reason == "rateLimitExceeded":
            return count, answer
    raise AssertionError("no limit was met")


def test_limits(limited: Gce) -> None:
    """750 waits; others have budgets of their own, and in a minute all is full again."""
    count, refused = until_refused(limited, "POST", "operations/x/wait")
    assert (count, refused.status, refused.error["domain"]) == (750, 403, "usageLimits")
    detail = refused.body["error"]["details"][0]
    assert detail["reason"] == "RATE_LIMIT_EXCEEDED"
    metric = "compute.googleapis.com/heavy_weight_read_requests_per_region"
    assert detail["metadata"]["quota_metric"] == metric
    assert limited.ask("GET", "operations/x").reason == "notFound"
    there = f"{limited.project}/zones/us-east1-c/operations/x/wait"
    assert limited.ask("POST", there).reason == "notFound"
    limited.cloud.settings(rate_limits=1)
    limited.cloud.advance(1)
    assert until_refused(limited, "POST", "operations/x/wait")[0] in range(12, 40)


# -- the clock, what lags, and faults -------------------------------------------------------------


def test_the_clock(gce: Gce) -> None:
    """The Date is the cloud's, which tests can move and hurry."""
    before = parsedate_to_datetime(gce.ask("GET", "instances").headers["date"])
    gce.cloud.advance(3600)
    after = parsedate_to_datetime(gce.ask("GET", "instances").headers["date"])
    assert 3599 <= (after - before).total_seconds() <= 3605
    gce.cloud.settings(speed=1000)
    operation = gce.post("instances", gce.wanted())
    time.sleep(0.02)
    assert gce.now(operation)["status"] == "DONE"


def test_what_cannot_be_seen_yet(gce: Gce) -> None:
    """A new VM, for a while; its name is taken all the same."""
    gce.cloud.settings(invisible=5)
    operation = gce.post("instances", gce.wanted())
    assert gce.ask("GET", "instances/vm").status == 404
    assert gce.names() == []
    assert gce.ask("POST", "instances", gce.wanted()).reason == "alreadyExists"
    assert gce.now(operation)["targetId"]
    gce.cloud.advance(5)
    assert gce.names() == ["vm"]


def test_what_is_seen_late(gce: Gce) -> None:
    """Reads and lists lag behind changes."""
    gce.running()
    gce.cloud.advance(60)
    gce.cloud.settings(stale=5)
    assert gce.end(gce.post("instances/vm/stop"))["status"] == "RUNNING"
    assert gce.vm()["status"] in {"RUNNING", "STOPPING"}
    gce.cloud.advance(5)
    assert gce.vm()["status"] == gce.get("instances")["items"][0]["status"] == "TERMINATED"


def test_faults(gce: Gce) -> None:
    """Before or after the request has had its effect, once or more often."""
    gce.cloud.fault(method="GET", path=r"/instances\?filter", status=503, times=2)
    gce.cloud.fault(path="/machineTypes", status=403, code="rateLimitExceeded", message="slow down")
    asked = [gce.ask("GET", "instances", query={"filter": "name = vm"}) for _ in range(3)]
    assert [one.reason for one in asked] == ["backendError", "backendError", ""]
    gce.post("instances", gce.wanted())
    refused = gce.ask("GET", "machineTypes")
    assert (refused.reason, refused.error["domain"]) == ("rateLimitExceeded", "usageLimits")
    gce.cloud.fault(method="DELETE", status=500, after=True)
    assert gce.ask("DELETE", "instances/vm").reason == "internalError"
    gce.cloud.advance(SECONDS)
    assert not gce.names()
    gce.cloud.fault(method="POST", path="/instances", drop=True, after=True)
    with pytest.raises(RemoteDisconnected):
        gce.ask("POST", "instances", gce.wanted())
    assert gce.names() == ["vm"]
    last = [call for call in gce.cloud.calls() if call["action"] == "instances.insert"][-1]
    assert last["status"] == 0


def test_calls(gce: Gce) -> None:
    """What was asked, by the names of the API, with what came of it."""
    gce.ask("POST", "instances", gce.wanted(), {"requestId": "x"})
    gce.ask("GET", "instances/none")
    first, second = gce.cloud.calls()
    seen = [(one["action"], one["status"], one["code"]) for one in (first, second)]
    assert seen == [("instances.insert", 400, "invalid"), ("instances.get", 404, "notFound")]
    assert (first["query"], first["body"]["name"]) == ("requestId=x", "vm")
    assert (second["action"], second["status"], second["code"]) == (
        "instances.get",
        404,
        "notFound",
    )
    assert "authorization" not in first["headers"]
    with pytest.raises(ValueError, match="no such setting: colour"):
        gce.cloud.settings(colour="red")


# -- the document ---------------------------------------------------------------------------------


def test_what_is_not_served(gce: Gce) -> None:
    """A method that the API has is told from one that it has not."""
    there = gce.ask("POST", "instances/vm/simulateMaintenanceEvent")
    assert (there.status, there.reason) == (501, "notImplemented")
    assert gce.ask("POST", "instances/vm/fly").status == 404
    assert gce.ask("GET", "instances", query={"fields": "items/name"}).status == 501


@pytest.mark.parametrize(
    "change",
    [
        (lambda body: body.update(colour="red")),
        (lambda body: body.update(id=1)),
        (lambda body: body.update(id="one")),
        (lambda body: body.update(status="BUSY")),
        (lambda body: body.update(deletionProtection="no")),
        (lambda body: body.update(labels={"a": 1})),
        (lambda body: body.update(name=None)),
        (lambda body: body["disks"][0].update(index="0")),
        (lambda body: body["disks"][0].update(colour="red")),
        (lambda body: body["networkInterfaces"][0].update(accessConfigs={})),
        (lambda body: body.update(fingerprint="not base64!")),
    ],
)
def test_wrong_answers_are_found(gce: Gce, change: Any) -> None:
    """An answer that the document does not allow is none."""
    check = document().answered.named("Instance")
    body = gce.running()
    check(body, "")
    change(body)
    with pytest.raises(Mismatch):
        check(body, "")


def test_a_wrong_answer_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """It is never sent, unless tests say that answers are not to be checked."""
    world.reset()
    begin()
    client, path = Client(application), "/compute/v1/projects/vmops-test/global/networks"
    token = client.get("/vmops/token").json["access_token"]  # type: ignore[index]
    headers = {"Authorization": f"Bearer {token}"}
    assert client.get(path, headers=headers).status_code == 200
    network = next(one for one in world.every() if one.kind == "networks")
    with network.changing() as body:
        body["colour"] = "red"
    for url in (path, f"{path}/default"):
        assert client.get(url, headers=headers).status_code == 501
        assert 'Unknown name "colour"' in capsys.readouterr().err
    client.post("/vmops/settings", json={"validate_answers": False})
    assert client.get(path, headers=headers).status_code == 200
    world.reset()
