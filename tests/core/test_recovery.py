"""Recovery: what a dead process left is found again, finished, or given up for good reason."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from memory_cloud import MemoryCloud, MemoryError_, plugin_for

from vmops import Action, Operation, Status, VMOps
from vmops.durable_journal import DurableJournal
from vmops.errors import AuthError, Conflict, Unavailable
from vmops.plugins import Registry
from vmops.recovery import Found
from vmops.store import SqlStore
from vmops.vm import State

VM = {"vmName": "web-1"}
LEASE = 60.0


class KilledError(BaseException):
    """Stands for a SIGKILL: nothing of vmops catches it."""


def die(*_: object, **__: object) -> None:
    """The end of the process."""
    raise KilledError


def killed(ops: VMOps, verb: str, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Let a verb's process die at a step of the journal, or at the call itself."""
    with monkeypatch.context() as patch:
        if where == "call":
            patch.setattr("vmops.sending.Sender.send", die)
        else:
            patch.setattr(DurableJournal, where, die)
        with pytest.raises(KilledError):
            getattr(ops, verb)(VM)


@pytest.fixture
def other(registry: Registry, journal: Path) -> Iterator[VMOps]:
    """Another process."""
    with VMOps({"backend": "memory"}, journal=journal, registry=registry) as ops:
        yield ops


def state(journal: Path) -> str:
    """The state of the only row."""
    with closing(sqlite3.connect(journal)) as connection:
        ((found,),) = connection.execute("select state from vms").fetchall()
    return str(found)


def found(ops: VMOps) -> list[tuple[str, Found]]:
    """What one pass of recovery found."""
    return [(item.was, item.found) for item in ops.recover()]


def test_living_owners_are_left_alone(
    ops: VMOps, other: VMOps, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within the lease nobody takes over what may still be under way."""
    killed(ops, "vm_provision", monkeypatch, "accepted")
    ((item),) = other.recover()
    assert item.found is Found.WAITING
    assert item.until > other.recover()[0].until - 1
    assert state(journal) == "INTENT"


def test_a_create_that_was_carried_out_is_adopted(
    ops: VMOps, other: VMOps, world: Any, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The VM of a dead process is held by the journal again, and nothing is sent for it."""
    killed(ops, "vm_provision", monkeypatch, "accepted")
    world.clock.advance(LEASE)
    assert found(other) == [("INTENT", Found.LIVE)]
    assert state(journal) == "LIVE"
    assert world.calls["provision"] == 1
    assert other.vm_provision(VM)[0] is Status.SUCCEEDED


def test_a_create_still_starting_comes_with_its_url(
    ops: VMOps, other: VMOps, world: Any, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not over yet can be waited for by whoever recovered it."""
    world.delay = 1000.0
    killed(ops, "vm_provision", monkeypatch, "accepted")
    world.clock.advance(LEASE)
    (item,) = other.recover()
    assert item.found is Found.WAITING
    assert item.until > world.clock.now()
    assert state(journal) == "ACCEPTED"
    answer = other.wait_vm_operation({"asyncResultsUrl": item.url, "pollTimeout": 2000})
    assert answer[0] is Status.SUCCEEDED
    assert state(journal) == "LIVE"


def test_a_create_that_never_showed_is_abandoned_after_the_horizon(
    ops: VMOps, other: VMOps, world: Any, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the horizon nothing is believed; after it the row is closed, and none is created."""
    ops.describe(VM)
    world.lag = 200.0
    with VMOps({"backend": "memory"}, journal=journal, registry=ops.registry) as slow:
        killed(slow, "vm_provision", monkeypatch, "call")
        world.clock.advance(LEASE)
        (item,) = slow.recover()
        assert item.found is Found.WAITING
        assert state(journal) == "INTENT"
        world.clock.advance(200.0)
        assert found(slow) == [("INTENT", Found.ABANDONED)]
    assert state(journal) == "ABANDONED"
    assert world.calls["provision"] == 0


def test_an_abandoned_name_is_free_again(
    ops: VMOps, world: Any, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next provision is a new generation, with other parameters if need be."""
    killed(ops, "vm_provision", monkeypatch, "call")
    world.clock.advance(LEASE)
    assert found(ops) == [("INTENT", Found.ABANDONED)]
    status, result = ops.vm_provision({**VM, "vmSize": "bigger"})
    assert status is Status.PENDING
    assert ops.wait_vm_operation(result)[0] is Status.SUCCEEDED
    assert state(journal) == "LIVE"


@pytest.mark.parametrize("where", ["call", "accepted"])
def test_a_deletion_is_finished(
    ops: VMOps, world: Any, journal: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A deletion that was intended is carried out, whether it had been asked for or not."""
    ops.wait_vm_operation(ops.vm_provision(VM)[1])
    killed(ops, "vm_deprovision", monkeypatch, where)
    for _ in range(3):
        world.clock.advance(LEASE)
        ops.recover()
    assert state(journal) == "GONE"
    assert world.alive() == []
    assert world.calls["deprovision"] == 1


def test_a_vm_being_deleted_is_not_used(
    ops: VMOps, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a deletion's intent and its end the VM runs, but nobody may count on it."""
    ops.wait_vm_operation(ops.vm_provision(VM)[1])
    killed(ops, "vm_deprovision", monkeypatch, "call")
    for verb in (ops.vm_provision, ops.vm_start, ops.vm_restart):
        status, result = verb(VM)
        assert status is Status.FAILED
        assert isinstance(result.error, Conflict)
    assert ops.vm_deprovision(VM)[0] is Status.PENDING


def test_deleting_what_nobody_has_seen_yet(
    world: Any, registry: Registry, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion of a VM whose create is under way waits, and says so if the VM appears."""
    world.lag = 100.0
    with VMOps({"backend": "memory"}, journal=journal, registry=registry) as ops:
        killed(ops, "vm_provision", monkeypatch, "accepted")
        status, pending = ops.vm_deprovision(VM)
        assert status is Status.PENDING
        assert world.calls["deprovision"] == 0
        assert state(journal) == "DELETING"
        world.clock.advance(200.0)
        status, result = ops.wait_vm_operation(pending)
        assert status is Status.FAILED
        assert "appeared" in str(result.error)
        for _ in range(3):
            world.clock.advance(LEASE + world.lag)
            ops.recover()
    assert world.alive() == []
    assert state(journal) == "GONE"


def test_operations_that_nobody_waited_for_are_closed(
    ops: VMOps, other: VMOps, world: Any, journal: Path
) -> None:
    """What was begun with no wait is seen to end; a second pass has nothing to do."""
    ops.wait_vm_operation(ops.vm_provision(VM)[1])
    ops.vm_stop(VM)
    world.clock.advance(world.delay)
    assert found(other) == [("stop", Found.LIVE)]
    assert found(other) == []
    with closing(sqlite3.connect(journal)) as connection:
        (open_ones,) = connection.execute("select count(*) from operations where ended is null")
    assert open_ones == (0,)


def test_what_goes_on_is_unfinished(ops: VMOps, other: VMOps, world: Any) -> None:
    """An operation that is under way is told of until it is over, and a create only once."""
    ops.vm_provision(VM)
    assert found(other) == [("ACCEPTED", Found.WAITING)]
    world.clock.advance(world.delay)
    other.wait_vm_deployment(True, VM)
    ops.vm_stop(VM)
    assert found(other)[-1] == ("stop", Found.WAITING)
    world.clock.advance(world.delay)
    assert found(other)[-1] == ("stop", Found.LIVE)


def test_what_something_else_has_overtaken_is_not_unfinished(
    ops: VMOps, other: VMOps, world: Any
) -> None:
    """A stop that can never be seen to end, as the VM was started since, keeps nobody waiting."""
    ops.wait_vm_operation(ops.vm_provision(VM)[1])
    ops.vm_stop(VM)
    world.clock.advance(world.delay)
    assert ops.vm_start(VM)[0] is Status.PENDING
    world.clock.advance(world.delay)
    (machine,) = world.alive()
    machine.started = None  # as of a cloud that does not tell one boot from another
    assert found(other) == [("start", Found.LIVE)]
    assert found(other) == []


def test_an_end_is_when_it_was_seen_first(
    ops: VMOps, other: VMOps, world: Any, journal: Path
) -> None:
    """Waiting for the same URL again does not make an operation longer."""
    pending = ops.vm_provision(VM)[1]
    ops.wait_vm_operation(pending)
    with closing(sqlite3.connect(journal)) as connection:
        ((before,),) = connection.execute("select ended from operations")
    world.clock.advance(1000.0)
    assert other.wait_vm_operation(pending)[0] is Status.SUCCEEDED
    with closing(sqlite3.connect(journal)) as connection:
        ((after,),) = connection.execute("select ended from operations")
    assert before == after


def test_a_restart_in_two_phases_is_taken_up(ops: VMOps, other: VMOps, world: Any) -> None:
    """A VM that was stopped for its restart when everybody died is started again."""
    ops.wait_vm_operation(ops.vm_provision(VM)[1])
    ops.vm_restart(VM)
    for _ in range(2):
        (item,) = other.recover()
        assert (item.was, item.found) == ("restart", Found.WAITING)
        assert item.until > world.clock.now()
        assert Operation.from_url(item.url).action is Action.RESTART
        world.clock.advance(world.delay)
    assert other.describe(VM).state is State.RUNNING
    assert world.calls["start"] == 1
    assert found(other) == [("restart", Found.LIVE)]


def test_two_recover_at_once(
    ops: VMOps, other: VMOps, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one of two processes gets a row; the other one leaves it alone."""
    ops.wait_vm_operation(ops.vm_provision(VM)[1])
    killed(ops, "vm_deprovision", monkeypatch, "call")
    world.clock.advance(LEASE)
    assert found(other) == [("DELETING", Found.DELETING)]
    assert found(ops) == [("DELETING", Found.WAITING)]
    assert world.calls["deprovision"] == 1


def test_a_late_writer_is_fenced(
    ops: VMOps, other: VMOps, world: Any, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that arrives after somebody else took the row over changes nothing in it."""
    original = DurableJournal.accepted

    def late(self: DurableJournal, pairs: Any) -> None:
        monkeypatch.setattr(DurableJournal, "accepted", original)
        world.clock.advance(LEASE)
        other.recover()
        other.wait_vm_operation(other.vm_deprovision(VM)[1])
        self.accepted(pairs)

    monkeypatch.setattr(DurableJournal, "accepted", late)
    assert ops.vm_provision(VM)[0] is Status.PENDING
    assert state(journal) == "GONE"


def test_without_a_backend_every_place_is_visited(
    registry: Registry, journal: Path, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One journal may hold VMs of several regions; recovery needs no other hint."""
    for region in ("here", "there"):
        config = {"backend": "memory", "region": region}
        with VMOps(config, journal=journal, registry=registry) as ops:
            name = {"vmName": f"in-{region}"}
            ops.wait_vm_operation(ops.vm_provision(name)[1])
            ops.vm_stop(name)
    world.clock.advance(world.delay)
    with VMOps(journal=journal, registry=registry) as ops:
        recovered = ops.recover()
    assert sorted(item.vm for item in recovered) == ["in-here", "in-there"]


def test_another_accounts_rows_are_trouble_not_absence(
    ops: VMOps, registry: Registry, journal: Path, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With other credentials nothing is believed gone."""
    killed(ops, "vm_provision", monkeypatch, "accepted")
    world.clock.advance(LEASE)
    world.account = "somebody-else"
    with VMOps(journal=journal, registry=registry) as stranger:
        (item,) = stranger.recover()
    assert item.found is Found.TROUBLE
    assert isinstance(item.error, AuthError)
    assert state(journal) == "INTENT"


def test_no_answer_is_no_absence(
    ops: VMOps, other: VMOps, world: Any, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the cloud cannot be asked a row stays as it is."""
    killed(ops, "vm_provision", monkeypatch, "accepted")
    world.clock.advance(LEASE)
    world.faults["describe"] = ["lost"] * 100
    (item,) = other.recover()
    assert item.found is Found.TROUBLE
    assert state(journal) == "INTENT"


def test_a_refusal_after_an_unknown_answer_is_no_proof(
    ops: VMOps, world: Any, journal: Path
) -> None:
    """A create whose first request got no answer may arrive still, whatever the second one met."""
    world.faults["provision"] = ["lost", Exception]
    world.faults["provision"][1] = _quota()
    world.machines.clear()
    status, _ = ops.vm_provision(VM)
    assert status is Status.FAILED
    assert state(journal) == "INTENT"


def _quota() -> Exception:
    import memory_cloud

    return memory_cloud.MemoryError_("Quota")  # type: ignore[no-any-return]


def test_a_new_generation_waits_for_stray_requests(
    ops: VMOps, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an unanswered deletion may still arrive, no VM is made that it could hit."""
    ops.wait_vm_operation(ops.vm_provision(VM)[1])
    world.faults["deprovision"] = ["lost"]
    ops.wait_vm_operation(ops.vm_deprovision(VM)[1])
    status, result = ops.vm_provision(VM)
    assert status is Status.FAILED
    assert "try again in" in str(result.error)
    world.clock.advance(LEASE)
    assert ops.vm_provision(VM)[0] is Status.PENDING


def test_a_pause_longer_than_the_lease_ends_the_sending(
    ops: VMOps, other: VMOps, world: Any, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was frozen before sending finds the row in other hands, and sends nothing."""
    original = DurableJournal.intend_deletes
    ops.wait_vm_operation(ops.vm_provision(VM)[1])

    def frozen(self: DurableJournal, *args: Any) -> Any:
        rows = original(self, *args)
        monkeypatch.setattr(DurableJournal, "intend_deletes", original)
        for _ in range(3):
            world.clock.advance(LEASE)
            other.recover()
        assert world.calls["deprovision"] == 1
        assert other.vm_provision(VM)[0] is Status.PENDING
        return rows

    monkeypatch.setattr(DurableJournal, "intend_deletes", frozen)
    status, result = ops.vm_deprovision(VM)
    assert world.calls["deprovision"] == 2, "the new VM was deleted because the caller asked again"
    assert status is Status.PENDING, result.error


def test_a_given_journal_is_shared_and_not_closed(registry: Registry, journal: Path) -> None:
    """An opened journal can be lent to several VMOps, and outlives each of them."""
    shared = DurableJournal(SqlStore(journal), lease=1.0)
    for name in ("a", "b"):
        with VMOps({"backend": "memory"}, journal=shared, registry=registry) as ops:
            _, pending = ops.vm_provision({"vmName": name})
            assert Operation.from_url(pending["asyncResultsUrl"]).vm == name
    assert len(shared.open_operations("memory")) == 2
    shared.close()


@contextmanager
def making_twice(world: Any, journal: Path) -> Iterator[VMOps]:
    """Over a cloud where the same token could make a second VM."""
    registry = Registry(entry_points=[])
    registry.register(plugin_for(world, creates_once=False), "memory")
    with VMOps({"backend": "memory"}, journal=journal, registry=registry) as ops:
        yield ops


@pytest.mark.parametrize("lag", [0.0, 30.0])
def test_a_create_without_an_answer_is_repeated_when_it_had_time_to_show(
    world: Any, journal: Path, lag: float
) -> None:
    """Within the horizon it may be on its way; the repeat is made by the same call."""
    world.lag = lag
    world.faults["provision"] = [MemoryError_("ConnectionLost")]
    began = world.clock.now()
    with making_twice(world, journal) as ops:
        assert ops.vm_provision(VM)[0] is Status.PENDING
    assert world.calls["provision"] == 2
    assert lag <= world.clock.now() - began < lag + 10


def test_a_repeat_that_would_be_too_early_is_refused(world: Any, journal: Path) -> None:
    """Nothing is sent, and the error says when it may be; after that it is."""
    world.lag = 100.0
    world.faults["provision"] = [MemoryError_("ConnectionLost")]
    with making_twice(world, journal) as ops:
        status, result = ops.vm_provision(VM)
        assert (status, type(result.error)) == (Status.FAILED, Unavailable)
        status, result = ops.vm_provision(VM)
        assert (status, type(result.error)) == (Status.FAILED, Unavailable)
        assert result.error.hint == "repeat the call in 100 seconds"
        assert world.calls["provision"] == 1
        assert state(journal) == "INTENT"
        world.clock.advance(101.0)
        assert ops.vm_provision(VM)[0] is Status.PENDING
    assert world.calls["provision"] == 2


def test_a_refusal_is_told_at_once(world: Any, journal: Path) -> None:
    """A create that was refused is not on its way: nobody waits, and the refusal is the answer."""
    world.lag = 100.0
    world.faults["provision"] = [MemoryError_("Busy"), MemoryError_("Busy")]
    with making_twice(world, journal) as ops:
        status, result = ops.vm_provision(VM)
    assert (status, type(result.error)) == (Status.FAILED, Conflict)
    assert world.calls["provision"] == 2


def test_whoever_takes_over_waits_as_well(
    world: Any, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process cannot know whether the one that died had sent its create."""
    world.lag = 30.0
    with making_twice(world, journal) as ops:
        killed(ops, "vm_provision", monkeypatch, "call")
    began = world.clock.now()
    with making_twice(world, journal) as ops:
        assert ops.vm_provision(VM)[0] is Status.PENDING
    assert world.calls["provision"] == 1
    assert world.clock.now() - began >= world.lag


def test_what_never_ends_is_not_waited_for_for_ever(ops: VMOps, other: VMOps, world: Any) -> None:
    """After the longest time that a wait lasts by default, an operation is told of no more."""
    ops.wait_vm_operation(ops.vm_provision(VM)[1])
    ops.vm_stop(VM)
    (machine,) = world.alive()
    machine.until = 1e12
    assert found(other) == [("stop", Found.WAITING)]
    world.clock.advance(MemoryCloud.poll_timeout + 1)
    assert found(other) == []
