"""What the journal costs: durable writes against a bare fdatasync loop, 16 writers, 50,000 VMs.

Targets: at least half as many fsynced intents as a loop that only appends and calls fdatasync does
in the same run; the 99th percentile of a write under 500 ms with 16 writers; the rows that recovery
has to look at found in under 50 ms, and under 300 MB on disk, with 50,000 VMs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vmops.durable_journal import DurableJournal
from vmops.records import Intent, Place, Row
from vmops.store import SqlStore

SECONDS = 4.0
WRITERS = 16
VMS = 50_000
PLACE = Place("sim", "account", {"region": "here"})


def intents(journal: DurableJournal, name: str, seconds: float) -> list[float]:
    """The seconds that each of a row of durable intents took."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        uid = PLACE.uid(f"{name}-{len(took)}")
        intent = Intent(Row(uid), uid[-40:], digest="d" * 64, place=PLACE.to_text())
        began = time.perf_counter()
        journal.intend_creates([intent], time.time(), together=False)
        took.append(time.perf_counter() - began)
    return took


def bare(folder: Path, seconds: float) -> int:
    """How often as many bytes as an intent's pages can be appended and synced."""
    descriptor = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT, 0o600)
    page = b"x" * 4096
    count = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        os.write(descriptor, page)
        os.fdatasync(descriptor)
        count += 1
    os.close(descriptor)
    return count


def throughput(folder: Path) -> None:
    """One writer against the bare loop, in turns so that both meet the same disk."""
    journal = DurableJournal(SqlStore(folder / "one.db"))
    ours = theirs = 0
    for turn in range(4):
        theirs += bare(folder, SECONDS / 4)
        ours += len(intents(journal, f"t{turn}", SECONDS / 4))
    began = time.perf_counter()
    batch = [Intent(Row(PLACE.uid(f"b-{n}")), f"b-{n}", digest="d") for n in range(1000)]
    journal.intend_creates(batch, time.time(), together=True)
    bulk = len(batch) / (time.perf_counter() - began)
    journal.close()
    print(
        f"one writer: {ours / SECONDS:.0f} fsynced intents a second, bare fdatasync"
        f" {theirs / SECONDS:.0f}: ratio {ours / theirs:.2f} (target 0.5);"
        f" {len(batch):,} in one call: {bulk:.0f} a second, ratio {bulk * SECONDS / theirs:.2f}"
    )


def writers(folder: Path) -> None:
    """Sixteen processes on one file."""
    file = folder / "many.db"
    DurableJournal(SqlStore(file)).close()
    command = [sys.executable, __file__, str(file)]
    crowd = [
        subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(WRITERS)
    ]
    took = sorted(float(line) for one in crowd for line in one.communicate()[0].split())
    p99 = took[int(len(took) * 0.99)] * 1000
    print(
        f"{WRITERS} writers: {len(took) / SECONDS:.0f} intents a second, median"
        f" {statistics.median(took) * 1000:.0f} ms, p99 {p99:.0f} ms (target 500),"
        f" slowest {took[-1] * 1000:.0f} ms"
    )


def fleet(folder: Path) -> None:
    """A journal of 50,000 VMs, of which 500 are unfinished."""
    file = folder / "fleet.db"
    store = SqlStore(file)
    journal = DurableJournal(store)
    url = "vmops+sim://" + "x" * 200
    for start in range(0, VMS, 5_000):
        rows = [
            Row(
                uid=PLACE.uid(f"vm-{n}"),
                generation=0,
                state="INTENT" if n % 100 == 0 else "LIVE",
                token=f"{n:032x}",
                digest="d" * 64,
                vm=f"vm-{n}",
                vm_id=f"i-{n:016x}",
                url=url,
                sequence=n,
                place=PLACE.to_text(),
            )
            for n in range(start, start + 5_000)
        ]
        with store.writing() as tables:
            tables.put(rows)
    looks = []
    for _ in range(5):
        began = time.perf_counter()
        with store.reading() as tables:
            due = tables.unfinished(PLACE.to_text(), time.time())
        looks.append(time.perf_counter() - began)
    assert len(due) == VMS // 100
    began = time.perf_counter()
    claimed = journal.claim(PLACE.to_text(), time.time())
    took = time.perf_counter() - began
    journal.close()
    size = sum(f.stat().st_size for f in folder.glob("fleet.db*")) / 1e6
    print(
        f"{VMS:,} VMs: {len(due)} due rows in {statistics.median(looks) * 1000:.1f} ms"
        f" (target 50), claimed {len(claimed)} in {took * 1000:.0f} ms, {size:.0f} MB (target 300)"
    )


def main() -> None:
    """All three; as a writer, only its own part."""
    if len(sys.argv) > 1:
        journal = DurableJournal(SqlStore(sys.argv[1]))
        took = intents(journal, sys.argv[2], SECONDS)
        print(*took, sep="\n")
        return
    with tempfile.TemporaryDirectory(prefix="vmops-bench-", dir=Path.cwd()) as name:
        for measure in (throughput, writers, fleet):
            measure(Path(name))


if __name__ == "__main__":
    main()
