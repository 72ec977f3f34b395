"""What a backend may offer beyond the verbs, and what the core makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from memory_cloud import MemoryCloud, MemoryError_, MemoryParams, World, plugin_for

from vmops import (
    VM,
    Action,
    Bucket,
    Fault,
    Handle,
    Limit,
    Operation,
    Ref,
    State,
    Status,
    StopMode,
    Succeeded,
    Target,
    VMOps,
)
from vmops.errors import CloudError, Conflict, InvalidRequest, NotFound
from vmops.plugins import Registry
from vmops.result import Result


class Fleet:
    """What makes a MemoryCloud take many VMs in one call: all of them, or an error for the call."""

    def __init__(self, world: World) -> None:
        self.sent: list[list[str]] = []
        self.named = True
        registry = Registry(entry_points=[])
        extras = {"stop_many": self._stop_many(), "explain": self._explain()}
        registry.register(plugin_for(world, **extras), "memory")
        self.registry = registry

    def _stop_many(self) -> Callable[..., list[Handle | CloudError]]:
        def many(
            backend: MemoryCloud, vms: Sequence[Target[MemoryParams]], token: str, mode: StopMode
        ) -> list[Handle | CloudError]:
            self.sent.append([vm.name for vm in vms])
            for vm in vms:
                if vm.name.startswith("bad"):
                    raise MemoryError_(f"Busy {vm.id}" if self.named else "Busy")
            return [backend.stop(vm, token, mode) for vm in vms]

        return many

    @staticmethod
    def _explain() -> Callable[..., Fault | None]:
        def explain(_: MemoryCloud, error: Exception) -> Fault | None:
            if not isinstance(error, MemoryError_):
                return None
            code, _, id_ = error.code.partition(" ")
            return Fault(code, "the cloud says so", vm_ids=frozenset({id_} - {""}), hint="try b")

        return explain


@pytest.fixture
def fleet(world: Any) -> Fleet:
    """A cloud that stops many VMs in one call."""
    return Fleet(world)


@pytest.fixture
def many(fleet: Fleet, journal: Path) -> Iterator[VMOps]:
    """VMOps over it."""
    with VMOps({"backend": "memory"}, journal=journal, registry=fleet.registry) as ops:
        yield ops


def run(ops: VMOps, verb: str, names: Iterable[str]) -> dict[str, tuple[Status, Result]]:
    """The answers to a verb on many VMs, each waited for."""
    params = [{"vmName": name} for name in names]
    answers: dict[str, tuple[Status, Result]] = {}
    for index, status, result in ops.run_many(verb, params):
        answers[params[index]["vmName"]] = (
            ops.wait_vm_operation(result) if status is Status.PENDING else (status, result)
        )
    return answers


@pytest.mark.parametrize(
    ("named", "calls"),
    [
        (True, [["a", "bad", "b", "c"], ["a", "b", "c"]]),
        (False, [["a", "bad", "b", "c"], ["a", "bad"], ["b", "c"], ["a"], ["bad"]]),
    ],
)
def test_one_that_spoils_a_call_is_left_out(
    many: VMOps, fleet: Fleet, named: bool, calls: list[list[str]]
) -> None:
    """The others are sent again, without the VM that the cloud names, or else in halves."""
    names = ["a", "bad", "b", "c"]
    run(many, "provision", names)
    fleet.named = named
    stopped = run(many, "stop", names)
    assert fleet.sent[: len(calls)] == calls
    assert {name: status for name, (status, _) in stopped.items()} == {
        "a": Status.SUCCEEDED,
        "bad": Status.FAILED,
        "b": Status.SUCCEEDED,
        "c": Status.SUCCEEDED,
    }
    error = stopped["bad"][1].error
    assert isinstance(error, Conflict)
    assert (error.vm_ids, error.hint) == (frozenset({"id-bad"} if named else ()), "try b")


def test_a_call_is_not_divided_for_ever(world: Any, journal: Path) -> None:
    """Where all are refused one by one, the rest is refused alike after some calls."""
    calls: list[int] = []

    def stop_many(_: MemoryCloud, vms: Sequence[Target[MemoryParams]], *__: Any) -> list[Handle]:
        calls.append(len(vms))
        raise MemoryError_("Busy")

    names = [f"n-{i}" for i in range(100)]
    with opened(world, journal, stop_many=stop_many) as ops:
        run(ops, "provision", names)
        world.clock.advance(5)
        calls.clear()
        stopped = run(ops, "stop", names)
    assert {status for status, _ in stopped.values()} == {Status.FAILED}
    assert len(calls) <= 2 * 2 * 32, "conflicts are looked at once more"


def opened(world: World, journal: Path, **extras: Any) -> VMOps:
    """VMOps over a cloud with such attributes."""
    registry = Registry(entry_points=[])
    registry.register(plugin_for(world, **extras), "memory")
    return VMOps({"backend": "memory"}, journal=journal, registry=registry)


def test_a_vm_that_is_not_known_yet_is_asked_for_again(world: Any, journal: Path) -> None:
    """Right after a create a verb may not find the VM: it is sent again, and ends well."""
    began = world.clock.now()
    with opened(world, journal) as ops:
        ops.vm_provision({"vmName": "a"})
        world.faults["deprovision"] = [MemoryError_("NotThere"), MemoryError_("NotThere")]
        status, pending = ops.vm_deprovision({"vmName": "a"})
        assert (status, world.calls["deprovision"]) == (Status.PENDING, 3)
        assert ops.wait_vm_operation(pending)[0] is Status.SUCCEEDED
    assert world.clock.now() - began >= 0.5 + 1.0
    assert world.alive() == []


def test_a_vm_that_stays_unknown_is_not_found(world: Any, journal: Path) -> None:
    """A verb that never finds its VM says so in the end."""
    with opened(world, journal) as ops:
        ops.wait_vm_operation(ops.vm_provision({"vmName": "a"})[1])
        world.faults["stop"] = [MemoryError_("NotThere")] * 5
        status, result = ops.vm_stop({"vmName": "a"})
    assert status is Status.FAILED
    assert isinstance(result.error, NotFound)
    assert world.calls["stop"] == 5


def test_choices_are_made_before_the_intent(world: Any, journal: Path) -> None:
    """What `resolve` returns is what is sent, and what a repeated create is compared by."""
    sizes = iter(["size-1", "size-2"])
    sent: list[str] = []

    def resolve(_: MemoryCloud, params: MemoryParams) -> MemoryParams:
        return params.model_copy(update={"vm_size": next(sizes)})

    def provision(backend: MemoryCloud, vm: Target[MemoryParams], token: str) -> Handle:
        sent.append(vm.params.vm_size)
        raise MemoryError_("ConnectionLost")

    with opened(world, journal, resolve=resolve, provision=provision) as ops:
        first = ops.vm_provision({"vmName": "a"})
        again = ops.vm_provision({"vmName": "a"})
    assert set(sent) == {"size-1"}, "an intent whose choices fall otherwise is not sent"
    assert first[0] is again[0] is Status.FAILED
    assert isinstance(again[1].error, Conflict)


def test_what_cannot_be_resolved_is_refused_before_the_intent(world: Any, journal: Path) -> None:
    """An unknown image is FAILED, and neither row nor VM is left."""

    def resolve(_: MemoryCloud, params: MemoryParams) -> MemoryParams:
        raise InvalidRequest("no such image")

    with opened(world, journal, resolve=resolve) as ops:
        status, result = ops.vm_provision({"vmName": "a"})
        assert status is Status.FAILED
        assert isinstance(result.error, InvalidRequest)
        assert not ops.recover()
    assert (world.calls["provision"], world.alive()) == (0, [])


def test_creates_are_divided_as_the_backend_says(world: Any, journal: Path) -> None:
    """Each part is one call with one token, and no part is larger than what may leave at once."""
    made: list[list[str]] = []

    def parts(_: MemoryCloud, names: Sequence[str], params: MemoryParams) -> list[list[str]]:
        assert params.vm_size == "small"
        return [[n for n in names if n < "c"], [n for n in names if n >= "c"]]

    def provision_many(
        backend: MemoryCloud, vms: Sequence[Target[MemoryParams]], token: str
    ) -> list[Handle]:
        made.append([vm.name for vm in vms])
        assert {vm.tags.token for vm in vms if vm.tags} == {token}
        return [backend.provision(vm, f"{token}-{vm.name}") for vm in vms]

    extras = {"provision_parts": parts, "provision_many": provision_many}
    with opened(world, journal, **extras) as ops:
        ended = run(ops, "provision", ["d", "a", "c", "b"])
    assert made == [["a", "b"], ["d", "c"]]
    assert {status for status, _ in ended.values()} == {Status.SUCCEEDED}


def test_a_batch_is_sent_again_in_its_own_order(world: Any, journal: Path) -> None:
    """Whoever repeats a create sends the very request of the first time, whatever their order."""
    sent: list[list[str]] = []

    def provision_many(
        backend: MemoryCloud, vms: Sequence[Target[MemoryParams]], token: str
    ) -> list[Handle]:
        sent.append([vm.name for vm in vms])
        if len(sent) == 1:
            raise KeyboardInterrupt
        return [backend.provision(vm, f"{token}-{vm.name}") for vm in vms]

    with opened(world, journal, provision_many=provision_many) as ops:
        with pytest.raises(KeyboardInterrupt):
            run(ops, "provision", ["a", "b", "c"])
        ended = run(ops, "provision", ["c", "a", "b"])
    assert sent == [["a", "b", "c"]] * 2
    assert {status for status, _ in ended.values()} == {Status.SUCCEEDED}


def test_the_caller_names_the_vm(ops: VMOps, world: Any) -> None:
    """A VM whose tags are lost is still called by the name that it was asked for by."""
    ops.wait_vm_operation(ops.vm_provision({"vmName": "a"})[1])
    machine = next(iter(world.machines.values()))
    machine.tags, machine.name = None, "a"
    status, info = ops.wait_vm_operation(ops.vm_stop({"vmName": "a"})[1])
    assert (status, info["vmName"]) == (Status.SUCCEEDED, "a")


def test_trouble_with_some_does_not_keep_the_others(world: Any, journal: Path) -> None:
    """Where VMs are asked about in several ways, one that fails postpones its own only."""
    changes = Changes()

    def describe(backend: MemoryCloud, refs: Sequence[Ref] | None) -> list[VM]:
        if refs and any(ref.name == "old" for ref in refs):
            raise MemoryError_("ConnectionLost")
        return list(backend._seen(refs))

    with opened(world, journal, **changes.extras(), describe=describe) as ops:
        _, pending = ops.vm_provision({"vmName": "new"})
        asked = Operation.from_url(pending["asyncResultsUrl"])
        old = replace(asked, vm="old", id="0" * 32, at=asked.at - 600, handle={"vmId": "id-old"})
        waits = [
            {**pending, "pollTimeout": 30},
            {"asyncResultsUrl": old.to_url(), "pollTimeout": 30},
        ]
        ends = {index: status for index, status, _ in ops.wait_many(waits)}
    assert ends == {0: Status.SUCCEEDED, 1: Status.TIMED_OUT}


def test_a_refusal_tells_why_the_vm_is_as_it_is(world: Any, journal: Path) -> None:
    """A VM in a state that no verb can act on brings its own reason and next step."""
    why = CloudError("it is suspended", provider_code="SUSPENDED", hint="resume it")

    def describe(backend: MemoryCloud, refs: Sequence[Ref] | None) -> list[VM]:
        seen = MemoryCloud.describe(backend, refs)
        return [replace(vm, state=State.FAILED, error=why) for vm in seen]

    with opened(world, journal) as ops:
        run(ops, "provision", ["web-1"])
        world.settle()
    with opened(world, journal, describe=describe) as ops:
        status, result = ops.vm_start({"vmName": "web-1"})
    assert (status, type(result.error)) == (Status.FAILED, Conflict)
    assert result.error.message == "cannot start VM 'web-1': it is failed: it is suspended"
    assert (result.error.provider_code, result.error.hint) == ("SUSPENDED", "resume it")


class Changes:
    """Counts looks for changes, and hides VMs that are on their way."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], frozenset[State]]] = []
        self.blind = False

    def describe_changed(
        self, backend: MemoryCloud, refs: Sequence[Ref], states: frozenset[State]
    ) -> list[VM]:
        self.asked.append(([ref.id for ref in refs], states))
        seen = list(backend._seen(refs))
        return [] if self.blind else [vm for vm in seen if vm.state not in states]

    def extras(self) -> dict[str, Any]:
        """The attribute of the backend's class: a function, so that it becomes a method."""

        def describe_changed(backend: MemoryCloud, *asked: Any) -> list[VM]:
            return self.describe_changed(backend, *asked)

        return {"describe_changed": describe_changed}


def test_waits_ask_for_changes_only(world: Any, journal: Path) -> None:
    """Where the cloud can tell, VMs that are still in the state they wait in are not described."""
    changes = Changes()
    with opened(world, journal, **changes.extras()) as ops:
        _, pending = ops.vm_provision({"vmName": "a"})
        looks = world.calls["describe"]
        status, info = ops.wait_vm_operation(pending)
        assert (status, info["privateIp"]) == (Status.SUCCEEDED, "10.0.0.1")
        assert world.calls["describe"] == looks
        assert set(map(str, changes.asked)) == {str((["id-a"], frozenset({State.STARTING})))}
        changes.asked.clear()
        ops.wait_vm_operation(ops.vm_stop({"vmName": "a"})[1])
        assert {states for _, states in changes.asked} == {
            frozenset({State.RUNNING, State.STOPPING})
        }


def test_a_vm_that_shows_no_change_is_looked_at_wholly_in_time(world: Any, journal: Path) -> None:
    """A VM that vanished is found out, though a look for changes can never show that."""
    changes = Changes()
    with opened(world, journal, **changes.extras()) as ops:
        _, pending = ops.vm_provision({"vmName": "a"})
        changes.blind = True
        world.machines.clear()
        began, looks = world.clock.now(), world.calls["describe"]
        status, result = ops.wait_vm_operation(pending)
    assert status is Status.FAILED
    assert isinstance(result.error, NotFound)
    assert 60 <= world.clock.now() - began < 62
    assert world.calls["describe"] == looks + 1


def test_an_old_operation_is_looked_at_wholly_at_once(world: Any, journal: Path) -> None:
    """A URL that is resumed late may be about a VM that is long gone: one look tells."""
    changes = Changes()
    with opened(world, journal, **changes.extras()) as ops:
        ops.wait_vm_operation(ops.vm_provision({"vmName": "a"})[1])
        _, pending = ops.vm_deprovision({"vmName": "a"})
        world.clock.advance(3600)
        world.settle()
        world.machines.clear()
        looks = world.calls["describe"]
        assert ops.wait_vm_operation({**pending, "pollTimeout": 0})[0] is Status.SUCCEEDED
    assert world.calls["describe"] == looks + 1


def test_what_a_wait_has_just_seen_is_enough_to_act_on(ops: VMOps, world: Any) -> None:
    """A verb that follows a wait at once looks no second time; a second later it does."""
    ops.wait_vm_operation(ops.vm_provision({"vmName": "a"})[1])
    looks = world.calls["describe"]
    ops.wait_vm_operation(ops.vm_stop({"vmName": "a"})[1])
    assert world.calls["describe"] - looks == world.delay
    world.clock.advance(1.5)
    looks = world.calls["describe"]
    ops.vm_start({"vmName": "a"})
    assert world.calls["describe"] - looks == 1


def test_what_was_just_seen_never_ends_a_verb(ops: VMOps, world: Any) -> None:
    """Only a call can follow from it: `done` and `refused` are read off a look of their own."""
    ops.wait_vm_operation(ops.vm_provision({"vmName": "a"})[1])
    world.machines[next(iter(world.machines))].state = State.STOPPED
    looks = world.calls["describe"]
    assert ops.vm_start({"vmName": "a"})[0] is Status.PENDING
    assert world.calls["describe"] - looks == 1


def test_an_id_that_the_journal_knows_is_asked_for_first(ops: VMOps, world: Any) -> None:
    """A VM is looked at by its id; by its name only where that shows nothing."""
    ops.wait_vm_operation(ops.vm_provision({"vmName": "a"})[1])
    world.clock.advance(5)
    machine = next(iter(world.machines.values()))
    world.machines["other"] = replace(machine, name="a", token="other", tags=None)
    looks = world.calls["describe"]
    assert ops.vm_stop({"vmName": "a"})[0] is Status.PENDING
    assert world.calls["describe"] - looks == 1
    assert world.machines["other"].state is State.RUNNING


def test_a_restart_without_evidence_says_so(world: Any, journal: Path) -> None:
    """Where boots cannot be told apart, a restart ends when the VM runs, and claims no more."""
    world.phases = 1

    def restart(backend: MemoryCloud, vm: Target[MemoryParams], token: str) -> Handle:
        backend.world.calls["restart"] += 1
        return {}

    with opened(world, journal, restart=restart, confirms_restart=False) as ops:
        ops.wait_vm_operation(ops.vm_provision({"vmName": "a"})[1])
        _, pending = ops.vm_restart({"vmName": "a"})
        status, info = ops.wait_vm_operation(pending)
    assert (status, info["restartConfirmed"], world.calls["restart"]) == (
        Status.SUCCEEDED,
        False,
        1,
    )


def test_idle_time_is_the_backends(world: Any, journal: Path) -> None:
    """Between two looks the backend is told how much time there is; what it raises ends nothing."""
    told: list[float] = []

    def idle(_: MemoryCloud, seconds: float) -> None:
        told.append(seconds)
        raise MemoryError_("SlowDown")

    with opened(world, journal, idle=idle) as ops:
        status, _ = ops.wait_vm_operation(ops.vm_provision({"vmName": "a"})[1])
    assert status is Status.SUCCEEDED
    assert len(told) == world.delay
    assert all(0 < seconds <= 1.1 for seconds in told)


def test_the_backends_own_interval_asks_for_nothing(world: Any, journal: Path) -> None:
    """A PENDING result is waited for at the learned pace, though it carries `pollInterval`."""
    with opened(world, journal) as ops:
        for name in "abc":
            ops.wait_vm_operation(ops.vm_provision({"vmName": name})[1])
        _, pending = ops.vm_provision({"vmName": "d"})
        looks = world.calls["describe"]
        ops.wait_vm_operation(pending)
        assert world.calls["describe"] - looks <= 2  # what was learned is known to half a step
        _, pending = ops.vm_provision({"vmName": "e"})
        looks = world.calls["describe"]
        ops.wait_vm_operation({**pending, "pollInterval": 2.5})
        assert world.calls["describe"] - looks >= world.delay // 2.75


def test_an_operation_may_bring_its_vm(world: Any, journal: Path) -> None:
    """What the cloud's own record of an operation implies needs no look: for the result, and next.

    A poll whose success brings the VM is not followed by a look, nor is the verb after it.
    """

    def poll(
        backend: MemoryCloud, operations: Sequence[Operation], timeout: float
    ) -> dict[str, Succeeded]:
        world.settle()
        (machine,) = world.machines.values()
        vm = VM(machine.name, machine.state, id=operations[0].vm_id, tags=machine.tags)
        done = {State.RUNNING, State.STOPPED}
        return {o.id: Succeeded({"more": 1}, vm=vm) for o in operations if machine.state in done}

    with opened(world, journal, poll=poll) as ops:
        world.delay = 0
        _, pending = ops.vm_provision({"vmName": "a"})
        looks = world.calls["describe"]
        status, info = ops.wait_vm_operation(pending)
        assert (status, info["vmName"], info["vmId"], info["more"]) == (
            Status.SUCCEEDED,
            "a",
            "id-a",
            1,
        )
        assert ops.vm_stop({"vmName": "a"})[0] is Status.PENDING
    assert world.calls["describe"] == looks


def test_a_backend_pays_for_what_the_core_does_not_count(world: Any, journal: Path) -> None:
    """Pages of one look wait for a budget of their own, by the backend's clock."""
    pages = 9

    def describe(backend: MemoryCloud, refs: Sequence[Ref] | None) -> Iterable[VM]:
        for _ in range(pages):
            backend.pay("page")
        return MemoryCloud.describe(backend, refs)

    limits = {"page": Limit(Bucket(4, 1))}
    with opened(world, journal, describe=describe, own_limits=limits) as ops:
        began = world.clock.now()
        ops.describe({"vmName": "a"})
        assert world.clock.now() - began == pytest.approx(pages - 4, abs=0.01)


def test_a_backend_without_a_connection_pays_nothing(world: Any) -> None:
    """As in `doctor`, which makes no connection."""
    backend: Any = type(
        "Alone", (MemoryCloud,), {"world": world, "own_limits": {"page": _NO_PAGES}}
    )
    backend(MemoryCloud.settings_type()).pay("page")
    assert world.clock.now() == World().clock.now()


_NO_PAGES = Limit(Bucket(0, 0.001))


def test_a_handle_is_told_to_nobody() -> None:
    """It may be a signed URL: neither a log nor a traceback shows it."""
    handle = {"op": "/operations/1?s=signature"}
    operation = Operation("memory", "a", Action.START, "1", 0.0, handle=handle)
    assert "signature" not in repr(operation)
    assert "signature" not in f"{operation} {[operation]}"


def test_a_restart_that_certainly_did_not_leave_is_asked_for_again(
    world: Any, journal: Path
) -> None:
    """Where no connection could be made nothing can have happened; elsewhere it may have."""
    world.phases = 1
    sent: list[bool] = []

    def restart(backend: MemoryCloud, vm: Target[MemoryParams], token: str) -> Handle:
        sent.append(len(sent) > 1)
        if not sent[-1]:
            raise MemoryError_("ConnectionLost")
        return {}

    def explain(backend: MemoryCloud, error: Exception) -> Fault | None:
        return Fault("ConnectionLost", "no answer", unsent=unsent[0])

    unsent = [True]
    for unsent[0], times in ((True, 3), (False, 1)):
        sent.clear()
        extras: dict[str, Any] = {"restart": restart, "explain": explain}
        with opened(world, journal, confirms_restart=False, **extras) as ops:
            ops.wait_vm_operation(ops.vm_provision({"vmName": "a"})[1])
            assert ops.vm_restart({"vmName": "a"})[0] is Status.PENDING
        assert len(sent) == times
