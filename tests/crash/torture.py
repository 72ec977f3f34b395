"""The long runs: every kill point, every disk fault, an hour's storm.

python tests/crash/torture.py kill-points [--backend sim local] [--verbs provision stop ...]
python tests/crash/torture.py storm --journal sqlite --seconds 3600
python tests/crash/torture.py storm --journal postgresql --seconds 3600
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from processes.points import Point, stage
from processes.postgres import postgres
from processes.scene import Audit, Scene
from processes.storm import rage
from processes.work import ACTS

ROUGH = {"lostAnswers": 0.1, "provisionSeconds": "0.2", "deprovisionSeconds": "0.1"}

_SKIPPED = {
    ("local", "power cycle"),  # its restart is one
    ("local", "provision three"),  # they leave by threads, which strace would have to follow
}


def main() -> int:
    """The exit code: 0 if nothing is wrong, else 1."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    points = commands.add_parser("kill-points", help="SIGKILL at every system call")
    points.add_argument("--backend", nargs="+", choices=["sim", "local"], default=["sim", "local"])
    points.add_argument("--verbs", nargs="+", choices=sorted(ACTS), default=sorted(ACTS))
    points.add_argument("--jobs", type=int, default=2)
    points.set_defaults(run=kill_points)
    raging = commands.add_parser("storm", help="random SIGKILL and SIGSTOP of many processes")
    raging.add_argument("--journal", choices=["sqlite", "postgresql"], default="sqlite")
    raging.add_argument("--seconds", type=float, default=3600)
    raging.add_argument("--workers", type=int, default=4)
    raging.add_argument("--seed", type=int, default=1)
    raging.set_defaults(run=raging_storm)
    options = parser.parse_args()
    return int(options.run(options))


def kill_points(options: argparse.Namespace) -> int:
    """Every system call of every verb, for each backend."""
    totals: Counter[str] = Counter()
    for backend in options.backend:
        for verb in options.verbs:
            if (backend, verb) not in _SKIPPED:
                with tempfile.TemporaryDirectory(prefix="vmops-crash-") as folder:
                    totals += _verb(Path(folder), verb, backend, options.jobs)
    print("all:", *(f"{what}: {count:,}" for what, count in totals.items()))
    return int(totals["wrong"] > 0)


def _verb(folder: Path, verb: str, backend: str, jobs: int) -> Counter[str]:
    began = time.monotonic()
    setting = stage(folder, verb, backend)
    points = setting.points()

    def kill(pair: tuple[int, Point]) -> tuple[Point, bool, Audit]:
        number, point = pair
        return point, *setting.kill_at(point, repeat=number % 2 == 1)

    totals = Counter(points=0, killed=0, wrong=0)
    with ThreadPoolExecutor(jobs) as pool:
        for point, killed, found in pool.map(kill, enumerate(points)):
            totals.update(points=1, killed=int(killed), wrong=int(not (killed and found.clean)))
            if not (killed and found.clean):
                print(f"{backend}: {point}: killed: {killed}, {found}", flush=True)
    counts = ", ".join(f"{what}: {count}" for what, count in totals.items())
    print(f"{backend} {verb}: {counts} ({time.monotonic() - began:.0f} s)", flush=True)
    return totals


def raging_storm(options: argparse.Namespace) -> int:
    """One storm."""
    server = postgres() if options.journal == "postgresql" else nullcontext()
    with tempfile.TemporaryDirectory(prefix="vmops-crash-") as folder, server as database:
        scene = Scene(
            Path(folder), database=database.url if database else "", lease=1.0, settings=ROUGH
        )
        ended = rage(scene, seconds=options.seconds, workers=options.workers, seed=options.seed)
    told = ended.audit
    print(
        f"{options.journal}: {options.seconds:g} s, {options.workers} workers,"
        f" {ended.kills:,} kills, {ended.pauses:,} pauses, broken: {ended.broken},"
        f" leaked: {told.leaked}, lost: {told.lost}, stuck: {told.stuck},"
        f" duplicated: {told.duplicated}, corrupt: {told.corrupt or 'no'}"
    )
    if not told.clean:
        print(told.told)
    return int(not told.clean or ended.broken > 0)


if __name__ == "__main__":
    sys.exit(main())
