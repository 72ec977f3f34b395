"""What AWS's refusals become: class, code, the journal's row, and how often AWS is asked."""

from __future__ import annotations

import re
from typing import Any

import pytest

from vmops import Status
from vmops.errors import (
    AuthError,
    CloudError,
    Conflict,
    InvalidRequest,
    NoCapacity,
    NotFound,
    QuotaExceeded,
    Throttled,
    Unavailable,
)

REQUEST_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
WEB = {"vmName": "web-1"}


def _refused(answer: tuple[Any, Any], kind: type[Exception], code: str) -> Any:
    """The error of a verb that AWS refused so; its result tells nothing else."""
    status, result = answer
    assert (status, dict(result)) == (Status.FAILED, {})
    assert (type(result.error), result.error.provider_code) == (kind, code), result.error
    return result.error


CREATES: list[tuple[str, int, type[Exception]]] = [
    ("InsufficientInstanceCapacity", 500, NoCapacity),
    ("InsufficientFreeAddressesInSubnet", 400, NoCapacity),
    ("SpotMaxPriceTooLow", 400, NoCapacity),
    ("VcpuLimitExceeded", 400, QuotaExceeded),
    ("MaxSpotInstanceCountExceeded", 400, QuotaExceeded),
    ("UnauthorizedOperation", 403, AuthError),
    ("PendingVerification", 400, AuthError),
    ("InvalidSubnetID.NotFound", 400, InvalidRequest),
    ("SomethingNew", 400, CloudError),
]


@pytest.mark.parametrize(("code", "http", "kind"), CREATES, ids=[case[0] for case in CREATES])
def test_a_create_that_is_refused(
    aws: Any, ops: Any, code: str, http: int, kind: type[Exception]
) -> None:
    """A definite no is told at once, after exactly one RunInstances, and its row is FAILED."""
    aws.cloud.fault("RunInstances", code=code, status=http, message="no such luck", times=9)
    error = _refused(ops.vm_provision(aws.params()), kind, code)
    assert REQUEST_ID.fullmatch(error.request_id)
    assert "RunInstances: no such luck" in str(error)
    assert aws.actions().count("RunInstances") == 1
    assert (aws.states(), aws.left()) == ({"web-1": "FAILED"}, {})


HINTS: list[tuple[dict[str, Any], dict[str, Any], type[Exception], str, str]] = [
    ({"capacity": 0}, {}, NoCapacity, "InsufficientInstanceCapacity", ""),
    ({"vcpus": 1}, {}, QuotaExceeded, "VcpuLimitExceeded", ""),
    ({"default_vpc": False}, {}, InvalidRequest, "VPCIdNotSpecified", "give subnet"),
    ({}, {"subnet": "subnet-12345678"}, InvalidRequest, "InvalidSubnetID.NotFound", ""),
    ({}, {"securityGroups": "sg-12345678"}, InvalidRequest, "InvalidGroup.NotFound", ""),
    ({}, {"vmSize": "x9.huge"}, InvalidRequest, "InvalidParameterValue", ""),
    ({}, {"iamInstanceProfile": "nobody"}, InvalidRequest, "InvalidParameterValue", ""),
    ({}, {"zone": "eu-west-1z"}, InvalidRequest, "InvalidParameterValue", ""),
]


@pytest.mark.parametrize(
    ("settings", "params", "kind", "code", "hint"),
    HINTS,
    ids=[str(case[0] or case[1]) for case in HINTS],
)
def test_what_the_account_does_not_have(
    *,
    aws: Any,
    ops: Any,
    settings: dict[str, Any],
    params: dict[str, Any],
    kind: type[Exception],
    code: str,
    hint: str,
) -> None:
    """The stand-in's own refusals say what is missing; a new create under the name may follow."""
    aws.cloud.settings(**settings)
    error = _refused(ops.vm_provision(aws.params(**params)), kind, code)
    assert hint in error.hint
    assert aws.states() == {"web-1": "FAILED"}
    aws.cloud.settings(capacity=None, vcpus=None, default_vpc=True)
    aws.up(ops)
    first, second = (asked["ClientToken"] for asked in aws.requests("RunInstances"))
    assert first != second, "a refused create's token is not used again"


def test_an_unknown_ami(aws: Any, ops: Any) -> None:
    """An AMI that is not in this region is refused before anything is written or made."""
    answer = ops.vm_provision({**WEB, "image": "ami-00000000"})
    error = _refused(answer, InvalidRequest, "InvalidAMIID.NotFound")
    assert "belongs to one region" in error.hint
    assert (aws.requests("RunInstances"), aws.rows()) == ([], {})


def test_a_create_that_is_throttled(aws: Any, ops: Any) -> None:
    """RequestLimitExceeded is waited out: the same request again, under the same token."""
    aws.cloud.fault("RunInstances", code="RequestLimitExceeded", status=503)
    aws.up(ops)
    first, second = aws.requests("RunInstances")
    assert first == second
    assert (len(aws.instances()), aws.states()) == (1, {"web-1": "LIVE"})


@pytest.mark.parametrize(
    ("code", "http", "kind"),
    [
        ("RequestLimitExceeded", 503, Throttled),
        ("InternalError", 500, Unavailable),
        ("Unavailable", 503, Unavailable),
    ],
)
@pytest.mark.usefixtures("give_up")
def test_a_create_without_a_definite_answer(
    aws: Any, ops: Any, code: str, http: int, kind: type[Exception]
) -> None:
    """Once patience ends, what may remain is said and kept as INTENT; a repeat makes one VM."""
    aws.cloud.fault("RunInstances", code=code, status=http)
    error = _refused(ops.vm_provision(aws.params()), kind, code)
    assert (error.remains, "repeat" in error.hint) == ("VM 'web-1' may have been changed", True)
    assert (aws.actions().count("RunInstances"), aws.states()) == (1, {"web-1": "INTENT"})
    aws.up(ops)
    first, second = aws.requests("RunInstances")
    assert first == second
    assert (len(aws.instances()), aws.states()) == (1, {"web-1": "LIVE"})


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch"])
def test_credentials_that_are_over(aws: Any, ops: Any, code: str) -> None:
    """Credentials that STS refuses fail a verb before EC2 is asked anything."""
    aws.cloud.fault("GetCallerIdentity", code=code, status=403, times=9)
    _refused(ops.vm_provision(aws.params()), AuthError, code)
    assert (aws.actions(), aws.rows()) == (["GetCallerIdentity"], {})


def test_no_credentials_at_all(aws: Any, ops: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials nothing is asked of AWS, and the error says how to sign in."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    error = _refused(ops.vm_provision(aws.params()), AuthError, "NoCredentials")
    assert "AWS_ACCESS_KEY_ID" in error.hint
    status, result = ops.wait_vm_deployment(True, {**WEB, "pollTimeout": 0})
    assert (status, type(result.error)) == (Status.TIMED_OUT, AuthError)
    assert (aws.actions(), aws.rows()) == ([], {})


def test_encoded_messages_are_not_told(aws: Any, ops: Any) -> None:
    """An encoded authorization failure message is long, and says more than a log should hold."""
    words = "You are not authorized. Encoded authorization failure message: AbCdEf0123"
    aws.cloud.fault("RunInstances", code="UnauthorizedOperation", status=403, message=words)
    error = _refused(ops.vm_provision(aws.params()), AuthError, "UnauthorizedOperation")
    assert "You are not authorized." in str(error)
    assert "AbCdEf" not in str(error)


def test_termination_protection(aws: Any, ops: Any) -> None:
    """A VM that is protected stays, is held as LIVE, and the error says how to let it go."""
    vm_id = aws.up(ops)
    protect = aws.api.modify_instance_attribute
    protect(InstanceId=vm_id, DisableApiTermination={"Value": True})
    error = _refused(ops.vm_deprovision(WEB), Conflict, "OperationNotPermitted")
    assert "termination or stop protection" in error.hint
    assert (aws.state(vm_id), aws.states()) == ("running", {"web-1": "LIVE"})
    assert aws.actions().count("TerminateInstances") == 1 + 1, "looked at again, asked again"
    protect(InstanceId=vm_id, DisableApiTermination={"Value": False})
    aws.wait(ops, ops.vm_deprovision(WEB))
    assert (aws.left(), aws.states()) == ({}, {"web-1": "GONE"})


VERBS = [("vm_stop", "StopInstances"), ("vm_restart", "RebootInstances")]


@pytest.mark.parametrize(("verb", "action"), VERBS)
def test_a_verb_that_is_not_allowed(aws: Any, ops: Any, verb: str, action: str) -> None:
    """Other verbs are refused after one call, too; the VM and its row stay as they are."""
    vm_id = aws.up(ops)
    aws.cloud.fault(action, code="UnauthorizedOperation", status=403, times=9)
    _refused(getattr(ops, verb)(WEB), AuthError, "UnauthorizedOperation")
    assert aws.actions().count(action) == 1
    assert (aws.state(vm_id), aws.states()) == ("running", {"web-1": "LIVE"})


def test_a_vm_that_is_not_there(aws: Any, ops: Any) -> None:
    """A verb on a name that nobody has is NotFound by a look alone; deleting it is done."""
    for verb in ("vm_start", "vm_stop", "vm_restart"):
        status, result = getattr(ops, verb)(WEB)
        assert (status, type(result.error)) == (Status.FAILED, NotFound)
    assert ops.vm_deprovision(WEB)[0] is Status.SUCCEEDED
    assert set(aws.actions()) == {"GetCallerIdentity", "DescribeInstances"}


TROUBLE = [
    ("RequestLimitExceeded", 503),
    ("InternalError", 500),
    ("Unavailable", 503),
    ("UnauthorizedOperation", 403),
    ("ExpiredToken", 400),
    ("SomethingNew", 400),
]


@pytest.mark.parametrize(("code", "http"), TROUBLE)
def test_looks_that_fail_are_no_failed_operation(aws: Any, ops: Any, code: str, http: int) -> None:
    """While a wait lasts, whatever a look meets, it looks again until it sees the end."""
    answer = ops.vm_provision(aws.params())
    aws.cloud.fault("DescribeInstances", code=code, status=http, times=3)
    with aws.counted() as calls:
        aws.wait(ops, answer)
    assert calls[:4] == ["DescribeInstances"] * 4
    assert aws.states() == {"web-1": "LIVE"}


@pytest.mark.parametrize(
    ("code", "http", "kind"),
    [("UnauthorizedOperation", 403, AuthError), ("RequestLimitExceeded", 503, Throttled)],
)
def test_a_wait_that_never_sees_anything(
    aws: Any, proxy: Any, code: str, http: int, kind: type[Exception]
) -> None:
    """It times out with what was in the way; the operation goes on, and can be waited for."""
    from fault_proxy import FOREVER, action, ec2_error

    ops = aws.open()
    answer = ops.vm_provision(aws.params())
    looks = action("DescribeInstances")
    proxy.add("status", body=looks, times=FOREVER, answer=ec2_error(code, http))
    status, result = aws.end(ops, answer, pollTimeout=0.1)
    assert (status, type(result.error)) == (Status.TIMED_OUT, kind)
    assert aws.states() == {"web-1": "ACCEPTED"}
    proxy.clear()
    aws.wait(ops, answer)
    assert aws.states() == {"web-1": "LIVE"}
