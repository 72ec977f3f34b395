"""The benchmarks' thin EC2: its time, states, filters, pages, refusals and limits."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from thin_cloud import IMAGE, OWN, THIN, Clients, server


def until(true: Callable[[], bool]) -> None:
    """Waits, but not for ever."""
    deadline = time.monotonic() + 20
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert true()


@pytest.fixture(scope="module")
def session() -> Any:
    """One for all, as it takes its time."""
    return boto3.Session("testing", "testing", region_name="eu-west-1")


@pytest.fixture
def start(session: Any) -> Iterator[Callable[..., Clients]]:
    """Starts thin servers, with options."""
    with contextlib.ExitStack() as stack:
        yield lambda *options: stack.enter_context(server(session, str(THIN), *options))


@pytest.fixture(scope="module")
def shared(session: Any) -> Iterator[Clients]:
    """A thin server whose operations take no time."""
    with server(session, str(THIN)) as clients:
        yield clients


@pytest.fixture
def thin(shared: Clients) -> Clients:
    """The same, as if new."""
    shared.raw("/reset", b"")
    return shared


def test_time(start: Callable[..., Clients]) -> None:
    """An operation ends after its delay, when /stats says; a newer one overtakes it."""
    thin = start("--delay", "1", "--jitter", "0.2")
    began = time.time()
    made = thin.run(20)["Instances"]
    assert {item["State"]["Name"] for item in made} == {"pending"}
    until(lambda: thin.states() == {"running"})
    ready = thin.stats()["ready"]
    assert ready.keys() == {item["InstanceId"] for item in made}
    assert began + 1 <= min(ready.values()) < max(ready.values()) < time.time()
    assert thin.stats()["last_running"] == max(ready.values())
    ids = {"InstanceIds": [item["InstanceId"] for item in made]}
    assert thin.ec2.stop_instances(**ids)["StoppingInstances"][0]["CurrentState"]["Code"] == 64
    ended = thin.ec2.terminate_instances(**ids)["TerminatingInstances"]
    assert {item["CurrentState"]["Name"] for item in ended} == {"shutting-down"}
    until(lambda: "shutting-down" not in thin.states())
    assert thin.states() == {"terminated"}


def test_seeded(start: Callable[..., Clients]) -> None:
    """The same seed gives the same ids and the same durations, again after a reset."""

    def once(thin: Clients) -> dict[str, Any]:
        thin.run(3)
        until(lambda: len(thin.stats()["ready"]) == 3)
        ready = thin.stats()["ready"]
        first = min(ready.values())
        return {id_: pytest.approx(at - first, abs=0.01) for id_, at in ready.items()}

    def plain(thin: Clients) -> dict[str, float]:
        return {id_: about.expected for id_, about in once(thin).items()}

    options = ("--jitter", "0.1", "--seed")
    one, same, other = (start(*options, seed) for seed in ("7", "7", "8"))
    expected = once(one)
    assert expected == plain(same)
    assert expected.keys() != plain(other).keys()
    one.raw("/reset", b"")
    assert one.stats()["calls"] == {}
    assert expected == plain(one)


def test_client_token(thin: Clients) -> None:
    """A token again is the same instances; with other parameters it is a mismatch."""
    first = thin.run(3, "a" * 32)
    again = thin.run(3, "a" * 32)
    assert [i["InstanceId"] for i in first["Instances"]] == [
        i["InstanceId"] for i in again["Instances"]
    ]
    assert {item["State"]["Name"] for item in again["Instances"]} == {"running"}
    assert len(thin.found("client-token", "a" * 32)) == 3
    with pytest.raises(ClientError, match="IdempotentParameterMismatch"):
        thin.run(4, "a" * 32)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["web-1"], ["web-1"]),
        (["web-{*", "db"], ["web-{0..9}", "db"]),
        (["web-*"], ["web-1", "web-{0..9}"]),
        (["d?", "web-1?"], ["web-1", "db"]),
        ([r"a\*"], ["a*"]),
        (["nobody", "WEB-1"], []),
    ],
)
def test_filters(thin: Clients, values: list[str], names: list[str]) -> None:
    """A filter takes exact values and EC2's wildcards, and any of its values is enough."""
    for name in ("web-1", "web-{0..9}", "db", "a*", "ab"):
        thin.run(**{"vmops-vm": name})
    found = thin.found("tag:vmops-vm", *values)
    assert [
        tag["Value"] for item in found for tag in item["Tags"] if tag["Key"] == "vmops-vm"
    ] == names


def test_filters_together(thin: Clients) -> None:
    """All filters of a call must hold, and unknown ids are simply not found."""
    ids = [item["InstanceId"] for item in thin.run(4, "b" * 32)["Instances"]]
    thin.ec2.stop_instances(InstanceIds=ids[:2])
    states = {"Name": "instance-state-name", "Values": ["stopping", "stopped"]}
    for name, values in (("instance-id", [*ids, "i-00000000"]), ("client-token", ["b" * 32])):
        filters = [{"Name": name, "Values": values}, states]
        (group,) = thin.ec2.describe_instances(Filters=filters, MaxResults=1000)["Reservations"]
        assert [item["InstanceId"] for item in group["Instances"]] == ids[:2]


def test_pages(thin: Clients) -> None:
    """Pages hold each instance once, in order, though instances change between them."""
    made = [item["InstanceId"] for n in (7, 1, 4) for item in thin.run(n)["Instances"]]
    seen, more, sizes = [], {}, []
    while True:
        page = thin.ec2.describe_instances(Filters=OWN, MaxResults=5, **more)
        ids = [item["InstanceId"] for group in page["Reservations"] for item in group["Instances"]]
        seen, sizes = seen + ids, [*sizes, len(ids)]
        thin.ec2.terminate_instances(InstanceIds=ids)
        if "NextToken" not in page:
            break
        more = {"NextToken": page["NextToken"]}
    assert (seen, sizes) == (made, [5, 5, 2])


@pytest.mark.parametrize(
    ("code", "call", "request_"),
    [
        ("InvalidInstanceID.NotFound", "terminate_instances", {"InstanceIds": ["i-00000000"]}),
        ("InvalidInstanceID.Malformed", "stop_instances", {"InstanceIds": ["web-1"]}),
        ("IncorrectInstanceState", "start_instances", {"InstanceIds": []}),
        ("IncorrectInstanceState", "reboot_instances", {"InstanceIds": []}),
        (
            "InvalidParameterCombination",
            "describe_instances",
            {"InstanceIds": ["i-1"], "MaxResults": 5},
        ),
        ("InvalidParameterValue", "describe_instances", {"MaxResults": 1001}),
        (
            "InvalidParameterValue",
            "describe_instances",
            {"Filters": [{"Name": "color", "Values": ["red"]}]},
        ),
        (
            "FilterLimitExceeded",
            "describe_instances",
            {
                "Filters": [
                    {"Name": "instance-id", "Values": [f"i-{n:08x}" for n in range(200)]},
                    {"Name": "instance-state-name", "Values": ["running"]},
                ]
            },
        ),
        (
            "FilterLimitExceeded",
            "describe_instances",
            {"Filters": [{"Name": "tag:vmops-vm", "Values": ["a" * 256]}]},
        ),
        ("InvalidID", "create_tags", {"Resources": ["vol-00000000"], "Tags": []}),
        ("InvalidAMIID.Malformed", "run_instances", {"ImageId": "x", "MinCount": 1, "MaxCount": 1}),
        ("MissingParameter", "run_instances", {"MinCount": 1}),
        ("InvalidAction", "describe_vpcs", {}),
    ],
)
def test_refusals(thin: Clients, code: str, call: str, request_: dict[str, Any]) -> None:
    """What EC2 refuses is refused with EC2's code, and nothing changed."""
    if request_.get("InstanceIds") == []:  # of one that ended, and another
        ids = [item["InstanceId"] for item in thin.run(2)["Instances"]]
        thin.ec2.terminate_instances(InstanceIds=ids[1:])
        request_ = {"InstanceIds": ids}
    before = [item["State"] for item in thin.found("tag-key", "*")]
    with pytest.raises(ClientError) as caught:
        getattr(thin.ec2, call)(**request_)
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert [item["State"] for item in thin.found("tag-key", "*")] == before


def test_limits(start: Callable[..., Clients]) -> None:
    """With --limits requests and instances are refused beyond the published buckets."""
    thin = start("--limits")
    (id_,) = (item["InstanceId"] for item in thin.run()["Instances"])
    many = f"Action=RunInstances&ImageId={IMAGE}&MinCount=999&MaxCount=999"
    thin.raw("/", many.encode())
    with pytest.raises(ClientError) as caught:
        thin.run(500)  # the bucket of instances: 1,000, and 2 a second
    assert caught.value.response["Error"]["Code"] == "RequestLimitExceeded"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    refused, began = 0, time.monotonic()
    for _ in range(20):  # the bucket of requests: 5, and 2 a second
        try:
            thin.ec2.start_instances(InstanceIds=[id_])
        except ClientError:
            refused += 1
    assert 15 >= refused >= 14 - 2 * (time.monotonic() - began)
    assert thin.stats()["refused"] == {"RunInstances": 1, "StartInstances": refused}
    assert thin.stats()["calls"] == {"RunInstances": 3, "StartInstances": 20}


def test_round_trip(start: Callable[..., Clients]) -> None:
    """--rtt is how long each call takes, several at once included."""
    thin = start("--rtt", "0.1")
    thin.sts.get_caller_identity()
    began = time.monotonic()
    thin.sts.get_caller_identity()
    assert 0.1 <= time.monotonic() - began < 1


def test_thousand(thin: Clients) -> None:
    """A listing of 1,000 real-sized instances costs the server little."""
    thin.run(1000)
    body = b"Action=DescribeInstances&MaxResults=1000"
    sizes = [len(thin.raw("/", body)) for _ in range(2)]
    before = thin.stats()["cpu"]
    for _ in range(10):
        thin.raw("/", body)
    assert (thin.stats()["cpu"] - before) / 10 < 0.1  # about 0.01
    assert 2.9e6 < sizes[0] == sizes[1] < 4e6


def test_ends_with_its_parent() -> None:
    """When the process that started it dies, however it dies, the server ends by itself."""
    program = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, {str(THIN)!r}])\n"
        "time.sleep(1000)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        socket.create_connection(("127.0.0.1", port)).close()
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        until(lambda: not _listens(port))


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
