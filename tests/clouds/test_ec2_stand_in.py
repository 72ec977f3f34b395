"""The EC2 stand-in: states, guards, filters, pages, images and accounts."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from ec2_calls import LATER, found, launch, launched, refused, running, state, verbs

UNKNOWN = "i-0123456789abcdef0"
UBUNTU = "canonical/ubuntu/server"


def test_states_follow_the_clock(cloud: Any, ec2: Any) -> None:
    """Each verb's first state is told at once, and its last one after the verb's delay."""
    cloud.settings(run=1, start=2, stop=3, terminate=4)
    (vm,) = launch(cloud, ec2)
    assert state(ec2, vm) == "pending"
    cloud.advance(1)
    assert state(ec2, vm) == "running"
    for verb, begins, seconds, ends in [
        ("stop", "stopping", 3, "stopped"),
        ("start", "pending", 2, "running"),
        ("terminate", "shutting-down", 4, "terminated"),
    ]:
        (changes,) = [v for k, v in verbs(ec2)[verb]([vm]).items() if k.endswith("Instances")]
        assert changes[0]["CurrentState"]["Name"] == begins
        cloud.advance(seconds - 0.9)
        assert state(ec2, vm) == begins
        cloud.advance(0.9)
        assert state(ec2, vm) == ends


def test_delays_pass_in_real_time(cloud: Any, ec2: Any) -> None:
    """Nobody has to move the clock: an instance comes up a tenth of a second after its launch."""
    (vm,) = launch(cloud, ec2)
    deadline = time.monotonic() + 10
    while state(ec2, vm) != "running" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert state(ec2, vm) == "running"


def test_a_verb_ends_the_one_before(cloud: Any, ec2: Any) -> None:
    """An instance that is terminated on its way up or down arrives there no more."""
    cloud.settings(run=10, stop=10, terminate=1)
    (up,), (down,) = launch(cloud, ec2), launch(cloud, ec2)
    ec2.terminate_instances(InstanceIds=[up])
    cloud.advance(10)
    ec2.stop_instances(InstanceIds=[down])
    ec2.terminate_instances(InstanceIds=[down])
    cloud.advance(20)
    assert [state(ec2, vm) for vm in (up, down)] == ["terminated"] * 2


def test_the_terminated_vanish(cloud: Any, ec2: Any) -> None:
    """A terminated instance is seen for an hour, and then unknown."""
    (vm,) = running(cloud, ec2, tags={"a": "b"})
    ec2.terminate_instances(InstanceIds=[vm])
    cloud.advance(3500)
    (told,) = found(ec2, {"instance-id": [vm]})
    assert told["State"]["Name"] == "terminated"
    assert not told["BlockDeviceMappings"] + told["NetworkInterfaces"]
    cloud.advance(200)
    assert found(ec2) == []
    with refused("InvalidInstanceID.NotFound"):
        ec2.terminate_instances(InstanceIds=[vm])


def test_reasons_are_told(cloud: Any, ec2: Any) -> None:
    """Who stopped an instance is told while it is down, and forgotten when it is up."""
    (vm,) = running(cloud, ec2)
    assert "StateReason" not in found(ec2)[0]
    ec2.stop_instances(InstanceIds=[vm])
    (told,) = found(ec2)
    assert told["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert told["StateTransitionReason"].startswith("User initiated (")
    cloud.advance(LATER)
    ec2.start_instances(InstanceIds=[vm])
    assert found(ec2)[0]["StateReason"]["Code"] == "pending"
    cloud.advance(LATER)
    assert found(ec2)[0]["StateTransitionReason"] == ""


def test_a_start_renews_the_launch_time(cloud: Any, ec2: Any) -> None:
    """LaunchTime is that of the last start after a stop, in whole seconds; a reboot leaves it."""
    (vm,) = running(cloud, ec2)
    first = found(ec2)[0]["LaunchTime"]
    cloud.advance(60)
    ec2.reboot_instances(InstanceIds=[vm])
    ec2.start_instances(InstanceIds=[vm])
    assert found(ec2)[0]["LaunchTime"] == first
    ec2.stop_instances(InstanceIds=[vm])
    cloud.advance(60)
    ec2.start_instances(InstanceIds=[vm])
    again = found(ec2)[0]["LaunchTime"]
    assert (again - first).total_seconds() >= 120
    assert again.microsecond == 0


def _in(state: str, cloud: Any, ec2: Any) -> str:
    (vm,) = launch(cloud, ec2)
    if state != "pending":
        cloud.advance(50)
    if state in {"stopping", "stopped"}:
        ec2.stop_instances(InstanceIds=[vm])
    if state in {"shutting-down", "terminated"}:
        ec2.terminate_instances(InstanceIds=[vm])
    if state in {"stopped", "terminated"}:
        cloud.advance(50)
    return vm


@pytest.mark.parametrize(
    ("at", "verb", "code"),
    [
        ("stopping", "start", "IncorrectInstanceState"),
        ("shutting-down", "start", "IncorrectInstanceState"),
        ("terminated", "start", "IncorrectInstanceState"),
        ("pending", "stop", "IncorrectInstanceState"),
        ("shutting-down", "stop", "IncorrectInstanceState"),
        ("terminated", "stop", "IncorrectInstanceState"),
        ("stopped", "reboot", "IncorrectState"),
        ("stopping", "reboot", "IncorrectState"),
        ("pending", "start", None),
        ("running", "start", None),
        ("stopping", "stop", None),
        ("stopped", "stop", None),
        ("running", "reboot", None),
        ("terminated", "reboot", None),
        ("shutting-down", "terminate", None),
        ("terminated", "terminate", None),
    ],
)
def test_guards(cloud: Any, ec2: Any, at: str, verb: str, code: str | None) -> None:
    """A verb that does not fit the state is refused or does nothing; either way it stays."""
    cloud.settings(run=50, stop=50, terminate=50)
    fit = _in("stopped" if verb == "start" else "running", cloud, ec2)
    before = state(ec2, fit)
    vm = _in(at, cloud, ec2)
    if code is None:
        verbs(ec2)[verb]([vm])
    else:
        with refused(code, f"'{vm}' is not in a state from which it can be"):
            verbs(ec2)[verb]([fit, vm])
    assert (state(ec2, vm), state(ec2, fit)) == (at, before)


@pytest.mark.parametrize("verb", ["start", "stop", "reboot", "terminate"])
def test_one_unknown_id_fails_the_whole_call(cloud: Any, ec2: Any, verb: str) -> None:
    """Unknown ids are named as EC2 names them, and nothing happens to the known ones."""
    (vm,) = running(cloud, ec2)
    with refused("InvalidInstanceID.NotFound", f"The instance ID '{UNKNOWN}' does not exist"):
        verbs(ec2)[verb]([vm, UNKNOWN])
    two = [UNKNOWN, UNKNOWN[:-1] + "1"]
    with refused("InvalidInstanceID.NotFound", f"The instance IDs '{', '.join(two)}' do not exist"):
        verbs(ec2)[verb]([*two, vm])
    with refused("InvalidInstanceID.Malformed", 'Invalid id: "web-1"'):
        verbs(ec2)[verb]([vm, "web-1"])
    assert state(ec2, vm) == "running"


def test_filters(cloud: Any, ec2: Any) -> None:
    """Values are alternatives, filters add up, and * and ? are wildcards that can be escaped."""
    web = running(cloud, ec2, 2, tags={"vm": "web-{0..1}"}, ClientToken="t1")
    star = running(cloud, ec2, 1, tags={"vm": "web-*", "only": ""})
    launch(cloud, ec2, 1)

    def ids(**filters: list[str]) -> list[str]:
        names = {name.replace("__", ":").replace("_", "-"): v for name, v in filters.items()}
        return [each["InstanceId"] for each in found(ec2, names)]

    assert ids(tag__vm=["web-{*"]) == web
    assert ids(tag__vm=["web-?"]) == ids(tag__vm=[r"web-\*"]) == star
    assert ids(tag__vm=["web-*"]) == ids(tag__vm=["nope", "web-*"]) == web + star
    assert ids(tag_key=["vm"], instance_state_name=["running"]) == web + star
    assert ids(tag_key=["vm"], instance_state_name=["stopped"]) == []
    assert ids(tag_key=["only"]) == ids(tag__only=[""]) == star
    assert ids(client_token=["t1"], launch_index=["1"]) == web[1:]
    assert ids(instance_id=[web[0], UNKNOWN]) == web[:1]


def test_filters_have_limits(cloud: Any, ec2: Any) -> None:
    """A call has at most 200 filter values of 255 characters, under names that EC2 knows."""
    ids = [f"i-{number:017x}" for number in range(200)]
    assert found(ec2, {"instance-id": ids}) == []
    with refused("FilterLimitExceeded", "on a single call is 200"):
        found(ec2, {"instance-id": ids, "instance-state-name": ["running"]})
    with refused("FilterLimitExceeded", "255 characters"):
        found(ec2, {"tag:vm": ["x" * 256]})
    with refused("InvalidParameterValue", "The filter 'colour' is invalid"):
        found(ec2, {"colour": ["red"]})
    with refused("StandInFailed", status=501):
        found(ec2, {"boot-mode": ["uefi"]})


def test_pages(cloud: Any, ec2: Any) -> None:
    """Pages hold MaxResults instances across reservations, and lose none that stays."""
    ids = launch(cloud, ec2, 4) + launch(cloud, ec2, 4) + launch(cloud, ec2, 4)
    seen, token = [], ""
    while True:
        page = ec2.describe_instances(MaxResults=5, **({"NextToken": token} if token else {}))
        seen.append([i["InstanceId"] for r in page["Reservations"] for i in r["Instances"]])
        token = page.get("NextToken")
        if not token:
            break
    assert [len(each) for each in seen] == [5, 5, 2]
    assert sum(seen, []) == ids  # noqa: RUF017  (a dozen)
    for most in (4, 1001):
        with refused("InvalidParameterValue", "between 5 and 1000"):
            ec2.describe_instances(MaxResults=most)
    with refused("InvalidParameterCombination", "instancesSet"):
        ec2.describe_instances(MaxResults=5, InstanceIds=ids[:1])
    with refused("InvalidNextToken"):
        ec2.describe_instances(MaxResults=5, NextToken="page 2")


def test_images(cloud: Any, ec2: Any) -> None:
    """Each region's images tell their disks, and an unknown one is InvalidAMIID.NotFound."""
    assert cloud.image(region="us-east-1") != cloud.image()
    (image,) = ec2.describe_images(ImageIds=[cloud.image("keeps-disks")])["Images"]
    assert [d["Ebs"]["DeleteOnTermination"] for d in image["BlockDeviceMappings"]] == [False] * 2
    (image,) = ec2.describe_images(ImageIds=[cloud.image("ubuntu-24.04-arm64")])["Images"]
    assert image["Architecture"] == "arm64"
    assert image["RootDeviceName"] == "/dev/sda1"
    unknown = "ami-00000000000000000"
    with refused("InvalidAMIID.NotFound", f"The image id '[{unknown}]' does not exist"):
        ec2.describe_images(ImageIds=[cloud.image(), unknown])
    with refused("InvalidAMIID.NotFound", f"The image id '[{unknown}]' does not exist"):
        launch(cloud, ec2, ImageId=unknown)
    with refused("InvalidParameterValue", "does not match the architecture 'arm64'"):
        launch(cloud, ec2, ImageId=image["ImageId"])
    assert launched(cloud, ec2, ImageId=image["ImageId"], InstanceType="t4g.micro")


@pytest.mark.parametrize(
    ("name", "image"),
    [
        (f"{UBUNTU}/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id", "ubuntu-24.04-amd64"),
        (f"{UBUNTU}/22.04/stable/current/arm64/hvm/ebs-gp2/ami-id", "ubuntu-22.04-arm64"),
        ("debian/release/12/latest/amd64", "debian-12-amd64"),
        ("debian/release/13/latest/arm64", "debian-13-arm64"),
        ("ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64", "amazon-linux-2023-amd64"),
        ("ami-amazon-linux-latest/al2023-ami-kernel-default-arm64", "amazon-linux-2023-arm64"),
    ],
)
def test_public_parameters(cloud: Any, name: str, image: str) -> None:
    """SSM names the present image of each distribution, and knows no other public parameters."""
    ssm = cloud.client("ssm")
    told = ssm.get_parameter(Name=f"/aws/service/{name}")["Parameter"]["Value"]
    assert told == cloud.image(image)
    with refused("ParameterNotFound"):
        ssm.get_parameter(Name=f"/aws/service/{name}-9")


def test_the_account(cloud: Any) -> None:
    """STS tells whose credentials these are."""
    assert cloud.client("sts").get_caller_identity()["Account"] == "123456789012"


def test_every_answer_has_an_id_and_the_clouds_time(cloud: Any, ec2: Any) -> None:
    """Request ids are new, in header and body alike; Date is the cloud's clock, said once."""
    cloud.advance(7 * 86400)
    answers = [ec2.describe_instances()["ResponseMetadata"] for _ in range(2)]
    answers.append(cloud.client("sts").get_caller_identity()["ResponseMetadata"])
    assert len({each["RequestId"] for each in answers}) == 3
    for each in answers:
        assert each["RequestId"] == each["HTTPHeaders"]["x-amzn-requestid"]
        told = parsedate_to_datetime(each["HTTPHeaders"]["date"]).timestamp()
        assert abs(told - time.time() - 7 * 86400) < 60
