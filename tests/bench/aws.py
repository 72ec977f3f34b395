"""What the AWS backend costs beside raw boto3, on a thin EC2 in a process of its own.

Usage: `aws.py [life] [thousand] [lag]`; all three by default, about three minutes. Calls are those
that the server has counted. Targets:

- life: one VM's whole life takes no more calls to EC2 than boto3 with its waiters, where operations
  take 10 seconds as on EC2, and at most 1.3 times its CPU where they take none;
- thousand: 1,000 VMs under EC2's published limits all run after at most 60 calls, 2 s after the
  last one was really up, for under 3 s of CPU;
- lag: operations of 10, 37 and 61 s are seen to end within 1 s (median) and in no more calls than
  boto3's waiter needs, once their durations are known. (Time runs ten times as fast here.)
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from _lives import cpu_of, our_lags, our_life

from vmops import VMOps

IMAGE = "ami-0123456789abcdef0"
REGION = "eu-west-1"
ASIDE = {"CreateTags", "GetCallerIdentity", "DescribeImages"}
"""Names written while waiting, and what a connection asks once."""


class Server:
    """The thin EC2, and what it counted."""

    def __init__(self, *options: str) -> None:
        program = Path(__file__).with_name("_ec2_thin.py")
        command = [sys.executable, str(program), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def stats(self) -> dict[str, Any]:
        """Calls, refusals, and when instances became running."""
        with urlopen(f"{self.url}/stats", timeout=30) as answer:  # noqa: S310  (our own server)
            found: dict[str, Any] = json.load(answer)
        return found

    def reset(self) -> None:
        """Begin anew."""
        urlopen(Request(f"{self.url}/reset", b""), timeout=30).close()  # noqa: S310  (our own)

    def calls(self) -> int:
        """What was asked of EC2, without what is told apart."""
        counted: dict[str, int] = self.stats()["calls"]
        return sum(count for action, count in counted.items() if action not in ASIDE)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def server(*options: str) -> Iterator[Server]:
    """A server for one measurement."""
    made = Server(*options)
    try:
        yield made
    finally:
        made.close()


def raw_client(url: str) -> Any:
    """A boto3 client as one makes it without thinking."""
    import boto3

    return boto3.Session(region_name=REGION).client("ec2", endpoint_url=url)


def ours(url: str, *, journal: bool = True, **config: Any) -> VMOps:
    """VMOps over the server, with a journal of its own or none."""
    place = Path(tempfile.mkdtemp()) / "state" / "journal.db" if journal else None
    where = {"backend": "aws", "region": REGION, "endpointUrl": url, "image": IMAGE}
    return VMOps({**where, **config}, journal=place)


def raw_life(ec2: Any, waiter: dict[str, Any] | None = None) -> None:
    """One VM's life in boto3, each step waited for."""
    waits = {"WaiterConfig": waiter} if waiter else {}
    answer = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=1)
    ids = [answer["Instances"][0]["InstanceId"]]
    for verb, goal in (
        (None, "instance_running"),
        (ec2.stop_instances, "instance_stopped"),
        (ec2.start_instances, "instance_running"),
        (ec2.reboot_instances, "instance_running"),
        (ec2.terminate_instances, "instance_terminated"),
    ):
        if verb is not None:
            verb(InstanceIds=ids)
        ec2.get_waiter(goal).wait(InstanceIds=ids, **waits)


def life() -> None:
    """One VM's life: CPU at once, calls in real time."""
    for journal in (True, False):
        at_once(journal=journal)
    with server("--delay", "10") as cloud, server("--delay", "10") as other:
        ec2 = raw_client(other.url)
        thread = threading.Thread(target=raw_life, args=(ec2,))
        thread.start()
        with ours(cloud.url) as ops:
            our_life(ops, "first")
            first = cloud.calls()
            for number in range(3):
                our_life(ops, f"vm-{number}")
            before = cloud.calls()
            our_life(ops, "known")
        thread.join()
        print(
            f"life, operations of 10 s: {cloud.calls() - before} calls once durations are known"
            f" ({first} the first time), boto3 {other.calls()}"
        )


def at_once(*, journal: bool, rounds: int = 12) -> None:
    """CPU where operations take no time, beside boto3 in turn."""
    with (
        server() as cloud,
        server() as other,
        ours(cloud.url, journal=journal, tick=0.001) as ops,
    ):
        ec2 = raw_client(other.url)
        our_life(ops, "warm"), raw_life(ec2)
        cloud.reset(), other.reset()
        raw, own = [], []
        for number in range(rounds):
            raw.append(cpu_of(lambda: raw_life(ec2)))
            own.append(cpu_of(lambda number=number: our_life(ops, f"vm-{number}")))
        ratio = statistics.median(a / b for a, b in zip(own, raw, strict=True))
        print(
            f"life, operations of 0 s, {'with' if journal else 'without'} a journal:"
            f" CPU {1000 * statistics.median(own):.1f} ms and"
            f" boto3 {1000 * statistics.median(raw):.1f} ms: ratio {ratio:.2f} (target 1.3);"
            f" calls {cloud.calls() / rounds:.1f} and {other.calls() / rounds:.1f}"
        )


def thousand(count: int = 1000) -> None:
    """Many VMs under the published limits."""
    options = ("--limits", "--delay", "20", "--jitter", "20", "--rtt", "0.03", "--seed", "7")
    with server(*options) as cloud, ours(cloud.url) as ops:
        connecting = cpu_of(ops.list_vms)  # imports, the session, the account
        cloud.reset()
        names = [{"vmName": f"vm-{i}"} for i in range(count)]
        began, cpu, threads = time.time(), time.process_time(), 0
        pending = [result for _, _, result in ops.run_many("provision", names)]
        asked, cpu_asked = time.time() - began, time.process_time() - cpu
        running = 0
        for _, status, result in ops.wait_many(pending):
            assert status.is_succeeded(), result.error
            running += 1
            threads = max(threads, threading.active_count())
        took, cpu = time.time(), time.process_time() - cpu
        stats = cloud.stats()
    named = stats["calls"].get("CreateTags", 0)
    total = sum(stats["calls"].values()) - named
    print(
        f"thousand: {running} of {count} running after {took - began:.1f} s (asked for in"
        f" {asked:.1f} s), {took - stats['last_running']:.1f} s after the last one was (target 2);"
        f" {total} calls (target 60) and {named} names, {sum(stats['refused'].values())} refused;"
        f" CPU {cpu:.2f} s (target 3; {cpu_asked:.2f} s of it to ask; {connecting:.2f} s"
        f" before, to connect), {threads} threads;"
        f" {stats['calls']}"
    )
    raw_many(200)


def raw_many(count: int) -> None:
    """The same with boto3, a thread and a waiter for each VM."""
    options = ("--limits", "--delay", "20", "--jitter", "20", "--rtt", "0.03", "--seed", "7")
    with server(*options) as cloud:
        ec2, running = raw_client(cloud.url), []

        def one() -> None:
            from botocore.exceptions import BotoCoreError, ClientError

            try:
                answer = ec2.run_instances(
                    ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=1
                )
                ids = [answer["Instances"][0]["InstanceId"]]
                ec2.get_waiter("instance_running").wait(InstanceIds=ids)
                running.append(ids)
            except (BotoCoreError, ClientError):
                pass

        cpu = time.process_time()
        threads = [threading.Thread(target=one) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cpu = time.process_time() - cpu
        stats = cloud.stats()
    calls, refused = sum(stats["calls"].values()), sum(stats["refused"].values())
    print(
        f"boto3, a thread each: {len(running)} of {count} running; {calls} calls,"
        f" {refused} refused; CPU {cpu:.2f} s"
    )


def lag() -> None:
    """How late an end is seen, with time ten times as fast."""
    fast = 10.0
    for seconds in (10, 37, 61):
        real = seconds / fast
        with server("--delay", f"{real}") as cloud, server("--delay", f"{real}") as other:
            ec2 = raw_client(other.url)
            raw: list[float] = []
            thread = threading.Thread(target=raw_lags, args=(ec2, real, fast, raw))
            thread.start()
            with ours(cloud.url, tick=1 / fast) as ops:
                for number in range(4):  # what is learned
                    our_lags(ops, real, f"known-{number}")
                cloud.reset()
                late = [x for n in range(4) for x in our_lags(ops, real, f"vm-{n}")]
                calls = cloud.calls() / 4
            thread.join()
            print(
                f"lag, {seconds} s: {statistics.median(late) * fast:.2f} s late (target 1),"
                f" {calls:.1f} calls for a provision, a stop and a deprovision;"
                f" boto3 {statistics.median(raw) * fast:.2f} s late, {other.calls():.1f} calls"
            )


def raw_lags(ec2: Any, real: float, fast: float, found: list[float]) -> None:
    """The same with boto3's waiters."""
    waiter = {"Delay": 15 / fast, "MaxAttempts": 40}
    began = time.time()
    answer = ec2.run_instances(ImageId=IMAGE, InstanceType="t3.micro", MinCount=1, MaxCount=1)
    ids = [answer["Instances"][0]["InstanceId"]]
    for verb, goal in (
        (None, "instance_running"),
        (ec2.stop_instances, "instance_stopped"),
        (ec2.terminate_instances, "instance_terminated"),
    ):
        if verb is not None:
            began = time.time()
            verb(InstanceIds=ids)
        ec2.get_waiter(goal).wait(InstanceIds=ids, WaiterConfig=waiter)
        found.append(time.time() - began - real)


def main() -> None:
    """What was asked for, each with credentials that open nothing."""
    os.environ.update(
        AWS_ACCESS_KEY_ID="testing", AWS_SECRET_ACCESS_KEY="testing", AWS_EC2_METADATA_DISABLED="1"
    )
    for name in sys.argv[1:] or ("life", "thousand", "lag"):
        {"life": life, "thousand": thousand, "lag": lag}[name]()


if __name__ == "__main__":
    main()
