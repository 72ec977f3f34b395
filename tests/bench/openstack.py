"""What the libcloud backend costs beside libcloud itself, on a real Nova.

Usage: `openstack.py [life] [many]`; both by default, about two minutes. Nova must be there, as
`./dev test` leaves it. Calls are those that Nova has counted, sign-ins among them.

- life: one VM made, stopped, started, restarted and deleted, each waited for. libcloud waits for a
  new VM by its own `wait_until_running`; for all else it has nothing, so that a VM is read once a
  second, as is done by hand.
- many: VMs made at once; with libcloud alone, a thread and a driver for each.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _lives import cpu_of, our_life

from vmops import VMOps

sys.path.insert(0, str(Path(__file__).parents[1] / "clouds"))

SECONDS = 3.0
"""What it takes until a VM runs."""


@contextmanager
def nova() -> Iterator[Any]:
    """OpenStack in a process of its own, where its own tools find it."""
    from nova_cloud import NovaCloud

    with NovaCloud(spawn_seconds=SECONDS, instances=1000) as cloud:
        os.environ.update(cloud.environment())
        yield cloud


def ours(cloud: Any, **config: Any) -> VMOps:
    """VMOps over it, with a journal of its own."""
    where = {"backend": "libcloud", "provider": "openstack", "stopMode": "keep"}
    what = {"vmSize": cloud.size, "image": cloud.image}
    place = Path(tempfile.mkdtemp()) / "state" / "journal.db"
    return VMOps({**where, **what, **config}, journal=place)


class Raw:
    """libcloud's driver, and the waiting that is left to its users."""

    def __init__(self, cloud: Any) -> None:
        from libcloud.compute.providers import get_driver

        self.driver: Any = get_driver("openstack")(
            cloud.user,
            cloud.password,
            ex_force_auth_url=cloud.endpoint,
            ex_force_auth_version="3.x_password",
            ex_tenant_name=cloud.project,
            ex_force_service_name="nova",
            ex_force_service_region=cloud.region,
        )
        self.size = next(one for one in self.driver.list_sizes() if one.name == cloud.size)
        self.image = next(one for one in self.driver.list_images() if one.name == cloud.image)

    def create(self, name: str) -> Any:
        """A VM that runs."""
        node = self.driver.create_node(name=name, size=self.size, image=self.image)
        ((node, _),) = self.driver.wait_until_running(
            [node], wait_period=1, ssh_interface="private_ips"
        )
        return node

    def until(self, node: Any, wanted: Callable[[Any], bool]) -> None:
        """Read it once a second until it is as wanted."""
        from libcloud.common.exceptions import BaseHTTPError

        while True:
            time.sleep(1)
            try:
                seen = self.driver.ex_get_node_details(node.id)
            except BaseHTTPError:
                seen = None
            if wanted(seen):
                return

    def life(self, name: str) -> None:
        """The same life."""
        node = self.create(name)
        self.driver.stop_node(node)
        self.until(node, lambda seen: seen.state == "stopped")
        for method in (self.driver.start_node, self.driver.ex_soft_reboot_node):
            method(node)
            self.until(node, lambda seen: seen.state == "running")
        self.driver.destroy_node(node)
        self.until(node, lambda seen: seen is None)


def life(rounds: int = 5) -> None:
    """Calls and CPU of one life."""
    with nova() as cloud, ours(cloud) as ops:
        raw = Raw(cloud)
        our_life(ops, "warm")
        raw.life("raw-warm")
        cpus: dict[str, list[float]] = {"own": [], "libcloud": []}
        took, counts = Counter[str](), Counter[str]()
        for number in range(rounds):
            for who, one in (("own", lambda n: our_life(ops, n)), ("libcloud", raw.life)):
                before, began = len(cloud.calls()), time.monotonic()
                cpus[who].append(cpu_of(lambda n=f"{who}-{number}", one=one: one(n)))  # type: ignore[misc]
                took[who] += time.monotonic() - began  # type: ignore[assignment]
                counts[who] += len(cloud.calls()) - before
    ratio = statistics.median(a / b for a, b in zip(cpus["own"], cpus["libcloud"], strict=True))
    print(
        f"life, made in {SECONDS:g} s: {counts['own'] / rounds:.1f} calls in"
        f" {took['own'] / rounds:.1f} s, libcloud {counts['libcloud'] / rounds:.1f} calls in"
        f" {took['libcloud'] / rounds:.1f} s; CPU {1000 * statistics.median(cpus['own']):.0f} ms"
        f" and {1000 * statistics.median(cpus['libcloud']):.0f} ms: ratio {ratio:.2f}"
    )


def many(count: int = 12) -> None:
    """Many VMs at once."""
    with nova() as cloud, ours(cloud) as ops:
        names = [{"vmName": f"vm-{i}", "pollTimeout": 600} for i in range(count)]
        began, cpu, threads = time.monotonic(), time.process_time(), 0
        pending = [result for _, _, result in ops.run_many("provision", names)]
        for _, status, result in ops.wait_many(pending):
            assert status.is_succeeded(), result.error
            threads = max(threads, threading.active_count())
        told(f"many, {count} VMs", cloud, began, cpu, f"{threads} threads")
    with nova() as cloud:
        began, cpu = time.monotonic(), time.process_time()

        def one(name: str) -> None:
            Raw(cloud).create(name)

        makers = [threading.Thread(target=one, args=(f"raw-{i}",)) for i in range(count)]
        for thread in makers:
            thread.start()
        for thread in makers:
            thread.join()
        told("libcloud, a thread each", cloud, began, cpu, f"{count} threads")


def told(what: str, cloud: Any, began: float, cpu: float, more: str) -> None:
    """Say how long it took, and what it asked."""
    took, cpu = time.monotonic() - began, time.process_time() - cpu
    kinds = Counter(call["action"] for call in cloud.calls())
    running = sum(one["status"] == "ACTIVE" for one in cloud.servers())
    print(
        f"{what}: {running} running after {took:.1f} s; {kinds.total()} calls"
        f" ({dict(kinds.most_common(4))}); CPU {cpu:.1f} s; {more}"
    )


def main() -> None:
    """What was asked for."""
    warnings.simplefilter("ignore")  # libcloud's own
    for name in sys.argv[1:] or ("life", "many"):
        {"life": life, "many": many}[name]()


if __name__ == "__main__":
    main()
