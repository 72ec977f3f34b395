"""Simulate crashes by the million, or one seed with all that happens in it.

python tests/crash/simulate.py --crashes 1000000 --calls 10000000 --jobs 2
python tests/crash/simulate.py --cloud ec2 --seed 49 --trace
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

from simulator.audit import Report
from simulator.clouds import CLOUDS
from simulator.run import SCENARIOS, Plan, simulate

_SEEDS = 10  # in one piece of work


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 if nothing is wrong, else 1."""
    options = _options(arguments)
    if options.seed is not None:
        return _one(options)
    began = time.monotonic()
    totals = {cloud: Report(cloud) for cloud in options.cloud}
    for report in _reports(options, totals):
        totals[report.cloud].add(report)
    for report in totals.values():
        print(report.line())
    return _verdict(list(totals.values()), time.monotonic() - began)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    clouds = [cloud.name for cloud in CLOUDS]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--crashes", type=int, default=20_000, help="at least so many")
    parser.add_argument("--calls", type=int, default=0, help="at least so many, to the clouds")
    parser.add_argument("--jobs", type=int, default=1, help="processes that simulate")
    parser.add_argument("--cloud", choices=clouds, nargs="+", default=clouds)
    parser.add_argument("--scenario", choices=list(SCENARIOS), default="rough")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="one run of this seed only")
    parser.add_argument("--trace", action="store_true", help="print all that happens in that run")
    return parser.parse_args(arguments)


def _one(options: argparse.Namespace) -> int:
    reports = []
    for cloud in options.cloud:
        plan = Plan(cloud, options.seed, **SCENARIOS[options.scenario])
        reports.append(simulate(plan, print if options.trace else None))
        print(reports[-1].line())
    return _verdict(reports, 0.0)


def _reports(options: argparse.Namespace, totals: dict[str, Report]) -> Iterator[Report]:
    """Reports of pieces of work, as they end, until there are enough of them."""
    work = (
        (cloud, first, options.scenario)
        for first in itertools.count(options.first, _SEEDS)
        for cloud in options.cloud
    )
    with ProcessPoolExecutor(options.jobs) as pool:
        running: set[Future[Report]] = set()
        while True:
            crashes = sum(report.crashes for report in totals.values())
            calls = sum(report.calls for report in totals.values())
            enough = crashes >= options.crashes and calls >= options.calls
            while not enough and len(running) < 2 * options.jobs:
                running.add(pool.submit(_piece, *next(work)))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)


def _piece(cloud: str, first: int, scenario: str) -> Report:
    total = Report(cloud)
    for seed in range(first, first + _SEEDS):
        total.add(simulate(Plan(cloud, seed, **SCENARIOS[scenario])))
    return total


def _verdict(reports: Sequence[Report], seconds: float) -> int:
    for report in reports:
        for kind, found in report.findings.items():
            for what in found:
                print(f"{kind}: {report.cloud} {what}")
    wrong = sum(len(found) for report in reports for found in report.findings.values())
    crashes, calls = sum(r.crashes for r in reports), sum(r.calls for r in reports)
    told = f"{crashes:,} crashes, {calls:,} calls" + (f", {seconds:,.0f} s" if seconds else "")
    print(f"{told}: {f'{wrong} FINDINGS' if wrong else 'nothing is wrong'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
