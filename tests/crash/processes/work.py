"""What the processes of these tests do: they are forked from one that has imported everything."""

from __future__ import annotations

import ctypes
import logging
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from processes.scene import Audit, Scene, audit, later, made
from vmops import Status, VMOps
from vmops.durable_journal import DurableJournal
from vmops.errors import JournalError, VMOpsError
from vmops.vm import State

VM: Final = {"vmName": "web-1"}
_LATER: Final = 600.0
_TIMEOUT: Final = {"pollTimeout": 60}


def waited(ops: VMOps, answer: tuple[Any, Any]) -> tuple[Any, Any]:
    """A verb's answer, waited for if need be."""
    status, result = answer
    if status is Status.PENDING:
        return ops.wait_vm_operation({**result, **_TIMEOUT})
    return status, result


def _restart(ops: VMOps, **params: str) -> tuple[Any, Any]:
    return waited(ops, ops.vm_restart({**VM, **params}))


def _reap_later(ops: VMOps) -> list[Any]:
    with later(_LATER):
        return ops.reap(yes=True)


def _provision_three(ops: VMOps) -> tuple[Any, Any]:
    first, *_ = ops.run_many("provision", [{"vmName": f"web-{i}"} for i in range(3)])
    return first[1:]


ACTS: Final[Mapping[str, Callable[[VMOps], tuple[Any, Any]]]] = {
    "provision": lambda ops: ops.vm_provision(VM),
    "provision and wait": lambda ops: waited(ops, ops.vm_provision(VM)),
    "provision three": _provision_three,
    "provision for a minute": lambda ops: waited(ops, ops.vm_provision({**VM, "ttl": 60})),
    "deprovision": lambda ops: ops.vm_deprovision(VM),
    "deprovision and wait": lambda ops: waited(ops, ops.vm_deprovision(VM)),
    "stop": lambda ops: waited(ops, ops.vm_stop(VM)),
    "start": lambda ops: waited(ops, ops.vm_start(VM)),
    "restart": _restart,
    "power cycle": lambda ops: _restart(ops, restartMode="power-cycle"),
    "renew": lambda ops: ops.renew({**VM, "ttl": 100_000}),
    "open a new journal": lambda ops: ops.vm_provision(VM),
    "recover": lambda ops: (Status.SUCCEEDED, {"recovered": ops.recover()}),
    "reap": lambda ops: (Status.SUCCEEDED, {"reaped": _reap_later(ops)}),
}
"""Every verb, by what a test calls it."""

_UP: Final = frozenset({State.RUNNING, State.STARTING})
_GONE: Final = frozenset({State.ABSENT})
GOALS: Final[Mapping[str, frozenset[State]]] = {
    "provision": _UP,
    "provision and wait": _UP,
    "open a new journal": _UP,
    "deprovision": _GONE,
    "deprovision and wait": _GONE,
    "recover": _GONE,
    "reap": _GONE,
    "stop": frozenset({State.STOPPED}),
    "start": _UP,
}
"""What a verb that was killed and then repeated has to come to."""

BEFORE: Final[Mapping[str, tuple[str, ...]]] = {
    "deprovision": ("provision and wait",),
    "deprovision and wait": ("provision and wait",),
    "stop": ("provision and wait",),
    "start": ("provision and wait", "stop"),
    "restart": ("provision and wait",),
    "power cycle": ("provision and wait",),
    "renew": ("provision and wait",),
    "recover": ("provision and wait", "deprovision"),
    "reap": ("provision for a minute",),
}
"""What has to have happened before."""


def prepare(pipe: Connection, scene: Scene, verb: str) -> None:
    """Bring the scene to where the verb can be tried."""
    with scene.open() as ops:
        for earlier in BEFORE.get(verb, ()):
            status, result = ACTS[earlier](ops)
            assert status in {Status.SUCCEEDED, Status.PENDING}, (earlier, result.error)
    pipe.send("prepared")


def act(pipe: Connection, scene: Scene, verb: str) -> None:
    """Carry out a verb, once whoever wants to trace this process does so."""
    ctypes.CDLL(None).prctl(0x59616D61, -1, 0, 0, 0)  # PR_SET_PTRACER: anyone of ours may
    if verb == "open a new journal":
        _go(pipe)
    try:
        with scene.open() as ops:
            ops.registry.load(scene.backend)
            if verb != "open a new journal":
                _go(pipe)
            status, result = ACTS[verb](ops)
            error = getattr(result, "error", None)
            pipe.send((status.name, type(error).__name__ if error else "", str(error or "")))
    except JournalError as exc:
        pipe.send(("RAISED", "JournalError", str(exc)))


def _go(pipe: Connection) -> None:
    pipe.send("ready")
    pipe.recv()


def die_after_the_call(_: Connection, scene: Scene, verb: str) -> None:
    """Carry out a verb, and die before its answer is written down."""

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    DurableJournal.accepted = die  # type: ignore[method-assign]
    with scene.open() as ops:
        ACTS[verb](ops)


def recover(pipe: Connection, scene: Scene, verb: str, repeat: bool) -> None:
    """Recover as a new process would when leases are over, or repeat the verb; then look."""
    with scene.open() as ops:
        said = ""
        if repeat:
            status, result = ACTS[verb](ops)
            said = "" if status.is_good() or verb not in GOALS else f"{status}: {result.error!r}"
        found = settle(scene, ops)
        goal = GOALS.get(verb) if repeat else None
        if goal is not None and not said:
            state = ops.describe(VM).state
            said = "" if state in goal else f"the VM is {state}"
        pipe.send(replace(found, refused=said))


def settle(scene: Scene, ops: VMOps) -> Audit:
    """Recover until nothing is unfinished, reap, and look at what there is."""
    for turn in range(1, 12):
        with later(2 * _LATER * turn):
            left = [item for item in ops.recover() if item.until or item.error or item.url]
            reaped = ops.reap(yes=True)
            if not (left or reaped):
                return audit(scene, ops)
        time.sleep(0.02 if scene.backend == "sim" else 0.5)
    return audit(scene, ops)


def look(pipe: Connection, scene: Scene) -> None:
    """Settle what a storm left, over a cloud that loses no answers any more."""
    calm = replace(scene, settings={k: v for k, v in scene.settings.items() if k != "lostAnswers"})
    with calm.open() as ops:
        pipe.send((settle(calm, ops), made(calm)))


def storm(scene: Scene, names: int, seed: int) -> None:
    """Provision, use and delete VMs of a few names for ever, side by side with others."""
    source = random.Random(seed)
    logging.disable()  # refusals are everyday life here
    with scene.open() as ops:
        while True:
            params = {"vmName": f"vm-{source.randrange(names)}"}
            choice = source.random()
            if choice < 0.05:
                ops.recover()
            elif choice < 0.08:
                with suppress(VMOpsError):  # the listing may be lost, too
                    ops.reap(yes=True)
            elif choice < 0.55:
                _try(ops, ops.vm_provision, params, source)
            elif choice < 0.75:
                _try(
                    ops, source.choice([ops.vm_stop, ops.vm_start, ops.vm_restart]), params, source
                )
            else:
                _try(ops, ops.vm_deprovision, params, source)


def _try(ops: VMOps, verb: Any, params: dict[str, Any], source: random.Random) -> None:
    status, result = verb(params)
    if status is Status.PENDING and source.random() < 0.7:
        ops.wait_vm_operation({**result, "pollTimeout": 5})


def _warm_up() -> None:
    """Import whatever is imported late, so that no traced process has to."""
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder), settings={"pollTimeout": 5})
        with scene.open() as ops:
            for verb in ("provision and wait", "power cycle", "stop", "start", "renew"):
                ACTS[verb](ops)
            ACTS["deprovision and wait"](ops)
            settle(scene, ops)
            ops.registry.load("local")


if os.environ.get("VMOPS_CRASH_TESTS"):  # set for the process that all others are forked from
    _warm_up()
