"""RunInstances as AWS receives it, for each param, and that nothing is left of the VM."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from aws_scene import tags_for

from vmops import Status
from vmops.errors import InvalidRequest
from vmops_aws.images import ALIASES, architecture
from vmops_aws.settings import AwsParams

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me"
DISK = {"DeviceName": "/dev/sda1", "Ebs": {"DeleteOnTermination": "true"}}
SPOT = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
KEPT = {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"}


def _launched(aws: Any, ops: Any, **params: Any) -> dict[str, Any]:
    """The one RunInstances request that a create led to."""
    aws.up(ops, **params)
    (request,) = aws.requests("RunInstances")
    assert isinstance(request, dict)
    return request


def test_the_least(aws: Any, ops: Any) -> None:
    """With nothing asked for, the request is this: IMDSv2, disks that go too, no key pair."""
    request = _launched(aws, ops)
    tags = request.pop("TagSpecification")
    assert re.fullmatch(r"[0-9a-f]{32}", request.pop("ClientToken"))
    assert request == {
        "Version": "2016-11-15",
        "ImageId": aws.image,
        "InstanceType": "t3.micro",
        "MinCount": "1",
        "MaxCount": "1",
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
        "BlockDeviceMapping": [DISK],
    }
    assert [each["ResourceType"] for each in tags] == ["instance", "volume", "network-interface"]
    assert set(aws.actions()) == {
        *("GetCallerIdentity", "DescribeInstances", "DescribeImages", "RunInstances")
    }


def test_the_tags(aws: Any, ops: Any) -> None:
    """Whose it is stands on the VM, its disks, its interfaces, beside the caller's own tags."""
    request = _launched(aws, ops, tags="team=a,cost=b=c", ttl=3600)
    (row,) = aws.rows().values()
    tags = tags_for(request)
    assert (
        tags
        == tags_for(request, "volume")
        == tags_for(request, "network-interface")
        == {
            "team": "a",
            "cost": "b=c",
            "vmops-owner": tags["vmops-owner"],
            "vmops-vm": "web-1",
            "vmops-token": request["ClientToken"],
            "vmops-expires": str(row["expires"]),
            "vmops-sequence": str(row["sequence"]),
            "vmops-journal": tags["vmops-journal"],
            "Name": "web-1",
        }
    )
    assert (row["token"], row["state"]) == (request["ClientToken"], "LIVE")
    assert row["expires"] > 3600


ASKED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "vmSize": ({"vmSize": "m5.large"}, {"InstanceType": "m5.large"}),
    "zone": ({"zone": "eu-west-1b"}, {"Placement": {"AvailabilityZone": "eu-west-1b"}}),
    "subnet": ({"subnet": "{subnet}"}, {"SubnetId": "{subnet}"}),
    "groups": ({"securityGroups": "{group}"}, {"SecurityGroupId": ["{group}"]}),
    "subnet and groups": (
        {"subnet": "{subnet}", "securityGroups": ["{group}"]},
        {"SubnetId": "{subnet}", "SecurityGroupId": ["{group}"]},
    ),
    "no address": (
        {"publicIp": False},
        {
            "NetworkInterface": [
                {
                    "DeviceIndex": "0",
                    "DeleteOnTermination": "true",
                    "AssociatePublicIpAddress": "false",
                }
            ]
        },
    ),
    "an address": (
        {"publicIp": True, "subnet": "{subnet}", "securityGroups": "{group}"},
        {
            "NetworkInterface": [
                {
                    "DeviceIndex": "0",
                    "DeleteOnTermination": "true",
                    "AssociatePublicIpAddress": "true",
                    "SubnetId": "{subnet}",
                    "SecurityGroupId": ["{group}"],
                }
            ]
        },
    ),
    "size": (
        {"diskSizeGb": 30},
        {"BlockDeviceMapping": [{**DISK, "Ebs": {**DISK["Ebs"], "VolumeSize": "30"}}]},
    ),
    "type": (
        {"diskType": "gp2"},
        {"BlockDeviceMapping": [{**DISK, "Ebs": {**DISK["Ebs"], "VolumeType": "gp2"}}]},
    ),
    "profile": (
        {"iamInstanceProfile": "guest"},
        {"IamInstanceProfile": {"Name": "guest"}},
    ),
    "profile's ARN": (
        {"iamInstanceProfile": "{profile}"},
        {"IamInstanceProfile": {"Arn": "{profile}"}},
    ),
    "spot": (
        {"spot": True},
        {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": SPOT}},
    ),
    "persistent": (
        {"spot": True, "spotMode": "persistent"},
        {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": KEPT}},
    ),
    "persistent and not spot": ({"spotMode": "persistent"}, {}),
    "user data": (
        {"userData": "#!/bin/sh\n\u00e9"},
        {"UserData": base64.b64encode("#!/bin/sh\n\u00e9".encode()).decode()},
    ),
}


@pytest.mark.parametrize(("params", "asked"), ASKED.values(), ids=ASKED)
def test_what_is_asked_for(
    aws: Any, ops: Any, params: dict[str, Any], asked: dict[str, Any]
) -> None:
    """Each param says its part of the request and nothing else; the VM leaves nothing behind."""
    places = _places(aws)
    usual = {"ImageId", "InstanceType", "MinCount", "MaxCount", "MetadataOptions"}
    usual |= {"Version", "ClientToken", "TagSpecification", "BlockDeviceMapping"}
    request = _launched(aws, ops, **_filled(params, places))
    wanted = _filled(asked, places)
    assert {key: request.get(key) for key in wanted} == wanted
    assert request.keys() - wanted.keys() <= usual
    assert set(aws.left()) == {"instances", "volumes", "interfaces"} | (
        {"requests"} if params.get("spot") else set()
    )
    aws.wait(ops, ops.vm_deprovision({"vmName": "web-1"}))
    assert (aws.left(), aws.states()) == ({}, {"web-1": "GONE"})


def _places(aws: Any) -> dict[str, str]:
    subnet = aws.api.describe_subnets()["Subnets"][1]
    group = aws.api.create_security_group(GroupName="own", Description="own", VpcId=subnet["VpcId"])
    iam = aws.cloud.client("iam")
    profile = iam.create_instance_profile(InstanceProfileName="guest")["InstanceProfile"]
    return {"subnet": subnet["SubnetId"], "group": group["GroupId"], "profile": profile["Arn"]}


def _filled(value: Any, places: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, places) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, places) for each in value]
    return value.format(**places) if isinstance(value, str) and value[0] == "{" else value


def test_spot_requests_are_tagged_where_they_last(aws: Any, ops: Any) -> None:
    """A persistent request carries the VM's tags, a one-time one needs none."""
    aws.up(ops, "once-1", spot=True)
    aws.up(ops, "kept-1", spot=True, spotMode="persistent")
    once, kept = aws.requests("RunInstances")
    assert tags_for(once)["vmops-spot"] == "one-time"
    assert tags_for(once, "spot-instances-request") == {}
    assert tags_for(kept, "spot-instances-request") == tags_for(kept)
    assert tags_for(kept)["vmops-spot"] == "persistent"


def test_all_disks_of_the_image_go_with_the_vm(aws: Any, ops: Any) -> None:
    """An AMI that would leave both its disks behind does not; the size is the root disk's."""
    image = aws.cloud.image("keeps-disks")
    request = _launched(aws, ops, image=image, diskSizeGb=40, diskType="gp3")
    own = {"DeleteOnTermination": "true"}
    assert request["BlockDeviceMapping"] == [
        {"DeviceName": "/dev/xvda", "Ebs": {**own, "VolumeSize": "40", "VolumeType": "gp3"}},
        {"DeviceName": "/dev/sdf", "Ebs": own},
    ]
    assert len(aws.left()["volumes"]) == 2
    aws.wait(ops, ops.vm_deprovision({"vmName": "web-1"}))
    assert aws.left() == {}


def test_user_data_and_key_are_merged(aws: Any, ops: Any) -> None:
    """The key arrives by cloud-init, so that no key pair is made or left."""
    given = {"sshPublicKey": KEY, "userData": "#!/bin/sh\ntrue"}
    request = _launched(aws, ops, **given)
    sent = base64.b64decode(request["UserData"]).decode()
    params = AwsParams(ssh_public_key=KEY, user_data=given["userData"])  # type: ignore[arg-type]
    assert sent == params.guest_data
    assert "KeyName" not in request
    assert "keys" not in aws.left()


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_aliases(aws: Any, ops: Any, alias: str) -> None:
    """An alias is the publisher's newest AMI for the size's CPU; it is looked up once an hour."""
    cpus = {"t3.micro": "amd64", "t4g.micro": "arm64"}
    for size in (*cpus, *cpus):
        number = len(aws.requests("RunInstances"))
        assert ops.vm_provision({"vmName": f"web-{number}", "image": alias, "vmSize": size})[1]
    images = [aws.cloud.image(f"{alias}-{cpu}") for cpu in cpus.values()]
    assert [asked["ImageId"] for asked in aws.requests("RunInstances")] == [*images, *images]
    asked = [call["parameters"] for call in aws.cloud.calls("GetParameter")]
    assert asked == [{"Name": ALIASES[alias][cpu]} for cpu in cpus.values()]
    assert aws.actions().count("DescribeImages") == 2


@pytest.mark.parametrize(
    ("size", "cpu"),
    [
        *[(size, "arm64") for size in ("a1.large", "t4g.nano", "m7gd.large", "c7gn.16xlarge")],
        *[(size, "arm64") for size in ("im4gn.large", "x2gd.medium", "g5g.xlarge", "r8gb.large")],
        *[(size, "amd64") for size in ("t3.micro", "g4dn.xlarge", "g5.xlarge", "gr6.4xlarge")],
        *[(size, "amd64") for size in ("m5.metal", "u-6tb1.metal", "mac1.metal", "p4d.24xlarge")],
    ],
)
def test_architectures(size: str, cpu: str) -> None:
    """A `g` behind the generation is Graviton; one before it is a GPU."""
    assert architecture(size) == cpu


def test_an_alias_that_nobody_knows(aws: Any, ops: Any) -> None:
    """What is no AMI id and no alias is refused with the aliases there are; nothing is written."""
    status, result = ops.vm_provision({"vmName": "web-1", "image": "windows-95"})
    assert (status, type(result.error)) == (Status.FAILED, InvalidRequest)
    assert "debian-12, debian-13, ubuntu-22.04" in result.error.hint
    assert (aws.requests("RunInstances"), aws.rows()) == ([], {})


def test_a_disk_size_needs_an_ebs_root(aws: Any, proxy: Any) -> None:
    """Of an AMI whose root is an instance store, no disk can be asked for; without, none is."""
    no_disks = re.compile(rb"<blockDeviceMapping>.*</blockDeviceMapping>", re.DOTALL)
    proxy.add("rewrite", body="DescribeImages", rewrite=lambda body: no_disks.sub(b"", body))
    ops = aws.open()
    status, result = ops.vm_provision(aws.params(diskSizeGb=20))
    assert (status, type(result.error)) == (Status.FAILED, InvalidRequest)
    assert "leave out diskSizeGb and diskType" in str(result.error)
    assert aws.requests("RunInstances") == []
    request = _launched(aws, ops)
    assert "BlockDeviceMapping" not in request


def test_what_a_result_tells(aws: Any, ops: Any) -> None:
    """The wait's result has addresses, zone, size, image and, of a spot VM, its request."""
    params = aws.params(spot=True, zone="eu-west-1a")
    result = aws.wait(ops, ops.vm_provision(params))
    (found,) = aws.instances()
    assert {k: v for k, v in result.items() if k not in {"startTime", "endTime"}} == {
        "durationSeconds": result["durationSeconds"],
        "vmName": "web-1",
        "vmId": found["InstanceId"],
        "privateIp": found["PrivateIpAddress"],
        "publicIp": found["PublicIpAddress"],
        "publicDns": found["PublicDnsName"],
        "zone": "eu-west-1a",
        "vmSize": "t3.micro",
        "image": aws.image,
        "spotRequest": found["SpotInstanceRequestId"],
        "spotMode": "one-time",
    }
