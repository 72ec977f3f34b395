"""What can be given, and what is refused before AWS hears of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from refusals import nobody_answers, refusals_of

from vmops import Operation, Status
from vmops.errors import InvalidParams
from vmops_aws.settings import AwsParams

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me"
MOST = 16 * 1024
LONG_TAGS = {f"k{i}": "v" for i in range(41)}

BAD: list[tuple[str, Any, str]] = [
    ("vmSize", "t3", "pattern"),
    ("vmSize", "T3.micro", "pattern"),
    ("vmSize", "t3.micro;x", "pattern"),
    ("vmSize", "", "pattern"),
    ("image", "ami-xyz!", "pattern"),
    ("image", "Ubuntu", "pattern"),
    ("image", "", "pattern"),
    ("zone", "eu-west-1a/..", "pattern"),
    ("zone", "", "pattern"),
    ("subnet", "sg-0123456789abcdef0", "pattern"),
    ("subnet", "subnet-123", "pattern"),
    ("securityGroups", ["subnet-12345678"], "pattern"),
    ("securityGroups", "sg-12345678,default", "pattern"),
    ("securityGroups", 7, "tuple"),
    ("sshPublicKey", "-----BEGIN OPENSSH PRIVATE KEY-----", "no type of key"),
    ("sshPublicKey", f"{KEY}\n{KEY}", "not one line"),
    ("sshPublicKey", "ssh-ed25519", "not one line"),
    ("diskSizeGb", 0, "greater than or equal to 1"),
    ("diskSizeGb", 65537, "less than or equal to 65536"),
    ("diskSizeGb", "big", "integer"),
    ("diskSizeGb", 8.5, "integer"),
    ("diskType", "ssd", "'gp2', 'gp3'"),
    ("tags", "a", "key=value"),
    ("tags", {"vmops-owner": "me"}, "vmops-owner"),
    ("tags", {"VMOPS-x": "me"}, "VMOPS-x"),
    ("tags", {"aws:x": "y"}, "aws:x"),
    ("tags", {"Name": "x"}, "Name"),
    ("tags", {"": "x"}, "1 to 128"),
    ("tags", {"k" * 129: "x"}, "1 to 128"),
    ("tags", {"k": "v" * 257}, "up to 256"),
    ("tags", LONG_TAGS, "41 tags"),
    ("spot", "maybe", "boolean"),
    ("spotMode", "forever", "'one-time' or 'persistent'"),
    ("publicIp", "maybe", "boolean"),
    ("iamInstanceProfile", "", "at least 1"),
    ("iamInstanceProfile", "a b", "pattern"),
    ("iamInstanceProfile", "x" * 513, "at most 512"),
    ("restartMode", "reset", "'reboot' or 'power-cycle'"),
    ("keyName", "mine", "no such parameter"),
    ("endpointUrl", "http://169.254.169.254", "never by params"),
    ("profile", "root", "never by params"),
    ("region", "eu-west-1; rm", "eu-west-1"),
    ("region", "us-east-1", "config says 'eu-west-1'"),
]


@pytest.mark.parametrize(
    ("name", "value", "says"), BAD, ids=[f"{name}={str(value)[:24]}" for name, value, _ in BAD]
)
def test_refused_before_any_call(nobody: Any, name: str, value: Any, says: str) -> None:
    """A bad value is refused by its own name, with the reason, and nothing is asked of AWS."""
    said = refusals_of(nobody, name, value)
    assert [one for one in said if says in one], said


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What tests call, where nobody answers: in the end not even the journal was opened."""
    with nobody_answers(
        tmp_path_factory.mktemp("nobody"), backend="aws", region="eu-west-1"
    ) as ops:
        yield ops


GOOD: list[tuple[str, Any, str, Any]] = [
    ("vm_size", "u-6tb1.112xlarge", "vm_size", "u-6tb1.112xlarge"),
    ("image", "ami-12345678", "image", "ami-12345678"),
    ("zone", "us-west-2-lax-1a", "zone", "us-west-2-lax-1a"),
    ("security_groups", "sg-12345678, sg-87654321,", "security_groups", None),
    ("security_groups", ["sg-12345678", "sg-87654321"], "security_groups", None),
    ("ssh_public_key", f"  {KEY}\n", "ssh_public_key", KEY),
    ("disk_size_gb", "20", "disk_size_gb", 20),
    ("tags", "team=a, cost = b=c ,", "tags", {"team": "a", "cost": "b=c"}),
    ("tags", {"k" * 128: "v" * 256}, "tags", {"k" * 128: "v" * 256}),
    ("tags", {"empty": ""}, "tags", {"empty": ""}),
    ("spot", "true", "spot", True),
    ("public_ip", "false", "public_ip", False),
    ("iam_instance_profile", "arn:aws:iam::1:instance-profile/p/x", "spot", False),
]


@pytest.mark.parametrize(
    ("name", "value", "field", "typed"), GOOD, ids=[f"{g[0]}={str(g[1])[:16]}" for g in GOOD]
)
def test_taken_as(name: str, value: Any, field: str, typed: Any) -> None:
    """A good value is taken, given as text by a command line as well as by Python."""
    groups = ("sg-12345678", "sg-87654321")
    assert getattr(AwsParams(**{name: value}), field) == (groups if typed is None else typed)


def test_user_data_of_16_kib() -> None:
    """User data may have 16 KiB; one byte more is refused, and the data is not shown."""
    assert len(AwsParams(user_data="#!" + "x" * (MOST - 2)).guest_data) == MOST
    with pytest.raises(ValueError, match="16385 bytes") as caught:
        AwsParams(user_data="#!canary" + "x" * (MOST - 7))
    assert "canary" not in str(caught.value)


def test_user_data_with_a_key_of_16_kib() -> None:
    """It is the merged data that may have 16 KiB, counted in bytes."""
    text = "#!" + "\u00e9" * 5000
    assert len(AwsParams(user_data=text).guest_data.encode()) == 10_002
    merged = AwsParams(user_data=text, ssh_public_key=KEY).guest_data
    assert 10_002 * 4 / 3 < len(merged.encode()) <= MOST  # a part is in base64
    longer = text + "x" * 2000
    assert AwsParams(user_data=longer).guest_data == longer
    with pytest.raises(ValueError, match="with what vmops adds, and 16384 are the most"):
        AwsParams(user_data=longer, ssh_public_key=KEY)


def test_windows_user_data_takes_no_key() -> None:
    """User data for Windows cannot bring a key that only cloud-init would read."""
    assert AwsParams(user_data="<powershell>x</powershell>").guest_data
    with pytest.raises(ValueError, match="drop one"):
        AwsParams(user_data="<powershell>x</powershell>", ssh_public_key=KEY)


@pytest.fixture
def nowhere(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The scene without a region anywhere."""
    del aws.config["region"]
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "VMOPS_AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    return aws


def _profile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "aws-config"
    keys = "aws_access_key_id = testing\naws_secret_access_key = testing\n"
    file.write_text(
        f"[default]\nregion = eu-north-1\n{keys}[profile work]\nregion = ap-south-1\n{keys}"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))


def _asked_in(aws: Any, **config: Any) -> str:
    """The region of a look, as the stand-in was asked, and as the operation's URL says it."""
    ops = aws.open(**config)
    status, result = ops.vm_provision({"vmName": "web-1", "image": "debian-12"})
    assert status is Status.PENDING, result.error
    scope = Operation.from_url(result["asyncResultsUrl"]).scope
    regions = {call["region"] for call in aws.cloud.calls()}
    assert regions == {scope["region"]}
    return scope["region"]


@pytest.mark.parametrize(
    ("environment", "given", "region"),
    [
        ({"AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "us-east-1"}, {}, "us-west-2"),
        ({"AWS_DEFAULT_REGION": "us-east-1"}, {}, "us-east-1"),
        ({"AWS_REGION": "us-west-2"}, {"region": "eu-west-3"}, "eu-west-3"),
        ({"AWS_REGION": "us-west-2"}, {"location": "eu-west-3"}, "eu-west-3"),
        ({"VMOPS_AWS_REGION": "ca-central-1", "AWS_REGION": "us-west-2"}, {}, "ca-central-1"),
        ({}, {"region": "eu-west-3", "location": "eu-west-3"}, "eu-west-3"),
        ({}, {}, "eu-north-1"),
        ({}, {"profile": "work"}, "ap-south-1"),
        ({"AWS_PROFILE": "work"}, {}, "ap-south-1"),
        ({"AWS_REGION": "us-west-2"}, {"profile": "work"}, "us-west-2"),
    ],
)
def test_where_the_region_comes_from(
    *,
    nowhere: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    given: dict[str, str],
    region: str,
) -> None:
    """Config, VMOPS_AWS_REGION, AWS_REGION, AWS_DEFAULT_REGION, the profile: the first counts."""
    _profile(tmp_path, monkeypatch)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert _asked_in(nowhere, **given) == region


def test_no_region_anywhere(nowhere: Any) -> None:
    """Without a region the error says how to give one, before any call."""
    with pytest.raises(InvalidParams, match="region: missing; give region=eu-west-1, or set AWS"):
        nowhere.open().vm_provision(nowhere.params())
    assert nowhere.actions() == []


def test_a_profile_that_is_not_there(nowhere: Any) -> None:
    """A profile that no file has is named in the error."""
    with pytest.raises(InvalidParams, match=r"profile: .*\(nobody\)"):
        nowhere.open(profile="nobody").vm_provision(nowhere.params())
    assert nowhere.actions() == []


def test_location_in_params_is_the_region(nowhere: Any) -> None:
    """`location` is another name for the region, in params as in the config."""
    ops = nowhere.open()
    given = {"vmName": "web-1", "image": "debian-12"}
    result = nowhere.wait(ops, ops.vm_provision({**given, "location": "eu-central-1"}))
    assert result["zone"].startswith("eu-central-1")
    with pytest.raises(InvalidParams, match="location and region are both given and differ"):
        ops.vm_provision({**given, "location": "eu-central-1", "region": "eu-west-1"})
    (vm,) = ops.list_vms({"region": "eu-central-1"})
    assert (vm.name, vm.id) == ("web-1", result["vmId"])


def test_a_url_of_another_region(aws: Any, ops: Any) -> None:
    """A URL leads to the region it names where the config leaves that open, else it is refused."""
    _, pending = ops.vm_provision(aws.params())
    url = {"asyncResultsUrl": pending["asyncResultsUrl"]}
    elsewhere = aws.open(region="us-east-1")
    with pytest.raises(InvalidParams, match="config says 'us-east-1', the asyncResultsUrl says"):
        elsewhere.wait_vm_operation(url)
    del aws.config["region"]
    assert aws.wait(aws.open(), (Status.PENDING, url))["vmName"] == "web-1"
