"""What the core itself costs: CPU per verb on a backend that answers at once.

Target: dispatching a verb without a journal under 25 microseconds of our own CPU. With the SQLite
journal: one fsynced commit per create or delete (one per batch), none for start and stop.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from vmops import (
    VM,
    Action,
    Backend,
    Handle,
    Params,
    Ref,
    Settings,
    State,
    StopMode,
    Target,
    VMOps,
    hookimpl,
)
from vmops.plugins import Registry
from vmops.store import SqlStore

ROUNDS, CALLS = 7, 2000


class Here(Settings):
    """Nowhere in particular."""


class Anything(Params):
    """Nothing in particular."""


class Instant(Backend[Here, Anything]):
    """Answers at once: all VMs are stopped, all calls are accepted."""

    name = "instant"
    horizon = 0.0
    state = State.STOPPED

    def account(self) -> str:
        """The one account."""
        return "bench"

    def describe(self, refs: Sequence[Ref] | None) -> Iterable[VM]:
        """All in the same state."""
        return [VM(ref.name, self.state, id=ref.name) for ref in refs or ()]

    def provision(self, vm: Target[Anything], token: str) -> Handle:
        """Accepted."""
        return {}

    def start(self, vm: Target[Anything], token: str) -> Handle:
        """Accepted."""
        return {}

    def stop(self, vm: Target[Anything], token: str, mode: StopMode) -> Handle:
        """Accepted."""
        return {}

    restart = deprovision = start


class Plugin:
    """Provides it."""

    @hookimpl
    def vmops_backend(self) -> type[Instant]:
        """The backend."""
        return Instant


def microseconds(call: Callable[[], object]) -> float:
    """The least CPU microseconds of one call, of several rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(CALLS):
            call()
        best = min(best, (time.process_time() - began) / CALLS * 1e6)
    return best


def main() -> None:
    """Print microseconds per verb, layer by layer, and commits per verb."""
    registry = Registry(entry_points=[])
    registry.register(Plugin(), "instant")
    params = {"vmName": "bench-1", "backend": "instant"}
    with VMOps(registry=registry, journal=None) as ops:
        ops.vm_start(params)
        dispatcher = ops._dispatcher
        bound = dispatcher.bind(params)
        backend = Instant(Here())
        target = Target(VM("bench-1", State.STOPPED), Anything())

        def by_hand() -> None:
            list(backend.describe([Ref("bench-1")]))
            backend.start(target, "token")

        own = microseconds(by_hand)
        submit = microseconds(lambda: list(dispatcher.submit(Action.START, [bound])))
        bind = microseconds(lambda: dispatcher.bind(params))
        whole = microseconds(lambda: ops.vm_start(params))
    print(f"the backend alone (describe + start)  {own:7.1f} us")
    print(f"dispatch: look, decide, call          {submit - own:7.1f} us of ours (target < 25)")
    print(f"binding the params dict (pydantic)    {bind:7.1f} us")
    print(f"vm_start in all, with result and URL  {whole:7.1f} us")
    with tempfile.TemporaryDirectory() as folder:
        count_commits(registry, Path(folder) / "state" / "journal.db")


def count_commits(registry: Registry, place: Path) -> None:
    """Print how many fsynced commits each verb costs."""
    durable: list[bool] = []
    original = SqlStore.writing

    def writing(self: SqlStore, *, durable: bool = False) -> object:
        counted.append(durable)
        return original(self, durable=durable)

    counted = durable
    SqlStore.writing = writing  # type: ignore[method-assign, assignment]
    with VMOps(registry=registry, journal=place) as ops:
        ops.vm_start({"vmName": "warm-up", "backend": "instant"})
        for verb, state in (
            ("provision", State.ABSENT),
            ("start", State.STOPPED),
            ("stop", State.RUNNING),
            ("deprovision", State.STOPPED),
        ):
            for count in (1, 100):
                Instant.state = state
                durable.clear()
                common = {"backend": "instant", "deleteUnowned": True}
                names = [f"{verb}-{count}-{i}" for i in range(count)]
                list(ops.run_many(verb, [{**common, "vmName": name} for name in names]))
                fsynced, plain = durable.count(True), durable.count(False)
                print(f"{verb:12} x {count:3}: {fsynced} fsynced commits, {plain} others")
    SqlStore.writing = original  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
