"""The tools that read, compare and serve recordings of Azure Resource Manager."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from arm_reality.cassette import Cassette, Exchange, load
from arm_reality.compare import differences
from arm_reality.presumed import Presumed
from arm_reality.reduce import reduced
from arm_reality.replay import RECORDINGS, replay
from arm_reality.replay_server import ReplayCloud
from arm_reality.scope import inside

FILES = sorted(RECORDINGS.glob("*.jsonl"))
VM = RECORDINGS / "compute-23.1.0-vm.jsonl"


class Echo(ReplayCloud):
    """A recording as the cloud to replay it against; its operations end when the recording says."""

    def advance(self, seconds: float) -> None:
        """There is no clock."""


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_echo(path: Path) -> None:
    """A recording does not differ from itself, and needs nothing but what it presumes."""
    with Echo(path) as cloud:
        found = replay(path, cloud)

        assert found.differences == []
        asked = {each.partition(" ")[2] for each in cloud.unknown() if "/providers/" in each}
        assert asked <= set(found.presumed)


def test_order_of_states(tmp_path: Path) -> None:
    """An operation that ends before the recorded one did, or later, is a difference."""
    lines = VM.read_text().splitlines(keepends=True)
    running = next(number for number, line in enumerate(lines) if '"InProgress"' in line)
    early = tmp_path / "early.jsonl"
    early.write_text("".join(lines[:running] + lines[running + 1 :]))

    with Echo(early) as cloud:
        found = [str(each) for each in replay(VM, cloud).differences]

    assert any("status InProgress is Succeeded" in each for each in found)


def _view(found: dict[str, Any]) -> Any:
    return found["properties"]["instanceView"]["statuses"][0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found.pop("location"), "location is missing"),
        (lambda found: found.update(zones=["1"]), "zones is new"),
        (lambda found: found["properties"].update(vmId=1), "properties/vmId of type string is num"),
        (lambda found: found.update(location="westus"), "location eastus is westus"),
        (
            lambda found: _view(found).update(code="ProvisioningState/updating"),
            "properties/instanceView/statuses/*/code PowerState/running, ProvisioningState/succ",
        ),
        (lambda found: found["properties"].update(vmId="another"), None),
    ],
)
def test_differs(change: Callable[[Any], Any], said: str | None) -> None:
    """Missing and new keys, other types and other values are differences; chance is none."""
    machine = RECORDINGS / "compute-17.0.0-vm.jsonl"
    recorded = next(item for item in load(machine).exchanges if "$expand" in item.query)
    changed = copy.deepcopy(recorded.answer)
    change(changed)

    found = differences(recorded, 200, recorded.headers, changed)

    assert [each[: len(said or "")] for each in found] == ([said] if said else [])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"location": None}, "header location is missing"),
        ({"retry-after": "10"}, None),
        ({"azure-asyncnotification": "Enabled"}, "header azure-asyncnotification is new"),
        (
            {"x-ms-ratelimit-remaining-resource": "Microsoft.Compute/DeleteVM3Min;1"},
            "header x-ms-ratelimit-remaining-resource lacks Microsoft.Compute/UpdateVM",
        ),
        ({"x-ms-ratelimit-remaining-resource": "Microsoft.Compute/UpdateVMResource;1"}, None),
        ({"location": "https://x/operations/1"}, "header location /subscriptions/*/providers/mi"),
    ],
)
def test_headers_differ(change: dict[str, str | None], said: str | None) -> None:
    """A header of operations is there or not; any other may have been left out by the recorder."""
    recorded = next(item for item in load(VM).exchanges if item.path.endswith("/start"))
    headers = {name: value for name, value in {**recorded.headers, **change}.items() if value}

    found = differences(recorded, 202, headers, None)

    assert [each[: len(said or "")] for each in found] == ([said] if said else [])


def _vcr(answer: Any, **request: Any) -> dict[str, Any]:
    asked = {"method": "PUT", "uri": "https://management.azure.com/subscriptions/1?b=2", **request}
    headers = {"Location": ["https://x"], "content-length": "0"}
    return {
        "request": {"body": None, "headers": {}, **asked},
        "response": {"status": {"code": 200}, "headers": headers, "body": {"string": answer}},
    }


@pytest.mark.parametrize(
    "answer",
    [
        '{"a": 1}',
        b'{"a": 1}',
        gzip.compress(b'{"a": 1}', mtime=0),
        repr(b'{"a": 1}'),
        repr(repr(gzip.compress(b'{"a": 1}', mtime=0)).encode()),
        "b'b\\'{\"a\": 1}\\''",
    ],
)
def test_vcr(answer: Any, tmp_path: Path) -> None:
    """Bodies are read as text, bytes, compressed, and as the `repr` of any of these."""
    path = tmp_path / "x.yaml"
    path.write_text(yaml.dump({"interactions": [_vcr(answer, body=answer)], "version": 1}))

    (found,) = load(path).exchanges

    assert (found.answer, found.body) == ({"a": 1}, {"a": 1})
    assert (found.method, found.path, found.query) == ("PUT", "/subscriptions/1", {"b": "2"})
    assert found.headers == {"location": "https://x", "content-length": "0"}


def test_test_proxy(tmp_path: Path) -> None:
    """The JSON of the SDK's newer recorder is read, too."""
    entry = {
        "RequestUri": "https://management.azure.com/subscriptions/1",
        "RequestMethod": "GET",
        "RequestBody": None,
        "StatusCode": 200,
        "ResponseHeaders": {"Content-Type": "application/json"},
        "ResponseBody": {"id": "/subscriptions/1"},
    }
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"Entries": [entry]}))

    (found,) = load(path).exchanges

    assert (found.status, found.answer) == (200, {"id": "/subscriptions/1"})


@pytest.mark.parametrize(
    ("text", "read", "unreadable"),
    [
        ("", 0, 1),
        ("a: [", 0, 1),
        ("interactions: 3", 0, 1),
        ("interactions: [{}, 7, null]", 0, 3),
        (yaml.dump({"interactions": [_vcr("no JSON"), {"request": {}}]}), 1, 1),
    ],
)
def test_nothing_crashes(text: str, read: int, unreadable: int, tmp_path: Path) -> None:
    """What cannot be read is counted, the rest is replayed."""
    path = tmp_path / "x.yaml"
    path.write_text(text)

    cassette = load(path)
    with Echo(path) as cloud:
        found = replay(path, cloud)

    assert (len(cassette.exchanges), cassette.unreadable) == (read, unreadable)
    assert (found.replayed, found.unreadable) == (read, unreadable)


def _exchange(path: str, answer: Any = None, **more: Any) -> Exchange:
    given = {"method": "GET", "host": "management.azure.com", "path": path, "query": {}}
    told = {"body": None, "status": 200, "headers": {}, "answer": answer}
    return Exchange(**{**given, **told, **more})


GROUP = "/subscriptions/1/resourceGroups/mine/providers"


def test_scope() -> None:
    """Other services are left out, and so are the polls of their operations."""
    at = "https://management.azure.com/subscriptions/1/providers/Microsoft.Network/locations/x"
    polls = [
        f"/subscriptions/1/providers/Microsoft.Network/locations/x/operations/{n}" for n in "12"
    ]
    exchanges = [
        _exchange("/token", host="login.microsoftonline.com"),
        _exchange(f"{GROUP}/Microsoft.Storage/storageAccounts/s"),
        _exchange(
            f"{GROUP}/Microsoft.Network/loadBalancers/b",
            headers={"azure-asyncoperation": f"{at}/operations/1?api-version=1"},
        ),
        _exchange(
            f"{GROUP}/Microsoft.Network/virtualNetworks/n",
            headers={"azure-asyncoperation": f"{at}/operations/2?api-version=1"},
        ),
        *map(_exchange, polls),
    ]

    assert inside(exchanges) == [False, False, False, True, False, True]


def test_reduced() -> None:
    """No signature, no stranger's resource and no whole catalogue is kept."""
    signed = {"accessSAS": "https://blob/x?sig=0123456789012345678901234567890123456789"}
    mine, other = f"{GROUP}/Microsoft.Compute/disks/d", GROUP.replace("mine", "other")
    listed = {"value": [{"id": mine}, {"id": f"{other}/Microsoft.Compute/disks/e"}]}
    sizes = {"value": [{"name": str(number)} for number in range(100)]}
    exchanges = (
        _exchange(mine, signed),
        _exchange("/subscriptions/1/providers/Microsoft.Compute/disks", listed),
        _exchange("/subscriptions/1/providers/Microsoft.Compute/locations/x/vmSizes", sizes),
    )

    first, second, third = reduced(Cassette("x", exchanges))

    assert first["answer"] == {"accessSAS": "https://blob/x?sig=scrubbed"}
    assert [item["id"] for item in second["answer"]["value"]] == [mine]
    assert [item["name"] for item in third["answer"]["value"]] == ["0", "1", "2", "3"]


def test_presumed() -> None:
    """What a recording uses and never made is there before: as it saw it, or as the table says."""
    at = "/subscriptions/1/resourceGroups/mine/providers"
    machine, disk = f"{at}/Microsoft.Compute/virtualMachines/v", f"{at}/Microsoft.Compute/disks/d"
    seen = {"id": disk, "location": "x", "properties": {"diskSizeGB": 7, "diskState": "Unattached"}}
    exchanges = (
        _exchange(f"{machine}/start", method="POST", status=202),
        _exchange(disk, seen),
        _exchange(disk, method="DELETE", status=202),
        _exchange(disk, method="DELETE", status=204),
        _exchange(f"{at}/Microsoft.Compute/disks/e", method="PUT", body={"location": "x"}),
        _exchange(f"{at}/Microsoft.Compute/disks/nowhere", status=404),
    )
    asked: list[tuple[str, str, Any]] = []

    def call(method: str, target: str, body: Any) -> int:
        asked.append((method, target.partition("?")[0].removeprefix(at), body))
        return 404 if method == "GET" else 201

    presumed = Presumed(exchanges, call)
    presumed.groups(exchanges)
    for item in exchanges:
        presumed.before(item)

    assert [target for method, target, _ in asked if method == "PUT"] == [
        "/subscriptions/1/resourceGroups/mine",
        "/Microsoft.Network/virtualNetworks/presumed",
        "/Microsoft.Network/virtualNetworks/presumed/subnets/presumed",
        "/Microsoft.Network/networkInterfaces/presumed",
        "/Microsoft.Compute/virtualMachines/v",
        "/Microsoft.Compute/disks/d",
    ]
    assert asked[-1][2] == {"location": "x", "properties": {"diskSizeGB": 7}}
    assert [path.removeprefix(at) for path in presumed.made][-1] == "/Microsoft.Compute/disks/d"
