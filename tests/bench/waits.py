"""What waiting costs: API calls, threads and memory for thousands of operations on `sim`.

Targets: 1,000 concurrent waits at most 10 polls where 10 ticks pass, no thread per wait in
`wait_many`; 5,000 waits under 20 threads and 150 MB. Time is virtual, so that calls can be counted.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time

from vmops import VMOps

TICK = 1.0
SECONDS = 10


def measure(count: int) -> None:
    """Wait for `count` creates that take ten ticks, and print what it cost."""
    config = {
        "backend": "sim",
        "clock": "virtual",
        "tick": TICK,
        "provisionSeconds": f"0.5-{SECONDS}",
        "world": f"bench-{count}",
    }
    with VMOps(config, journal=None) as ops:
        names = [{"vmName": f"n-{i}"} for i in range(count)]
        began = time.process_time()
        pending = [result for _, _, result in ops.run_many("provision", names)]
        submitted = time.process_time()
        (line,) = ops._dispatcher._lines.values()
        cloud = line.connection.backend.cloud  # type: ignore[attr-defined]
        before = cloud.calls()
        threads = 0
        for _, status, result in ops.wait_many(pending):
            assert status.is_succeeded(), result.error
            threads = max(threads, threading.active_count())
        after = cloud.calls()
        ended = time.process_time()
    polls = after["poll"] - before.get("poll", 0)
    looks = after["describe"] - before.get("describe", 0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:5} waits: {polls} polls and {looks} descriptions in {SECONDS} ticks,"
        f" {threads} threads, {peak:.0f} MB,"
        f" CPU {submitted - began:.2f} s to submit, {ended - submitted:.2f} s to wait"
    )


def main() -> None:
    """Each size in a process of its own, so that memory is its own."""
    if len(sys.argv) > 1:
        measure(int(sys.argv[1]))
        return
    for count in (1, 1000, 5000):
        subprocess.run([sys.executable, __file__, str(count)], check=True)


if __name__ == "__main__":
    main()
