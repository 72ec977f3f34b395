"""The EC2 stand-in: launches, tokens, what they leave behind, and spot instances."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ec2_calls import LATER, found, launch, launched, refused, running, spot, state

UNKNOWN_SNAPSHOT = {"DeviceName": "/dev/sdb", "Ebs": {"SnapshotId": "snap-0123456789abcdef0"}}
TOKEN = {"ClientToken": "0123456789abcdef" * 2}


def test_a_token_launches_once(cloud: Any, ec2: Any) -> None:
    """The same request again answers with the same instances, in the states they are in now."""
    first = launched(cloud, ec2, 3, **TOKEN)
    cloud.advance(LATER)
    ids = [each["InstanceId"] for each in first["Instances"]]
    ec2.stop_instances(InstanceIds=ids[:1])
    again = launched(cloud, ec2, 3, **TOKEN)
    assert again["ReservationId"] == first["ReservationId"]
    assert [each["InstanceId"] for each in again["Instances"]] == ids
    told = [each["State"]["Name"] for each in again["Instances"]]
    assert told == ["stopping", "running", "running"]
    assert [each["InstanceId"] for each in found(ec2)] == ids


def test_a_token_is_for_one_request(cloud: Any, ec2: Any) -> None:
    """Another request under a token is a mismatch, and so is the end of what it launched."""
    (vm,) = running(cloud, ec2, **TOKEN)
    for change in ({"UserData": "x"}, {"InstanceType": "t3.small"}, {"tags": {"a": "b"}}):
        with refused("IdempotentParameterMismatch", "inconsistent with arguments used"):
            launched(cloud, ec2, **TOKEN, **change)
    ec2.terminate_instances(InstanceIds=[vm])
    assert launch(cloud, ec2, **TOKEN) == [vm]
    for wait in (LATER, 86400):
        cloud.advance(wait)
        with refused("IdempotentInstanceTerminated", "associated with a terminated instance"):
            launched(cloud, ec2, **TOKEN)


def test_tokens_belong_to_a_region_or_a_zone(cloud: Any, ec2: Any) -> None:
    """A zone that is named, itself or by a subnet, has tokens of its own; so has each region."""
    subnets = {each["AvailabilityZone"]: each for each in ec2.describe_subnets()["Subnets"]}

    def zone(letter: str) -> list[str]:
        place = {"Placement": {"AvailabilityZone": f"eu-west-1{letter}"}}
        return launch(cloud, ec2, **TOKEN, **place)

    regional, a, b = launch(cloud, ec2, **TOKEN), zone("a"), zone("b")
    assert len({*regional, *a, *b}) == 3
    assert zone("a") == a
    nic = {"DeviceIndex": 0, "SubnetId": subnets["eu-west-1a"]["SubnetId"]}
    with refused("IdempotentParameterMismatch"):
        launch(cloud, ec2, **TOKEN, NetworkInterfaces=[nic])
    other = cloud.client("ec2", "us-east-1")
    assert launch(cloud, other, ImageId=cloud.image(region="us-east-1"), **TOKEN) != regional


def test_threads_with_one_token_launch_once(cloud: Any, ec2: Any) -> None:
    """Calls at the same time are safe: one token, one launch; many tokens, many launches."""
    with ThreadPoolExecutor(8) as pool:
        same = list(pool.map(lambda _: launch(cloud, ec2, 2, **TOKEN), range(16)))
        each = list(pool.map(lambda n: launch(cloud, ec2, ClientToken=f"t{n}"), range(16)))
    assert len({tuple(ids) for ids in same}) == 1
    assert len({ids[0] for ids in each}) == 16
    assert len(found(ec2)) == 18


def test_members_of_a_batch(cloud: Any, ec2: Any) -> None:
    """MaxCount are launched, numbered in order, under one reservation and token."""
    answer = launched(cloud, ec2, 3, MinCount=1, **TOKEN)
    assert [each["AmiLaunchIndex"] for each in answer["Instances"]] == [0, 1, 2]
    assert {each["ClientToken"] for each in found(ec2)} == {TOKEN["ClientToken"]}
    assert len(found(ec2, {"reservation-id": [answer["ReservationId"]]})) == 3
    with refused("InvalidParameterValue", "minCount"):
        launch(cloud, ec2, 0)
    with refused("InvalidParameterValue", "greater than or equal to minCount"):
        launch(cloud, ec2, MinCount=2)


def test_nothing_is_left_behind(cloud: Any, ec2: Any) -> None:
    """Disks, interfaces and addresses go with the instance, except a disk that shall stay."""
    asked = {"ImageId": cloud.image("keeps-disks"), "tags": {"vmops-owner": "me"}}
    stays, goes = launch(cloud, ec2, **asked)[0], launch(cloud, ec2, 2, tags=asked["tags"])
    for kind in ("volumes", "network_interfaces"):
        (answer,) = [v for v in getattr(ec2, f"describe_{kind}")().values() if isinstance(v, list)]
        assert len(answer) == {"volumes": 4, "network_interfaces": 3}[kind]
        for each in answer:
            tags = each.get("Tags") or each.get("TagSet")
            assert tags == [{"Key": "vmops-owner", "Value": "me"}]
    ec2.terminate_instances(InstanceIds=[stays, *goes])
    assert len(ec2.describe_volumes()["Volumes"]) == 4
    cloud.advance(LATER)
    left = ec2.describe_volumes()["Volumes"]
    assert [each["State"] for each in left] == ["available"] * 2
    assert ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_a_request_changes_the_images_disks(cloud: Any, ec2: Any) -> None:
    """A mapping of a device that the image has changes that disk; another one adds a disk."""
    maps = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 30, "DeleteOnTermination": False}}]
    maps.append({"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 5}})
    launch(cloud, ec2, BlockDeviceMappings=maps)
    disks = found(ec2)[0]["BlockDeviceMappings"]
    told = {each["DeviceName"]: each["Ebs"]["DeleteOnTermination"] for each in disks}
    assert told == {"/dev/sda1": False, "/dev/sdb": True}
    assert sorted(v["Size"] for v in ec2.describe_volumes()["Volumes"]) == [5, 30]


def test_what_is_asked_is_told(cloud: Any, ec2: Any) -> None:
    """IMDS options, profile, groups, tags and addresses are those of the request."""
    iam = cloud.client("iam")
    iam.create_instance_profile(InstanceProfileName="ci")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
    nic = {"DeviceIndex": 0, "Groups": [group], "AssociatePublicIpAddress": False}
    (vm,) = launch(
        cloud,
        ec2,
        2,
        MetadataOptions={"HttpTokens": "required"},
        IamInstanceProfile={"Name": "ci"},
        NetworkInterfaces=[nic],
    )[1:]
    (told,) = found(ec2, {"instance-id": [vm]})
    assert told["MetadataOptions"]["HttpTokens"] == "required"
    assert told["IamInstanceProfile"]["Arn"].endswith("instance-profile/ci")
    assert [each["GroupId"] for each in told["SecurityGroups"]] == [group]
    assert "PublicIpAddress" not in told
    volume = told["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    interface = told["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ec2.create_tags(Resources=[vm, volume, interface], Tags=[{"Key": "k", "Value": "v"}])
    assert found(ec2, {"tag:k": ["v"]})[0]["Tags"] == [{"Key": "k", "Value": "v"}]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"InstanceType": "t3.gigantic"}, "InvalidParameterValue"),
        ({"UserData": "x" * 16385}, "InvalidParameterValue"),
        ({"ClientToken": "x" * 65}, "InvalidParameterValue"),
        ({"tags": {"aws:x": "y"}}, "InvalidParameterValue"),
        ({"tags": {"x": "y" * 257}}, "InvalidParameterValue"),
        ({"tags": {str(n): "" for n in range(51)}}, "TagLimitExceeded"),
        ({"IamInstanceProfile": {"Name": "nobody"}}, "InvalidParameterValue"),
        ({"Placement": {"AvailabilityZone": "eu-west-1z"}}, "InvalidParameterValue"),
        ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound"),
        ({"SubnetId": "subnet-0123456789abcdef0"}, "InvalidSubnetID.NotFound"),
        ({"KeyName": "nobody"}, "InvalidKeyPair.NotFound"),
        ({"BlockDeviceMappings": [UNKNOWN_SNAPSHOT]}, "InvalidSnapshot.NotFound"),
        ({"SubnetId": "small"}, "InsufficientFreeAddressesInSubnet"),
    ],
)
def test_launches_that_are_refused(cloud: Any, ec2: Any, change: dict[str, Any], code: str) -> None:
    """A request that EC2 refuses is refused with its code, and leaves nothing."""
    if change.get("SubnetId") == "small":
        vpc = ec2.create_vpc(CidrBlock="10.9.0.0/24")["Vpc"]["VpcId"]
        small = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.0.0/28")["Subnet"]
        change = {"SubnetId": small["SubnetId"]}
    with refused(code):
        launch(cloud, ec2, 12, **change)
    assert found(ec2) == ec2.describe_volumes()["Volumes"] == []


def test_without_a_default_vpc(cloud: Any, ec2: Any) -> None:
    """A launch that names no subnet is refused."""
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    cloud.settings(default_vpc=False)
    with refused("VPCIdNotSpecified", "No default VPC for this user"):
        launch(cloud, ec2)
    assert launch(cloud, ec2, SubnetId=subnet)


def _requests(ec2: Any, **filters: list[str]) -> list[Any]:
    asked = [
        {"Name": k.replace("__", ":").replace("_", "-"), "Values": v} for k, v in filters.items()
    ]
    told: list[Any] = ec2.describe_spot_instance_requests(Filters=asked)["SpotInstanceRequests"]
    return told


def test_a_spot_launch(cloud: Any, ec2: Any) -> None:
    """Each spot instance has an active request with the tags that it was given."""
    ids = running(cloud, ec2, 2, tags={"vmops-token": "t"}, **spot())
    told = found(ec2, {"instance-lifecycle": ["spot"]})
    requests = _requests(ec2, tag__vmops_token=["t"], state=["active"])
    assert [each["InstanceId"] for each in requests] == ids
    assert [each["SpotInstanceRequestId"] for each in requests] == [
        each["SpotInstanceRequestId"] for each in told
    ]
    assert len(_requests(ec2, tag_key=["vmops-token"], type=["one-time"])) == 2
    assert _requests(ec2, state=["closed"]) == []
    with refused("UnsupportedOperation", f"You can't stop the Spot Instance '{ids[0]}' because"):
        ec2.stop_instances(InstanceIds=ids)
    ec2.terminate_instances(InstanceIds=ids)
    assert {each["State"] for each in _requests(ec2)} == {"closed"}
    cloud.advance(60)
    assert len(found(ec2)) == 2


def test_a_persistent_request_launches_again(cloud: Any, ec2: Any) -> None:
    """Who terminates the instance and leaves the request has another one soon after."""
    (vm,) = running(cloud, ec2, tags={"vmops-owner": "me"}, **spot("persistent"))
    ec2.terminate_instances(InstanceIds=[vm])
    assert _requests(ec2)[0]["State"] == "open"
    cloud.advance(LATER)
    (again,) = [each for each in found(ec2) if each["InstanceId"] != vm]
    (request,) = _requests(ec2, tag_key=["vmops-owner"], state=["active"])
    assert request["InstanceId"] == again["InstanceId"]
    assert again["SpotInstanceRequestId"] == request["SpotInstanceRequestId"]
    assert "Tags" not in again


@pytest.mark.parametrize("order", ["cancel, terminate", "terminate, cancel"])
def test_a_cancelled_request_launches_nothing(cloud: Any, ec2: Any, order: str) -> None:
    """A request that is cancelled before another launch leaves none; it can be seen on."""
    (vm,) = running(cloud, ec2, **spot("persistent"))
    request = _requests(ec2)[0]["SpotInstanceRequestId"]
    for step in order.split(", "):
        if step == "cancel":
            ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[request])
        else:
            ec2.terminate_instances(InstanceIds=[vm])
    cloud.advance(60)
    assert [each["State"]["Name"] for each in found(ec2)] == ["terminated"]
    assert _requests(ec2, spot_instance_request_id=[request])[0]["State"] == "cancelled"
    with refused("InvalidSpotInstanceRequestID.NotFound"):
        ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=["sir-00000000"])


def test_a_persistent_spot_instance_stops_and_starts(cloud: Any, ec2: Any) -> None:
    """Its request is disabled while it is stopped; without one it neither starts nor stops."""
    (vm,) = running(cloud, ec2, **spot("persistent"))
    ec2.stop_instances(InstanceIds=[vm])
    cloud.advance(LATER)
    assert _requests(ec2)[0]["State"] == "disabled"
    ec2.start_instances(InstanceIds=[vm])
    assert _requests(ec2)[0]["State"] == "active"
    cloud.advance(LATER)
    ec2.stop_instances(InstanceIds=[vm])
    cloud.advance(LATER)
    request = _requests(ec2)[0]["SpotInstanceRequestId"]
    ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[request])
    with refused("IncorrectSpotRequestState", "You can't start the Spot Instance"):
        ec2.start_instances(InstanceIds=[vm])
    (other,) = running(cloud, ec2, **spot("persistent"))
    request = _requests(ec2, instance_id=[other])[0]["SpotInstanceRequestId"]
    ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[request])
    with refused("IncorrectSpotRequestState", "You can't stop the Spot Instance"):
        ec2.stop_instances(InstanceIds=[other])


def test_interruptions(cloud: Any, ec2: Any) -> None:
    """The cloud terminates a one-time instance, and stops a persistent one until it has room."""
    once, keeps = running(cloud, ec2, **spot()) + running(cloud, ec2, **spot("persistent"))
    cloud.preempt(once)
    cloud.preempt(keeps, resume_after=60)
    cloud.advance(LATER)
    reasons = {each["InstanceId"]: each["StateReason"]["Code"] for each in found(ec2)}
    assert reasons == {
        once: "Server.SpotInstanceTermination",
        keeps: "Server.SpotInstanceShutdown",
    }
    assert (state(ec2, once), state(ec2, keeps)) == ("terminated", "stopped")
    with refused("IncorrectSpotRequestState", "Only Amazon EC2 can restart an interrupted"):
        ec2.start_instances(InstanceIds=[keeps])
    cloud.advance(61)
    assert state(ec2, keeps) in {"pending", "running"}


def test_spot_options_must_agree(cloud: Any, ec2: Any) -> None:
    """A one-time instance is terminated when it is interrupted, and a persistent one is not."""
    for kind, behaviour in (("one-time", "stop"), ("persistent", "terminate")):
        options = spot(kind)
        chosen = options["InstanceMarketOptions"]["SpotOptions"]
        chosen["InstanceInterruptionBehavior"] = behaviour
        with refused("InvalidParameterCombination", f"'{kind}' is not supported"):
            launch(cloud, ec2, **options)
