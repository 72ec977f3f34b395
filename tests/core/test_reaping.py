"""Reaping: what nobody needs is deleted, and nothing else, whatever journal and clocks say."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vmops import Status, VMOps
from vmops.durable_journal import DurableJournal
from vmops.errors import InvalidParams, JournalError, NotFound
from vmops.plugins import Registry
from vmops.reaping import Reason
from vmops.vm import State

VM = {"vmName": "web-1"}
LEASE = 60.0


def made(ops: VMOps, name: str = "web-1", **params: Any) -> None:
    """A running VM."""
    answer = ops.wait_vm_operation(ops.vm_provision({"vmName": name, **params})[1])
    assert answer[0] is Status.SUCCEEDED


def alive(world: Any) -> list[str]:
    """The names of VMs that are not on their way out."""
    return sorted(m.name for m in world.alive() if m.state is not State.DELETING)


def reasons(ops: VMOps, **how: Any) -> dict[str, tuple[Reason, bool]]:
    """What reaping found, by name."""
    return {item.vm.name: (item.reason, item.due) for item in ops.reap(**how)}


def set_row(journal: Path, **values: object) -> None:
    """Let all rows say something else."""
    changes = ", ".join(f"{key} = ?" for key in values)
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute(f"update vms set {changes}", list(values.values()))  # noqa: S608


def test_what_is_needed_is_left(ops: VMOps, world: Any) -> None:
    """A VM that the journal holds, and whose time is not up, is not even listed."""
    made(ops)
    made(ops, "web-2", ttl=10_000)
    world.clock.advance(5_000)
    assert reasons(ops, yes=True) == {}
    assert alive(world) == ["web-1", "web-2"]


def test_an_expired_vm_is_reaped_and_its_row_closed(ops: VMOps, world: Any, journal: Path) -> None:
    """Past its ttl a VM is listed; with yes it is deleted, through the journal."""
    made(ops, ttl=100)
    world.clock.advance(101)
    assert reasons(ops) == {"web-1": (Reason.EXPIRED, True)}
    assert alive(world) == ["web-1"]
    (item,) = ops.reap(yes=True)
    assert ops.wait_vm_operation({"asyncResultsUrl": item.url})[0] is Status.SUCCEEDED
    assert alive(world) == []
    with closing(sqlite3.connect(journal)) as connection:
        assert connection.execute("select state from vms").fetchall() == [("GONE",)]


def test_ttl_is_measured_by_the_clouds_clock(ops: VMOps, world: Any) -> None:
    """A machine whose clock runs ahead reaps nothing early."""
    made(ops, ttl=1_000)
    world.clock.advance(5_000)
    world.clock_ahead = -4_500.0
    assert reasons(ops, yes=True) == {}
    world.clock_ahead = -3_000.0
    assert reasons(ops) == {"web-1": (Reason.EXPIRED, True)}


def test_ttl_can_be_a_default_of_the_target(registry: Registry, journal: Path, world: Any) -> None:
    """The config's ttl holds for every VM that names none of its own."""
    with VMOps({"backend": "memory", "ttl": 50}, journal=journal, registry=registry) as ops:
        made(ops)
        made(ops, "web-2", ttl=5_000)
        world.clock.advance(51)
        assert reasons(ops) == {"web-1": (Reason.EXPIRED, True)}


def test_renewal_postpones_it(ops: VMOps, world: Any) -> None:
    """Renewed, a VM lives for the new ttl from now on, by its tag and in the journal."""
    made(ops, ttl=100)
    world.clock.advance(90)
    status, result = ops.renew({**VM, "ttl": 1_000})
    assert status is Status.SUCCEEDED
    assert result["expires"] == pytest.approx(world.clock.now() + 1_000, abs=1)
    world.clock.advance(500)
    assert reasons(ops, yes=True) == {}
    world.clock.advance(501)
    assert reasons(ops) == {"web-1": (Reason.EXPIRED, True)}


def test_renewal_is_checked(ops: VMOps) -> None:
    """Without a ttl, or without a VM, there is nothing to renew."""
    with pytest.raises(InvalidParams, match="ttl"):
        ops.renew(VM)
    status, result = ops.renew({**VM, "ttl": 10})
    assert status is Status.FAILED
    assert isinstance(result.error, NotFound)


def test_a_vm_renewed_during_reaping_is_spared(
    ops: VMOps, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the list and the deletion a VM is looked at again."""
    made(ops, ttl=100)
    world.clock.advance(101)
    original = DurableJournal.rows
    calls: list[int] = []

    def rows(self: DurableJournal, uids: Any) -> Any:
        found = original(self, uids)
        calls.append(1)
        if len(calls) == 2:  # the second reading: the last moment before the second look
            ops.renew({**VM, "ttl": 1_000})
        return found

    monkeypatch.setattr(DurableJournal, "rows", rows)
    assert reasons(ops, yes=True) == {}
    assert alive(world) == ["web-1"]


@pytest.mark.parametrize("state", ["GONE", "ABANDONED"])
def test_a_late_arrival_is_reaped(ops: VMOps, world: Any, journal: Path, state: str) -> None:
    """A VM whose row was closed arrived after all: it is finished with, once the lease is over."""
    made(ops)
    set_row(journal, state=state)
    assert reasons(ops, yes=True) == {}, "somebody may be at work on it"
    world.clock.advance(LEASE)
    assert reasons(ops, yes=True) == {"web-1": (Reason.FINISHED, True)}
    assert alive(world) == []


def test_a_failed_create_is_reaped_only_if_it_failed(ops: VMOps, world: Any, journal: Path) -> None:
    """A VM that runs although its create was said to have failed is nobody's to delete."""
    made(ops)
    set_row(journal, state="FAILED")
    world.clock.advance(LEASE)
    assert reasons(ops, yes=True) == {}
    next(iter(world.machines.values())).state = State.FAILED
    assert reasons(ops, yes=True) == {"web-1": (Reason.FINISHED, True)}


def test_an_unrecorded_vm_is_left_alone(ops: VMOps, world: Any, journal: Path) -> None:
    """A VM of ours that no row knows is listed, and whatever is said it is not reaped."""
    made(ops)
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute("delete from vms")
    assert reasons(ops, yes=True) == {"web-1": (Reason.UNRECORDED, False)}
    assert reasons(ops, yes=True, unrecorded=True) == {"web-1": (Reason.UNRECORDED, False)}
    assert alive(world) == ["web-1"]
    status, pending = ops.vm_deprovision(VM)
    assert status is Status.PENDING, "who names it may delete it"
    assert ops.wait_vm_operation(pending)[0] is Status.SUCCEEDED


def test_a_restored_backup_freezes_what_it_does_not_know(
    ops: VMOps, world: Any, registry: Registry, journal: Path, tmp_path: Path
) -> None:
    """A journal older than the cloud's newest intent deletes nothing unrecorded, asked or not."""
    made(ops)
    ops.close()
    backup = tmp_path / "backup.db"
    shutil.copy(journal, backup)
    config = {"backend": "memory"}
    with VMOps(config, journal=journal, registry=registry) as later:
        made(later, "web-2")
        later.wait_vm_operation(later.vm_deprovision(VM)[1])
        made(later)
    for file in journal.parent.glob("journal.db*"):
        file.unlink()
    shutil.copy(backup, journal)
    journal.chmod(0o600)
    world.clock.advance(10 * LEASE)
    with VMOps(config, journal=journal, registry=registry) as restored:
        restored.recover()
        found = reasons(restored, yes=True, unrecorded=True)
        assert found == {
            "web-1": (Reason.UNRECORDED, False),
            "web-2": (Reason.UNRECORDED, False),
        }
        assert alive(world) == ["web-1", "web-2"]
        assert restored.vm_provision({"vmName": "web-2"})[0] is Status.SUCCEEDED
        assert set(reasons(restored)) == {"web-1"}, "web-2 was adopted"
        _, pending = restored.vm_deprovision({"vmName": "web-2"})
        assert restored.wait_vm_operation(pending)[0] is Status.SUCCEEDED
        made(restored, "web-2")
        numbers = {m.name: m.tags.sequence for m in world.machines.values()}
        assert numbers["web-2"] > 2, "an adopted VM's number is not used again"


def test_a_lost_journals_expired_vms_are_reaped_by_its_install_id(
    ops: VMOps, world: Any, registry: Registry, tmp_path: Path
) -> None:
    """With the journal gone, its install id finds what has expired; the rest needs a word more."""
    made(ops, ttl=100)
    made(ops, "web-2")
    owner = next(iter(world.machines.values())).tags.owner
    world.clock.advance(101)
    fresh = tmp_path / "fresh" / "journal.db"
    with VMOps({"backend": "memory"}, journal=fresh, registry=registry) as new:
        assert reasons(new, yes=True) == {}
        found = reasons(new, yes=True, install_id=owner)
        assert found == {"web-1": (Reason.EXPIRED, True), "web-2": (Reason.UNRECORDED, False)}
        assert alive(world) == ["web-2"]
        new.reap(yes=True, install_id=owner, unrecorded=True)
    assert alive(world) == []


def test_strangers_vms_are_not_even_listed(ops: VMOps, world: Any) -> None:
    """What carries another install id, or none, is not ours to judge."""
    made(ops)
    (machine,) = world.machines.values()
    for tags in (None, replace(machine.tags, owner="somebody-else", expires=1)):
        machine.tags = tags
        assert reasons(ops, yes=True, unrecorded=True) == {}
    assert alive(world) == ["web-1"]


def test_a_used_vm_is_held_again(ops: VMOps, world: Any, journal: Path) -> None:
    """Whoever starts, stops or provisions a VM of a closed row takes it out of reaping's reach."""
    acts: list[Callable[[dict[str, Any]], Any]] = [ops.vm_provision, ops.vm_stop, ops.vm_start]
    made(ops)
    for act in acts:
        set_row(journal, state="GONE")
        world.clock.advance(LEASE)
        assert set(reasons(ops)) == {"web-1"}
        status, result = act(VM)
        if status is Status.PENDING:
            ops.wait_vm_operation(result)
        assert reasons(ops) == {}


def test_no_journal_no_reaping(ops: VMOps, registry: Registry, tmp_path: Path, world: Any) -> None:
    """When the journal cannot be read nothing is deleted."""
    made(ops, ttl=1)
    world.clock.advance(10)
    corrupt = tmp_path / "corrupt.db"
    corrupt.write_bytes(b"no database" * 1000)
    corrupt.chmod(0o600)
    other = VMOps({"backend": "memory"}, journal=corrupt, registry=registry)
    with pytest.raises(JournalError, match="not a database"):
        other.reap(yes=True)
    other.close()
    assert alive(world) == ["web-1"]
