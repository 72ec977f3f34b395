"""One run: some processes, one journal, one cloud, one seed; then quiet, and the audit."""

from __future__ import annotations

import logging
import random
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from simulator.audit import Auditor, Report
from simulator.clouds import plugin_for
from simulator.faults import ROUGH, Fate, Faults, Script
from simulator.machines import Machine
from simulator.memory_store import Content, MemoryStore
from simulator.network import LATEST
from simulator.scheduler import EPOCH, Process, Scheduler, current
from simulator.workload import Client, Job, tidy
from simulator.world import World
from vmops import VMOps
from vmops.durable_journal import DurableJournal
from vmops.plugins import Registry

__all__ = ["SCENARIOS", "Plan", "Run", "simulate"]

_ROUNDS: Final = 4
_HOUR: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated.

    Args:
        cloud: `ec2`, `gce`, `arm` or `nova`.
        seed: All chance comes from it.
        processes: Programs that run at once.
        names: How many VMs they fight over.
        jobs: How many jobs each of them does.
        faults: What goes wrong how often, until the faults end.
        script: What goes wrong when, instead of by chance.
        seconds: Virtual seconds after which the faults end.
        latest: Seconds after which no request is under way any more.
        restored: Whether the journal is replaced by a backup in the middle of the run.
        excused: Kinds of findings that nothing could have prevented.
    """

    cloud: str
    seed: int
    processes: int = 4
    names: int = 5
    jobs: int = 15
    faults: Faults = ROUGH
    script: Script | None = None
    seconds: float = 6000.0
    latest: float = LATEST
    restored: bool = False
    excused: frozenset[str] = frozenset()


SCENARIOS: Final[Mapping[str, Mapping[str, Any]]] = {
    "rough": {},
    "jumps": {
        "faults": replace(ROUGH, jump=0.01),
        "excused": frozenset({"duplicated"}),  # a clock two hours off makes any horizon short
    },
    # what is under way for longer than any horizon makes duplicates that are counted apart
    "delayed": {"latest": 300.0},
    "restored": {
        "restored": True,
        # what the backup does not know of is left for a human to decide about
        "excused": frozenset({"believed", "duplicated", "leaked", "lost"}),
    },
}


def simulate(plan: Plan, trace: Callable[[str], None] | None = None) -> Report:
    """What one run comes to.

    Args:
        plan: What is simulated.
        trace: Told of everything that happens.
    """
    with _determined(plan.seed):
        return Run(plan, trace).report()


class Run:
    """One simulated run.

    Args:
        plan: What is simulated.
        trace: Told of everything that happens.
    """

    def __init__(self, plan: Plan, trace: Callable[[str], None] | None = None) -> None:
        self._plan = plan
        fate = Fate(random.Random(plan.seed), plan.faults, plan.script)
        self._scheduler = Scheduler(fate, trace)
        self.store = MemoryStore(self._scheduler)
        self._report = Report(plan.cloud, plan.seed)
        self._auditor = Auditor(
            self._report, self._scheduler, self.store, by_name=plan.cloud == "arm"
        )
        self.world = World(
            self._scheduler,
            self.store.sent.get,
            lambda *who: self.store.sent_by[who],
            self._deleting,
            self._auditor.made,
            plan.latest,
        )
        self._registry = Registry(policy="", entry_points=[])
        self._registry.register(plugin_for(plan.cloud, self.world), plan.cloud)
        self._running: set[Process] = set()

    def report(self) -> Report:
        """Run it all, and say what is wrong."""
        plan, scheduler = self._plan, self._scheduler
        rng, names = scheduler.fate.rng, [f"vm{n}" for n in range(plan.names)]
        for number in range(plan.processes):
            jobs = [Job.random(rng, names, batches=plan.cloud == "ec2") for _ in range(plan.jobs)]
            client = Client(jobs, self._open, self._auditor)
            self._start(f"p{number}", client.live, rng.uniform(0, 10))
        if plan.restored:
            self._restore_backup()
        self._until_ended(EPOCH + plan.seconds)
        scheduler.fate.be_calm()
        self._until_ended(scheduler.now + 8 * _HOUR)
        for number in range(_ROUNDS):
            self._start(f"tidy{number}", lambda process: tidy(self._open(), process), 0.0)
            scheduler.run(scheduler.now + _HOUR)
        self._auditor.finish(self.world)
        for process in self._running:
            self._report.find("stuck", f"process {process.name} never ends")
        for kind in plan.excused:
            self._report.findings.pop(kind, None)
        return self._sum_up()

    def _sum_up(self) -> Report:
        report, scheduler = self._report, self._scheduler
        report.crashes, report.pauses = scheduler.crashes, scheduler.pauses
        report.calls, report.vms = self.world.network.calls, len(self.world.machines.all)
        scheduler.close(self._running)
        return report

    def _until_ended(self, until: float) -> None:
        while self._running and self._scheduler.now < until:
            self._scheduler.run(min(self._scheduler.now + 300.0, until))

    def _open(self) -> VMOps:
        journal = DurableJournal(self.store)
        return VMOps({"backend": self._plan.cloud}, journal=journal, registry=self._registry)

    def _start(self, name: str, body: Callable[[Process], None], delay: float) -> None:
        def ended(process: Process, error: BaseException | None) -> None:
            self._running.discard(process)
            if error is not None:
                self._report.find("bug", f"process {name} ends with {error!r}")
                self._scheduler.tell(f"ends with {error!r}")
            elif process.killed:
                self._start(name, body, process.downtime())

        process = Process(self._scheduler, name, body, ended)
        self._running.add(process)
        self._scheduler.at(self._scheduler.now + delay, process.switch)

    def _deleting(self) -> Callable[[Machine], None]:
        activity, sent = current().activity, self._scheduler.now
        return lambda machine: self._auditor.deleted(machine, activity, sent, self.world.now)

    def _restore_backup(self) -> None:
        """Take a backup at some time, and put it back at a later one."""
        backup: list[Content] = []
        taken = self._scheduler.fate.rng.uniform(0.1, 0.5) * self._plan.seconds
        restored = taken + self._scheduler.fate.rng.uniform(0.05, 0.4) * self._plan.seconds

        def restore() -> None:
            self._scheduler.tell("the journal is restored from its backup")
            self.store.content = backup[0]
            for process in self._running:
                process.doomed = True  # it went down with the journal's disk

        self._scheduler.at(EPOCH + taken, lambda: backup.append(self.store.content.copy()))
        self._scheduler.at(EPOCH + restored, restore)


@contextmanager
def _determined(seed: int) -> Iterator[None]:
    """Take what vmops itself draws by chance from a seed, and let it keep its warnings."""
    state, token_hex, log = random.getstate(), secrets.token_hex, logging.getLogger("vmops")
    level = log.level
    random.seed(seed)
    secrets.token_hex = lambda nbytes=32: f"{random.getrandbits(8 * nbytes):0{2 * nbytes}x}"
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
        secrets.token_hex = token_hex
        random.setstate(state)
