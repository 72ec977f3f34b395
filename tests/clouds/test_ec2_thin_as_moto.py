"""The benchmarks' thin EC2 answers as moto does, in all that vmops reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from thin_cloud import IMAGE, OWN, THIN, Clients, server

PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"

# What vmops reads of each answer; [] stands for each item of a list.
READ = {
    "Account",
    "NextToken",
    "Parameter.Value",
    "Images[].ImageId",
    "Images[].RootDeviceName",
    "Images[].BlockDeviceMappings[].DeviceName",
    "Images[].BlockDeviceMappings[].Ebs.DeleteOnTermination",
    "Images[].BlockDeviceMappings[].Ebs.VolumeSize",
    "ReservationId",
    "OwnerId",
    *(
        f"Instances[].{path}"
        for path in (
            "InstanceId",
            "State.Code",
            "State.Name",
            "AmiLaunchIndex",
            "ClientToken",
            "LaunchTime",
            "PrivateIpAddress",
            "PublicIpAddress",
            "Tags[].Key",
            "Tags[].Value",
            "Placement.AvailabilityZone",
            "InstanceType",
            "ImageId",
            "StateReason.Code",
            "StateReason.Message",
            "InstanceLifecycle",
            "BlockDeviceMappings[].Ebs.VolumeId",
            "BlockDeviceMappings[].Ebs.DeleteOnTermination",
            "NetworkInterfaces[].NetworkInterfaceId",
        )
    ),
    *(
        f"{verb}Instances[].{path}"
        for verb in ("Starting", "Stopping", "Terminating")
        for path in ("InstanceId", "CurrentState.Code", "CurrentState.Name")
    ),
    *(f"{verb}Instances[].PreviousState.Name" for verb in ("Starting", "Stopping", "Terminating")),
}

# Where the two differ in what vmops reads, and why ours is as it is.
KNOWN = {
    # a real instance has no volume and no public address yet when RunInstances answers
    ("run", "Instances[].BlockDeviceMappings[].Ebs.VolumeId"),
    ("run", "Instances[].BlockDeviceMappings[].Ebs.DeleteOnTermination"),
    ("run", "Instances[].PublicIpAddress"),
    # a real one that was never stopped has no reason; moto's is two empty texts
    ("running", "Instances[].StateReason.Code"),
    ("running", "Instances[].StateReason.Message"),
    ("page", "Instances[].StateReason.Code"),
    ("page", "Instances[].StateReason.Message"),
    # with a real one end its address and its interface
    ("terminated", "Instances[].PrivateIpAddress"),
    ("terminated", "Instances[].NetworkInterfaces[].NetworkInterfaceId"),
}


@pytest.fixture(scope="module")
def session() -> Any:
    """One for all, as it takes its time."""
    return boto3.Session("testing", "testing", region_name="eu-west-1")


@pytest.fixture(scope="module")
def thin(session: Any) -> Iterator[Clients]:
    """A thin server whose operations take no time."""
    with server(session, str(THIN)) as clients:
        yield clients


@pytest.fixture(scope="module")
def moto(session: Any) -> Iterator[Clients]:
    """A moto server."""
    program = (
        "import time\nfrom moto.server import ThreadedMotoServer\n"
        "server = ThreadedMotoServer('127.0.0.1', 0, verbose=False)\nserver.start()\n"
        "print(server.get_host_and_port()[1], flush=True)\ntime.sleep(1000)"
    )
    with server(session, "-c", program) as clients:
        yield clients


def life(clients: Clients) -> Iterator[tuple[str, Any]]:
    """Each call that vmops makes, in an order in which all have something to answer."""
    ec2 = clients.ec2
    yield "identity", clients.sts.get_caller_identity()
    value = clients.ssm.get_parameter(Name=PARAMETER)
    yield "parameter", value
    yield "images", ec2.describe_images(ImageIds=[value["Parameter"]["Value"]])
    run = clients.run(2, "0" * 32)
    yield "run", run
    ids = [item["InstanceId"] for item in run["Instances"]]

    def described(**more: Any) -> Any:
        (answer,) = ec2.describe_instances(
            Filters=[{"Name": "instance-id", "Values": ids}], MaxResults=1000, **more
        )["Reservations"]
        return answer

    yield "running", described()
    yield "stop", ec2.stop_instances(InstanceIds=ids)
    yield "stopped", described()
    yield "start", ec2.start_instances(InstanceIds=ids)
    yield "reboot", ec2.reboot_instances(InstanceIds=ids)
    yield "tag", ec2.create_tags(Resources=ids, Tags=[{"Key": "more", "Value": "<&>"}])
    yield "tagged", described()["Instances"][0]["Tags"]
    yield "terminate", ec2.terminate_instances(InstanceIds=ids)
    yield "terminated", described()
    yield "spot requests", ec2.describe_spot_instance_requests(Filters=OWN)
    for _ in range(6):
        clients.run()
    page = ec2.describe_instances(Filters=OWN, MaxResults=5)
    yield "page", {**page["Reservations"][-1], "NextToken": page["NextToken"]}


def paths(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Each key path in an answer, with its value's type."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths(inner, f"{at}.{key}" if at else key)
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, f"{at}[]")
    else:
        yield at, type(value).__name__


def test_as_moto(thin: Clients, moto: Clients) -> None:
    """The answers have moto's keys and types in all that vmops reads, but for known differences."""
    ours, theirs = dict(life(thin)), dict(life(moto))
    assert ours.keys() == theirs.keys()
    differences, compared = set(), set()
    for call, our in ours.items():
        one, other = ({p for p in paths(a) if p[0] in READ} for a in (our, theirs[call]))
        differences |= {(call, path) for path, _ in one ^ other}
        compared |= {path for path, _ in one & other}
    assert differences == KNOWN
    assert compared == READ - {"Instances[].InstanceLifecycle"}
    assert sorted(map(str, ours["tagged"])) == sorted(map(str, theirs["tagged"]))


def test_spot_as_moto(thin: Clients, moto: Clients) -> None:
    """A spot instance is marked as one, as moto marks it."""
    for clients in (thin, moto):
        made = clients.ec2.run_instances(
            ImageId=IMAGE,
            MinCount=1,
            MaxCount=1,
            InstanceType="t3.micro",
            InstanceMarketOptions={"MarketType": "spot"},
        )
        (item,) = clients.found("instance-id", made["Instances"][0]["InstanceId"])
        assert item["InstanceLifecycle"] == "spot"
