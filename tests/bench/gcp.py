"""What the GCP backend costs beside the SDK's own pollers, on the emulator of GCE.

Usage: `gcp.py [life] [thousand] [lag] [first]`; all four by default, about seven minutes. Calls are
those that the emulator has counted. Targets:

- life: one VM's whole life, a restart in two phases included, takes at most 10 calls where
  operations are done at once; where they take 20 seconds, fewer than the SDK's pollers make;
- thousand: 1,000 VMs take at most 1,100 calls in all, with a median lag under 1 s and fewer than
  20 threads; the SDK's pollers, a thread each, in the same run, and without limits, since under
  them most of its creates are refused;
- lag: how late the ends of operations of 10, 37 and 61 s are seen. (Time runs ten times as fast.)
- first: seconds and memory that the first use of the backend takes, as it imports the SDK.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from _lives import cpu_of, our_lags, our_life

from vmops import VMOps

sys.path.insert(0, str(Path(__file__).parents[1] / "clouds"))

VERBS = ("create", "start", "stop", "reset", "delete")
IMAGE = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"


def emulator(**settings: Any) -> Any:
    """GCE, in a process of its own, whose tokens google-auth finds."""
    from gce_cloud import GceCloud

    return GceCloud(**{"validate_answers": False, **settings})


def ours(cloud: Any, *, journal: bool = True, **config: Any) -> VMOps:
    """VMOps over the emulator, with a journal of its own or none."""
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "NO_GCE_CHECK"):
        os.environ.pop(name, None)
    os.environ.update(cloud.environment())
    place = Path(tempfile.mkdtemp()) / "state" / "journal.db" if journal else None
    where = {"project": cloud.project, "zone": cloud.zone, "endpointUrl": cloud.endpoint}
    return VMOps({"backend": "gcp", **where, **config}, journal=place)


class Sdk:
    """The SDK's own clients and futures, led to the emulator."""

    def __init__(self, cloud: Any) -> None:
        self.place = {"project": cloud.project, "zone": cloud.zone}
        self.instances = cloud.client("InstancesClient")
        # else its futures ask Google's own host
        services = self.instances.transport._extended_operations_services
        services["zone_operations"] = cloud.client("ZoneOperationsClient")

    def create(self, name: str) -> None:
        """Insert the VM that the plugin makes, and wait."""
        from vmops import VM, State, Target
        from vmops_gcp import launch
        from vmops_gcp.settings import GcpParams, GcpSettings

        target = Target(VM(name, State.ABSENT), GcpParams(image=IMAGE))
        body = launch.request(target, GcpSettings(**self.place))
        self.instances.insert(instance_resource=body, **self.place).result()

    def life(self, name: str) -> None:
        """The same life, a restart being a stop and a start."""
        self.create(name)
        for verb in ("stop", "start", "stop", "start", "delete"):
            getattr(self.instances, verb)(instance=name, **self.place).result()


def calls(cloud: Any) -> list[dict[str, Any]]:
    """What the emulator was asked, tokens aside."""
    return [call for call in cloud.calls() if call["path"].startswith("/compute/")]


def life() -> None:
    """Calls of one life, and its CPU where operations are done at once."""
    at_once(journal=True)
    at_once(journal=False)
    speed, counts = 10.0, Counter[str]()
    with emulator(**dict.fromkeys(VERBS, 2.0), wait_limit=12.0) as cloud:
        with ours(cloud) as ops:
            for number in range(2):
                before = len(calls(cloud))
                our_life(ops, f"vm-{number}")
                counts["own"] = len(calls(cloud)) - before
        before = len(calls(cloud))
        Sdk(cloud).life("raw")
        counts["sdk"] = len(calls(cloud)) - before
    print(
        f"life, operations of 20 s ({speed:.0f} times as fast): {counts['own']} calls,"
        f" SDK {counts['sdk']} (at its usual pace it would be asked more often)"
    )


def at_once(*, journal: bool, rounds: int = 10) -> None:
    """Operations that are done in their answers, beside the SDK in turn."""
    with emulator(inline_done=True, **dict.fromkeys(VERBS, 0)) as cloud:
        raw, own, totals = [], [], Counter[str]()
        mode = {} if journal else {"restartMode": "reset"}  # two phases need a journal
        with ours(cloud, journal=journal, tick=0.001, **mode) as ops:
            sdk = Sdk(cloud)
            our_life(ops, "warm")
            sdk.life("warm")
            for number in range(rounds):
                before = len(calls(cloud))
                own.append(cpu_of(lambda n=number: our_life(ops, f"vm-{n}")))
                between = len(calls(cloud))
                raw.append(cpu_of(lambda n=number: sdk.life(f"raw-{n}")))
                totals["own"] += between - before
                totals["sdk"] += len(calls(cloud)) - between
    ratio = statistics.median(a / b for a, b in zip(own, raw, strict=True))
    print(
        f"life, operations done at once, {'with' if journal else 'without'} a journal:"
        f" calls {totals['own'] / rounds:.1f}, SDK {totals['sdk'] / rounds:.1f};"
        f" CPU {1000 * statistics.median(own):.1f} ms and"
        f" {1000 * statistics.median(raw):.1f} ms: ratio {ratio:.2f}"
    )


MANY = {"create": 30, "jitter": 10, "latency": 0.03, "rate_limits": 1.0}


def thousand(count: int = 1000) -> None:
    """Many VMs under the published limits."""
    with emulator(**MANY) as cloud, ours(cloud) as ops:
        names = [{"vmName": f"vm-{i}", "pollTimeout": 600} for i in range(count)]
        began, cpu, threads, running = time.time(), time.process_time(), 0, 0
        late = []
        pending = [result for _, _, result in ops.run_many("provision", names)]
        waited = time.time()
        for _, status, result in ops.wait_many(pending):
            assert status.is_succeeded(), result.error
            running += 1
            late.append((result["vmId"], time.time()))
            threads = max(threads, threading.active_count())
        took, cpu = time.time() - began, time.process_time() - cpu
        made, ends = calls(cloud), ended(cloud)
    lags = sorted(seen - max(ends[vm_id], waited) for vm_id, seen in late)
    print(
        f"thousand: {running} of {count} running after {took:.1f} s (asked for in"
        f" {waited - began:.1f} s); {told(made)} (target 1,100);"
        f" lag {lags[len(lags) // 2]:.2f} s in the median (target 1),"
        f" {lags[-1]:.2f} s at most; CPU {cpu:.1f} s, {threads} threads (target 20)"
    )
    sdk_many(count)
    sdk_many(count, rate_limits=0.0)


def ended(cloud: Any) -> dict[str, float]:
    """When the VMs' creates ended, by id."""
    from datetime import datetime

    found: dict[str, float] = {}
    token = ""
    while True:
        place = f"/compute/v1/projects/{cloud.project}/zones/{cloud.zone}/operations"
        page = cloud.call("GET", f"{place}?pageToken={token}" if token else place)[2]
        for one in page.get("items", ()):
            found[one["targetId"]] = datetime.fromisoformat(one["endTime"]).timestamp()
        token = page.get("nextPageToken", "")
        if not token:
            return found


def sdk_many(count: int, rate_limits: float = 1.0) -> None:
    """The same with the SDK's own futures, a thread each, as they come; without limits if 0."""
    with emulator(**{**MANY, "rate_limits": rate_limits}) as cloud:
        sdk, cpu, ends = Sdk(cloud), time.process_time(), Counter[str]()

        def one(name: str) -> None:
            from google.api_core.exceptions import GoogleAPICallError

            try:
                sdk.create(name)
                ends["running"] += 1
            except GoogleAPICallError as exc:
                ends[type(exc).__name__] += 1

        began = time.time()
        threads = [threading.Thread(target=one, args=(f"raw-{i}",)) for i in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took, cpu = time.time() - began, time.process_time() - cpu
        print(
            f"SDK futures, a thread each, {'under limits' if rate_limits else 'without limits'}:"
            f" {dict(ends)} after {took:.1f} s; {told(calls(cloud))}; CPU {cpu:.1f} s"
        )


def told(made: list[dict[str, Any]]) -> str:
    """Calls by what they asked, and refusals."""
    kinds = Counter(call["action"] for call in made)
    refused = sum(call["status"] == 403 for call in made)
    return f"{len(made)} calls ({dict(kinds.most_common(4))}), {refused} refused"


def lag() -> None:
    """How late an end is seen, with time ten times as fast."""
    fast = 10.0
    for seconds in (10, 37, 61):
        real = seconds / fast
        takes = dict.fromkeys(("create", "stop", "delete"), real)
        with emulator(**takes, wait_limit=12.0) as cloud, ours(cloud, tick=0.2 / fast) as ops:
            our_lags(ops, real, "first")
            before = len(calls(cloud))
            late = [x for n in range(4) for x in our_lags(ops, real, f"vm-{n}")]
            made = (len(calls(cloud)) - before) / 4
        print(
            f"lag, {seconds} s: {statistics.median(late) * fast:.2f} s late (target 1),"
            f" {made:.1f} calls for a provision, a stop and a deprovision"
        )


FIRST = """
import os, sys, time
def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
place = {"backend": "gcp", "project": "my-project", "zone": "europe-west1-b"}
began, before = time.process_time(), memory()
from vmops import VMOps
with VMOps(place, journal=None):
    bare, held = time.process_time() - began, memory()
    assert not [one for one in sys.modules if one.startswith("google.cloud")]
    import google.auth, google.cloud.compute_v1
    whole, most = time.process_time() - began, memory()
print(f"{bare:.2f} {held - before:.0f} {whole - bare:.2f} {most - held:.0f}")
"""


def first() -> None:
    """What importing costs, in processes of their own."""
    runs = [
        [float(x) for x in subprocess.check_output([sys.executable, "-c", FIRST]).split()]
        for _ in range(5)
    ]
    bare, held, sdk, more = (statistics.median(column) for column in zip(*runs, strict=True))
    print(
        f"first: vmops {bare:.2f} s of CPU and {held:.0f} MiB; the SDK, when the backend is first"
        f" used, {sdk:.2f} s and {more:.0f} MiB"
    )


def main() -> None:
    """What was asked for."""
    for name in sys.argv[1:] or ("life", "thousand", "lag", "first"):
        {"life": life, "thousand": thousand, "lag": lag, "first": first}[name]()


if __name__ == "__main__":
    main()
