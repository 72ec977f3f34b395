"""What the Azure backend costs beside the SDK's own pollers, on the emulator of ARM.

Usage: `azure.py [life] [thousand] [lag]`; all three by default, about six minutes. Calls are those
that the emulator has counted. Targets:

- life: one VM's whole life takes no more calls than azure-mgmt-compute with its pollers, both where
  operations take no time and where they take 20 seconds and ARM says `Retry-After: 10`;
- thousand: 1,000 VMs under the limits of ARM and Compute all run, none fails, and never more than
  25 reads leave within one second; the SDK's pollers, a thread each, in the same run;
- lag: how late the ends of operations of 10, 37 and 61 s are seen, once their durations are known.
  (Time runs ten times as fast here.)
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from _lives import cpu_of, our_lags, our_life

from vmops import VMOps

# this folder goes: this file's own name is that of the SDK's package
sys.path[0] = str(Path(__file__).parents[1] / "clouds")

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me"
OPTIONS = {"enforce_https": False}


def emulator(**settings: Any) -> Any:
    """ARM, in a process of its own."""
    from arm_cloud import ArmCloud

    return ArmCloud(**settings)


def ours(cloud: Any, *, journal: bool = True, **config: Any) -> VMOps:
    """VMOps over the emulator, with a journal of its own or none."""
    place = Path(tempfile.mkdtemp()) / "state" / "journal.db" if journal else None
    where = {
        "backend": "azure",
        "subscription": cloud.subscription,
        "endpointUrl": cloud.endpoint,
        "location": "westeurope",
        "sshPublicKey": KEY,
    }
    return VMOps({**where, **config}, journal=place)


def sdk_body(cloud: Any, name: str) -> dict[str, Any]:
    """The request of a VM as the plugin makes it."""
    from vmops import VM, State, Target
    from vmops_azure import images, launch
    from vmops_azure.settings import AzureParams

    group = f"/subscriptions/{cloud.subscription}/resourceGroups/vmops"
    subnet = f"{group}/providers/Microsoft.Network/virtualNetworks/vmops-westeurope/subnets/vms"
    image = images.resolved("ubuntu-24.04", "Standard_D2s_v5")
    params = AzureParams(location="westeurope", subnet=subnet, image=image, ssh_public_key=KEY)
    return launch.request(Target(VM(name, State.ABSENT), params))


def sdk_life(cloud: Any, client: Any, name: str, interval: float) -> None:
    """The same life with the SDK's pollers."""
    vms = client.virtual_machines
    waits = {"polling_interval": interval, **OPTIONS}
    vms.begin_create_or_update("vmops", name, sdk_body(cloud, name), **waits).result()
    for verb in (vms.begin_deallocate, vms.begin_start, vms.begin_restart, vms.begin_delete):
        verb("vmops", name, **waits).result()


def network(cloud: Any) -> None:
    """Our network, made before anything is counted."""
    with ours(cloud, tick=0.01) as ops:
        our_life(ops, "first")


def calls(cloud: Any) -> list[dict[str, Any]]:
    """What the emulator was asked, tokens aside."""
    return [call for call in cloud.calls() if call["path"].startswith("/subscriptions/")]


def life() -> None:
    """Calls of one life, and its CPU where operations take no time."""
    at_once(journal=True)
    at_once(journal=False)
    speed = 10.0
    seconds = dict.fromkeys(("create", "start", "deallocate", "restart", "delete"), 20)
    with emulator(
        speed=speed, retry_after=1, **{k: v / speed for k, v in seconds.items()}
    ) as cloud:
        _environment(cloud)
        network(cloud)
        counts: Counter[str] = Counter()
        client = cloud.client()
        with ours(cloud, tick=2 / speed) as ops:
            for number in range(4):
                before = len(calls(cloud))
                our_life(ops, f"vm-{number}")
                counts["first" if not number else "known"] = len(calls(cloud)) - before
        before = len(calls(cloud))
        sdk_life(cloud, client, "raw", 30 / speed)
        counts["sdk"] = len(calls(cloud)) - before
    print(
        f"life, operations of 20 s, Retry-After 10 (ten times as fast): {counts['known']} calls"
        f" once durations are known ({counts['first']} the first time), SDK {counts['sdk']}"
    )


def at_once(*, journal: bool, rounds: int = 10) -> None:
    """Operations that take no time, beside the SDK in turn."""
    none = dict.fromkeys(("create", "start", "deallocate", "restart", "delete", "network"), 0)
    with emulator(**none) as cloud:
        _environment(cloud)
        network(cloud)
        client, raw, own = cloud.client(), [], []
        totals: Counter[str] = Counter()
        with ours(cloud, journal=journal, tick=0.001) as ops:
            our_life(ops, "warm")
            sdk_life(cloud, client, "warm", 0)
            for number in range(rounds):
                before = len(calls(cloud))
                own.append(cpu_of(lambda n=number: our_life(ops, f"vm-{n}")))
                between = len(calls(cloud))
                raw.append(cpu_of(lambda n=number: sdk_life(cloud, client, f"raw-{n}", 0)))
                totals["own"] += between - before
                totals["sdk"] += len(calls(cloud)) - between
    ratio = statistics.median(a / b for a, b in zip(own, raw, strict=True))
    print(
        f"life, operations of 0 s, {'with' if journal else 'without'} a journal:"
        f" calls {totals['own'] / rounds:.1f}, SDK {totals['sdk'] / rounds:.1f};"
        f" CPU {1000 * statistics.median(own):.1f} ms and"
        f" {1000 * statistics.median(raw):.1f} ms: ratio {ratio:.2f}"
    )


LIMITED = {"rate_limits": 1.0, "create": 30, "jitter": 10, "page": 100, "latency": 0.03}


def thousand(count: int = 1000) -> None:
    """Many VMs under the published limits."""
    with emulator(**LIMITED) as cloud:
        _environment(cloud)
        with ours(cloud) as ops:
            ops.list_vms()
            names = [{"vmName": f"vm-{i}", "pollTimeout": 600} for i in range(count)]
            began, cpu, threads, running = time.time(), time.process_time(), 0, 0
            pending = [result for _, _, result in ops.run_many("provision", names)]
            asked = time.time() - began
            for _, status, result in ops.wait_many(pending):
                assert status.is_succeeded(), result.error
                running += 1
                threads = max(threads, threading.active_count())
            took, cpu = time.time() - began, time.process_time() - cpu
        print(
            f"thousand: {running} of {count} running after {took:.1f} s (asked for in {asked:.1f}"
            f" s); {told(calls(cloud))}; CPU {cpu:.1f} s, {threads} threads"
        )
    sdk_many(count)


def sdk_many(count: int) -> None:
    """The same with the SDK's own pollers, a thread each, as they come."""
    with emulator(**LIMITED) as cloud:
        _environment(cloud)
        network(cloud)
        cloud.settings(retry_after=10)
        before, client, cpu = len(calls(cloud)), cloud.client(), time.process_time()
        ended: Counter[str] = Counter()

        def one(name: str) -> None:
            from azure.core.exceptions import AzureError

            try:
                vms = client.virtual_machines
                body = sdk_body(cloud, name)
                vms.begin_create_or_update("vmops", name, body, **OPTIONS).result()
                ended["running"] += 1
            except AzureError as exc:
                ended[type(exc).__name__] += 1

        began = time.time()
        threads = [threading.Thread(target=one, args=(f"raw-{i}",)) for i in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took, cpu = time.time() - began, time.process_time() - cpu
        print(
            f"SDK pollers, a thread each: {dict(ended)} after {took:.1f} s;"
            f" {told(calls(cloud)[before:])}; CPU {cpu:.1f} s"
        )


def told(made: list[dict[str, Any]]) -> str:
    """Calls, refusals, and the busiest second of reads."""
    reads = sorted(call["time"] for call in made if call["method"] == "GET")
    busiest = max((_within(reads, at) for at in reads), default=0)
    lists = sorted(call["time"] for call in made if call["path"].endswith("/virtualMachines"))
    minute = max((_within(lists, at, 60.0) for at in lists), default=0)
    refused = sum(call["status"] == 429 for call in made)
    return (
        f"{len(made)} calls, {refused} refused; {len(reads)} reads, {busiest} in the busiest second"
        f" (limit 25); {len(lists)} lists of VMs, {minute} in the busiest minute (limit 300)"
    )


def _within(times: list[float], at: float, seconds: float = 1.0) -> int:
    return sum(at <= one < at + seconds for one in times)


def lag() -> None:
    """How late an end is seen, with time ten times as fast."""
    fast = 10.0
    for seconds in (10, 37, 61):
        real = seconds / fast
        with emulator(create=real, deallocate=real, delete=real) as cloud:
            _environment(cloud)
            network(cloud)
            with ours(cloud, tick=2 / fast) as ops:
                for number in range(4):  # what is learned
                    our_lags(ops, real, f"known-{number}")
                before = len(calls(cloud))
                late = [x for n in range(4) for x in our_lags(ops, real, f"vm-{n}")]
                made = (len(calls(cloud)) - before) / 4
        print(
            f"lag, {seconds} s: {statistics.median(late) * fast:.2f} s late (target 1),"
            f" {made:.1f} calls for a provision, a stop and a deprovision"
        )


def _environment(cloud: Any) -> None:
    for name in ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID"):
        os.environ.pop(name, None)
    os.environ.update(cloud.environment())


def main() -> None:
    """What was asked for."""
    for name in sys.argv[1:] or ("life", "thousand", "lag"):
        {"life": life, "thousand": thousand, "lag": lag}[name]()


if __name__ == "__main__":
    main()
