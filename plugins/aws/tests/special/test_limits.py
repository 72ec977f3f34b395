"""EC2's published request limits, enforced by the stand-in: nobody is refused for good."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vmops import Status


def test_many_threads_with_different_requests(aws: Any, ops: Any) -> None:
    """Eight threads whose requests cannot be one call keep to two RunInstances a second."""
    aws.cloud.settings(rate_limits=1)
    ops.registry.load("aws")  # so that the threads do not race for that
    sizes = range(8, 16)

    def make(size: int) -> tuple[Any, Any]:
        answer: tuple[Any, Any] = ops.vm_provision(aws.params(f"web-{size}", diskSizeGb=size))
        return answer

    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(make, sizes))
    seconds = time.monotonic() - began
    assert [status for status, _ in answers] == [Status.PENDING] * 8
    codes = [call["code"] for call in aws.cloud.calls("RunInstances")]
    assert codes.count(None) == 8
    assert set(codes) <= {None, "RequestLimitExceeded"}
    assert len(codes) <= 10, "our own count of EC2's budget may be off by an answer's time"
    assert seconds > 1, "five may leave at once, the others at two a second"
    for answer in answers:
        aws.wait(ops, answer)
    assert len(aws.instances()) == 8


def test_equal_requests_of_threads_leave_together(aws: Any, ops: Any) -> None:
    """Threads that ask for the same while a call waits for its turn share one RunInstances."""
    aws.cloud.settings(rate_limits=1)
    names = [f"web-{i}" for i in range(16)]
    aws.up(ops, "warm-1")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda name: ops.vm_provision(aws.params(name)), names))
    assert [status for status, _ in answers] == [Status.PENDING] * 16
    assert aws.actions().count("RunInstances") - 1 <= 12
    for answer in answers:
        aws.wait(ops, answer)
    assert len(aws.instances()) == 17


def test_throttling_halves_the_pace(aws: Any, ops: Any) -> None:
    """After RequestLimitExceeded the saved-up calls are forgotten, and the pace is half as fast."""
    aws.cloud.fault("RunInstances", code="RequestLimitExceeded", status=503)
    aws.up(ops)
    ops.vm_provision(aws.params("web-2"))
    first, second, third = aws.cloud.calls("RunInstances")
    # one call a second, in place of five at once, as they arrive on a machine that may be busy
    assert second["time"] - first["time"] > 0.9
    assert third["time"] - second["time"] > 0.4, "and it recovers slowly"
    codes = [call["code"] for call in (first, second, third)]
    assert codes == ["RequestLimitExceeded", None, None]


def test_two_processes_share_the_account(aws: Any, ops: Any) -> None:
    """Where others use up the budget, a verb waits for it, and is carried out once."""
    aws.cloud.settings(rate_limits=1)
    for _ in range(5):
        aws.api.run_instances(ImageId=aws.image, InstanceType="t3.micro", MinCount=1, MaxCount=1)
    status, result = ops.vm_provision(aws.params(zone="eu-west-1a"))
    assert status is Status.PENDING, result.error
    codes = [call["code"] for call in aws.cloud.calls("RunInstances")]
    assert codes[:5] == [None] * 5
    assert codes[-1] is None
    assert set(codes[5:-1]) <= {"RequestLimitExceeded"}
    assert [vm.name for vm in ops.list_vms()] == ["web-1"]
