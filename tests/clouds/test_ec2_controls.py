"""The EC2 stand-in: what tests can do to it, and what it tells of what it was asked."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError
from ec2_calls import LATER, found, launch, launched, refused, running, spot, state
from ec2_cloud import EC2Cloud


def test_new_instances_are_unknown_for_a_while(cloud: Any, ec2: Any) -> None:
    """Eventual consistency: neither lists nor verbs know them, but their token does."""
    cloud.settings(invisible=30)
    ids = launch(cloud, ec2, 2, ClientToken="t")
    assert found(ec2) == found(ec2, {"client-token": ["t"]}) == []
    with refused("InvalidInstanceID.NotFound", f"The instance IDs '{', '.join(ids)}' do not"):
        ec2.terminate_instances(InstanceIds=ids)
    with refused("InvalidInstanceID.NotFound"):
        ec2.create_tags(Resources=ids[:1], Tags=[{"Key": "a", "Value": "b"}])
    assert launch(cloud, ec2, 2, ClientToken="t") == ids
    cloud.advance(30)
    assert len(found(ec2)) == 2


def test_states_can_be_told_late(cloud: Any, ec2: Any) -> None:
    """Eventual consistency: DescribeInstances tells, and filters by, how it was before."""
    (vm,) = running(cloud, ec2)
    cloud.settings(stale=5)
    cloud.advance(5)
    ec2.stop_instances(InstanceIds=[vm])
    cloud.advance(4)
    assert found(ec2, {"instance-state-name": ["running"]})
    cloud.advance(2)
    assert state(ec2, vm) == "stopped"


def test_published_limits(cloud: Any, ec2: Any) -> None:
    """Each action has a bucket of calls, and launches have one of instances too."""
    cloud.settings(rate_limits=0.001)
    for _ in range(5):
        launch(cloud, ec2)
    with refused("RequestLimitExceeded", "Request limit exceeded.", 503):
        launch(cloud, ec2)
    assert found(ec2, {"instance-id": ["i-00000000"]}) == []
    for _ in range(50):
        ec2.describe_instances()
    with refused("RequestLimitExceeded", status=503):
        ec2.describe_instances()
    assert len(found(ec2, {"instance-state-name": ["pending", "running"]})) == 5
    cloud.settings(rate_limits=1)
    cloud.advance(0.5)
    launch(cloud, ec2)
    cloud.settings(rate_limits=0)
    launch(cloud, ec2)


def test_the_bucket_of_instances(cloud: Any, ec2: Any) -> None:
    """A launch of more instances than the bucket holds is refused, whatever its calls are."""
    cloud.settings(rate_limits=0.001)
    with refused("RequestLimitExceeded", status=503):
        launch(cloud, ec2, 1001)
    launch(cloud, ec2, 10)
    with refused("RequestLimitExceeded", status=503):
        launch(cloud, ec2, 991)


def test_capacity(cloud: Any, ec2: Any) -> None:
    """What the zone cannot hold is refused with HTTP 500, unless MinCount of it can be had."""
    cloud.settings(capacity=3)
    with refused("InsufficientInstanceCapacity", "sufficient t3.micro capacity", 500):
        launch(cloud, ec2, 4)
    assert found(ec2) == []
    assert len(launched(cloud, ec2, 9, MinCount=2)["Instances"]) == 3
    cloud.advance(LATER)
    vm = found(ec2)[0]["InstanceId"]
    ec2.stop_instances(InstanceIds=[vm])
    cloud.advance(LATER)
    launch(cloud, ec2)
    with refused("InsufficientInstanceCapacity", status=500):
        ec2.start_instances(InstanceIds=[vm])


def test_quota(cloud: Any, ec2: Any) -> None:
    """What the account may not have is a VcpuLimitExceeded."""
    cloud.settings(vcpus=4)
    launch(cloud, ec2, 2)
    with refused("VcpuLimitExceeded", "current vCPU limit of 4"):
        launch(cloud, ec2)


def test_launches_that_fail_later(cloud: Any, ec2: Any) -> None:
    """An instance can end in place of coming up, and tells why."""
    cloud.settings(launch_failure="Client.VolumeLimitExceeded")
    (vm,) = running(cloud, ec2)
    assert state(ec2, vm) == "terminated"
    assert found(ec2)[0]["StateReason"]["Code"] == "Client.VolumeLimitExceeded"
    assert ec2.describe_volumes()["Volumes"] == []


def test_the_stopped_can_end_at_once(cloud: Any, ec2: Any) -> None:
    """Where it is so set, a stopped instance skips shutting-down."""
    (vm,) = running(cloud, ec2)
    ec2.stop_instances(InstanceIds=[vm])
    cloud.advance(LATER)
    cloud.settings(stopped_ends_at_once=True)
    (change,) = ec2.terminate_instances(InstanceIds=[vm])["TerminatingInstances"]
    assert change["CurrentState"]["Name"] == "terminated"


def test_faults(cloud: Any, ec2: Any) -> None:
    """The next calls of an action fail as told, after those that pass, and have no effect."""
    cloud.fault("RunInstances", code="ServerInternal", message="a <b>", times=2, skip=1)
    launch(cloud, ec2)
    for _ in range(2):
        with refused("ServerInternal", "a <b>", 500):
            launch(cloud, ec2)
    assert len(found(ec2)) == 1
    launch(cloud, ec2)
    assert len(found(ec2)) == 2


def test_lost_answers(cloud: Any, ec2: Any) -> None:
    """A fault after the call takes the answer, not the effect; status 0 cuts the connection."""
    cloud.fault("RunInstances", code="Unavailable", status=503, after=True)
    with refused("Unavailable", status=503):
        launch(cloud, ec2, ClientToken="t")
    cloud.fault("RunInstances", status=0, after=True)
    with pytest.raises(ConnectionClosedError):
        launch(cloud, ec2, ClientToken="u")
    assert len(found(ec2, {"client-token": ["t", "u"]})) == 2


@pytest.mark.parametrize(
    ("service", "action", "call"),
    [
        ("sts", "GetCallerIdentity", lambda sts: sts.get_caller_identity()),
        ("ssm", "GetParameter", lambda ssm: ssm.get_parameter(Name="/aws/service/x")),
    ],
)
def test_faults_of_other_services(cloud: Any, service: str, action: str, call: Any) -> None:
    """STS and SSM refuse in their own protocols."""
    cloud.fault(action, code="AccessDenied", message="no", status=403)
    with refused("AccessDenied", "no", 403):
        call(cloud.client(service))


def test_the_log(cloud: Any, ec2: Any) -> None:
    """Each call is kept with its parameters, its answer's status and code, and no signature."""
    launch(cloud, ec2, ClientToken="t")
    with refused("InvalidInstanceID.NotFound"):
        ec2.stop_instances(InstanceIds=["i-00000000"])
    cloud.client("sts").get_caller_identity()
    run, stop, sts = cloud.calls()
    assert (run["action"], run["status"], run["code"]) == ("RunInstances", 200, None)
    assert run["parameters"]["ClientToken"] == "t"
    assert run["region"] == "eu-west-1"
    assert (stop["status"], stop["code"]) == (400, "InvalidInstanceID.NotFound")
    assert "Boto3" in sts["agent"]
    assert sts["service"] == "sts"
    assert abs(sts["time"] - time.time()) < 60
    assert not any("Signature" in name for call in cloud.calls() for name in call["parameters"])
    assert [call["action"] for call in cloud.calls("StopInstances")] == ["StopInstances"]


def test_a_reset_forgets_everything(cloud: Any, ec2: Any) -> None:
    """Instances, requests, tokens, faults, settings, clock and log are as after the start."""
    running(cloud, ec2, ClientToken="t", **spot("persistent"))
    cloud.settings(run=99)
    cloud.fault("DescribeInstances", times=9)
    cloud.advance(9999)
    cloud.reset()
    assert cloud.calls() == found(ec2) == ec2.describe_volumes()["Volumes"] == []
    assert ec2.describe_spot_instance_requests()["SpotInstanceRequests"] == []
    assert state(ec2, running(cloud, ec2, ClientToken="t")[0]) == "running"
    assert abs(cloud.calls()[-1]["time"] - time.time()) < 60


def test_controls_know_their_names(cloud: Any) -> None:
    """A setting, fault or instance that there is not is an error, never ignored."""
    for wrong in (
        lambda: cloud.settings(speed=1),
        lambda: cloud.fault("RunInstances", colour="red"),
        lambda: cloud.preempt("i-00000000"),
    ):
        with pytest.raises(ValueError, match=r"speed|colour|i-00000000"):
            wrong()


def test_the_server_is_up_soon_with_its_settings() -> None:
    """It answers within seconds, and its settings are those it was started with after a reset."""
    with EC2Cloud(run=7, capacity=1) as cloud:
        assert cloud.settings(run=8)["run"] == 8
        cloud.reset()
        told = cloud.settings()
        assert (told["run"], told["capacity"]) == (7, 1)
    with pytest.raises(RuntimeError, match="no such settings: speed"), EC2Cloud(speed=1):
        pass


def test_the_server_ends_with_whoever_started_it(tmp_path: Path) -> None:
    """A test run that is killed leaves no server."""
    code = (
        f"import sys, time; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from ec2_cloud import EC2Cloud\n"
        "with EC2Cloud() as cloud:\n"
        "    print(cloud._process.pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    server = int(parent.stdout.readline())
    os.kill(server, 0)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 20
    while _alive(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(server)


def _alive(process: int) -> bool:
    try:
        told = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return told.rpartition(")")[2].split()[0] != "Z"
