"""The journal: durable before the call, safe to share, honest when it cannot be written."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from vmops import Action, Operation, Status, VMOps
from vmops.durable_journal import DurableJournal
from vmops.errors import Conflict, JournalError
from vmops.plugins import Registry
from vmops.records import Intent, Row, Stale
from vmops.store import SqlStore

VM = {"vmName": "web-1"}


def rows(journal: Path) -> list[tuple[Any, ...]]:
    """(vm, state, generation, token) of every row."""
    with closing(sqlite3.connect(journal)) as connection:
        return connection.execute("select vm, state, generation, token from vms").fetchall()


def test_states_of_a_life(ops: VMOps, journal: Path) -> None:
    """INTENT is never seen after the call; ACCEPTED, LIVE, DELETING, GONE follow each other."""
    _, result = ops.vm_provision(VM)
    assert rows(journal)[0][1] == "ACCEPTED"
    ops.wait_vm_operation(result)
    assert rows(journal)[0][1] == "LIVE"
    _, result = ops.vm_deprovision(VM)
    assert rows(journal)[0][1] == "DELETING"
    ops.wait_vm_operation(result)
    assert rows(journal)[0][1] == "GONE"


def test_intent_is_on_disk_before_the_call(ops: VMOps, world: Any, journal: Path) -> None:
    """While the cloud is being called, another connection reads the INTENT with its token."""
    seen: list[tuple[Any, ...]] = []
    world.faults["provision"] = [lambda: seen.extend(rows(journal))]
    ops.vm_provision(VM)
    assert [(vm, state) for vm, state, _, _ in seen] == [("web-1", "INTENT")]
    assert seen[0][3] in world.machines


def test_token_is_derived_from_install_uid_and_generation(ops: VMOps, journal: Path) -> None:
    """The token can be worked out from install id, uid and generation alone."""
    import hashlib

    ops.vm_provision(VM)
    with closing(sqlite3.connect(journal)) as connection:
        (install,) = connection.execute("select value from meta where key='install'").fetchone()
        uid, token = connection.execute("select uid, token from vms").fetchone()
    assert token == hashlib.sha256(f"{install}/{uid}/0".encode()).hexdigest()[:32]


def test_each_new_make_is_a_new_generation(ops: VMOps, journal: Path) -> None:
    """Made, deleted and made again: another generation, another token."""
    tokens = set()
    for generation in range(3):
        ops.wait_vm_operation(ops.vm_provision(VM)[1])
        ((_, _, found, token),) = rows(journal)
        assert found == generation
        tokens.add(token)
        ops.wait_vm_operation(ops.vm_deprovision(VM)[1])
    assert len(tokens) == 3


def test_tags_name_owner_token_and_a_growing_sequence(ops: VMOps, world: Any) -> None:
    """What proves ownership is written in the create call itself."""
    list(ops.run_many("provision", [{"vmName": f"v{i}", "ttl": 60} for i in range(3)]))
    tags = [machine.tags for machine in world.machines.values()]
    assert len({tag.owner for tag in tags}) == 1
    assert sorted(tag.sequence for tag in tags) == [1, 2, 3]
    assert all(tag.expires == pytest.approx(world.clock.now() + 60, abs=1) for tag in tags)


def test_live_intent_with_other_params_is_a_conflict(ops: VMOps, world: Any) -> None:
    """After an unknown outcome only an equal request is sent again."""
    world.faults["provision"] = ["lost"] * 50
    ops.vm_provision(VM)
    world.machines.clear()
    world.faults.clear()
    status, result = ops.vm_provision({**VM, "vmSize": "bigger"})
    assert status is Status.FAILED
    assert isinstance(result.error, Conflict)
    assert ops.vm_provision(VM)[0] is Status.PENDING


def test_crash_between_call_and_answer_is_adopted(
    ops: VMOps, world: Any, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A VM whose answer was never written down is joined by the next provision; it is LIVE then."""

    def die(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(DurableJournal, "accepted", die)
        with pytest.raises(SystemExit):
            ops.vm_provision(VM)
    assert rows(journal)[0][1] == "INTENT"
    status, result = ops.vm_provision(VM)
    assert status is Status.PENDING
    assert ops.wait_vm_operation(result)[0] is Status.SUCCEEDED
    assert rows(journal)[0][1] == "LIVE"
    assert world.calls["provision"] == 1


def test_start_and_stop_write_no_intent(ops: VMOps, journal: Path) -> None:
    """Only creates and deletes touch the row; operations remember every verb's URL."""
    ops.wait_vm_operation(ops.vm_provision(VM)[1])
    before = rows(journal)
    ops.wait_vm_operation(ops.vm_stop(VM)[1])
    assert rows(journal) == before
    with closing(sqlite3.connect(journal)) as connection:
        actions = connection.execute("select action, status from operations").fetchall()
    assert actions == [("provision", "succeeded"), ("stop", "succeeded")]


def test_fsyncs(registry: Registry, journal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One durable commit per create or delete (one per batch), none for start and stop."""
    durable: list[bool] = []
    original = SqlStore.writing

    def writing(self: SqlStore, *, durable: bool = False) -> Any:
        counted.append(durable)
        return original(self, durable=durable)

    counted = durable
    monkeypatch.setattr(SqlStore, "writing", writing)
    with VMOps({"backend": "memory"}, journal=journal, registry=registry) as ops:

        def commits(verb: str, count: int) -> int:
            durable.clear()
            names = [{"vmName": f"v{count}-{i}"} for i in range(count)]
            pending = [result for _, _, result in ops.run_many(verb, names)]
            found = durable.count(True)
            list(ops.wait_many(pending))
            return found

        assert commits("provision", 1) <= 2  # the first one also makes the tables
        assert commits("provision", 20) == 1
        assert commits("stop", 20) == 0
        assert commits("start", 20) == 0
        assert commits("deprovision", 20) == 1


def test_permissions(ops: VMOps, journal: Path) -> None:
    """State files are 0600 in a 0700 directory."""
    ops.vm_provision(VM)
    assert stat.S_IMODE(journal.parent.stat().st_mode) == 0o700
    for file in journal.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_no_secret_in_the_journal(ops: VMOps, journal: Path) -> None:
    """User data is digested, never stored."""
    ops.vm_provision({**VM, "userData": "canary-1234"})
    for file in journal.parent.iterdir():
        assert b"canary" not in file.read_bytes()


def test_readable_by_others_is_refused(registry: Registry, journal: Path) -> None:
    """A journal that others can read is refused with the command that mends it."""
    journal.parent.mkdir(mode=0o700)
    journal.touch(mode=0o644)
    journal.chmod(0o644)
    with VMOps({"backend": "memory"}, journal=journal, registry=registry) as ops:
        status, result = ops.vm_provision(VM)
    assert status is Status.FAILED
    assert "chmod 600" in str(result.error)


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be read" * 50])
def test_corrupt_journal_stops_creates_not_waits(
    ops: VMOps, registry: Registry, world: Any, tmp_path: Path, content: bytes
) -> None:
    """With a corrupt journal nothing is created and nothing overwritten; waits go on."""
    _, pending = ops.vm_provision(VM)
    corrupt = tmp_path / "corrupt.db"
    corrupt.write_bytes(content)
    corrupt.chmod(0o600)
    calls = world.calls["provision"]
    with VMOps({"backend": "memory"}, journal=corrupt, registry=registry) as other:
        status, result = other.vm_provision({"vmName": "web-2"})
        assert status is Status.FAILED
        assert isinstance(result.error, JournalError)
        assert str(corrupt) in str(result.error)
        assert world.calls["provision"] == calls
        assert other.wait_vm_operation(pending)[0] is Status.SUCCEEDED
    assert corrupt.read_bytes() == content


def test_newer_schema_is_refused(ops: VMOps, registry: Registry, journal: Path) -> None:
    """A journal of a newer vmops is left alone, with advice."""
    ops.vm_provision(VM)
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute("update meta set value='99' where key='schema'")
    with VMOps({"backend": "memory"}, journal=journal, registry=registry) as other:
        status, result = other.vm_provision(VM)
    assert status is Status.FAILED
    assert "upgrade vmops" in str(result.error)


_FULL_DISK = """
import resource, signal, sys
sys.path[:0] = {path!r}
from pathlib import Path
from vmops import VMOps
from vmops.plugins import Registry
import memory_cloud
world = memory_cloud.World()
registry = Registry(entry_points=[])
registry.register(memory_cloud.plugin_for(world), "memory")
ops = VMOps({{"backend": "memory"}}, journal={journal!r}, registry=registry)
ops.vm_provision({{"vmName": "first"}})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
status, result = ops.vm_provision({{"vmName": "second"}})
print(status.name, type(result.error).__name__, world.calls["provision"])
"""


def test_full_disk_means_no_call(tmp_path: Path) -> None:
    """When the intent cannot be written (a file size limit, as on a full disk) no call is made."""
    code = _FULL_DISK.format(
        path=[p for p in (*sys.path, str(Path(__file__).parent)) if p],
        journal=str(tmp_path / "s" / "journal.db"),
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["FAILED", "JournalError", "1"], done.stderr


def test_answer_that_cannot_be_written_loses_nothing(
    ops: VMOps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk fails after the call the caller still gets its handle."""

    def fail(*_: object) -> None:
        msg = "no space"
        raise JournalError(msg)

    monkeypatch.setattr(DurableJournal, "accepted", fail)
    status, result = ops.vm_provision(VM)
    assert status is Status.PENDING
    assert ops.wait_vm_operation(result)[0] is Status.SUCCEEDED


def test_sixteen_writers_lose_nothing(tmp_path: Path) -> None:
    """Intents written by 8 processes at once are all there, each with its own sequence number."""
    journal = tmp_path / "s" / "journal.db"
    code = (
        f"import sys; sys.path[:0] = {[p for p in sys.path if p]!r}\n"
        "from vmops.records import Intent, Row\n"
        "from vmops.durable_journal import DurableJournal\n"
        "from vmops.store import SqlStore\n"
        f"journal = DurableJournal(SqlStore({str(journal)!r}))\n"
        "for i in range(20):\n"
        "    uid = f'memory/a//{sys.argv[1]}-{i}'\n"
        "    journal.intend_creates([Intent(Row(uid), uid, digest='d')], 0.0, together=False)\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(n)], env=dict(os.environ))
        for n in range(8)
    ]
    assert [writer.wait(60) for writer in writers] == [0] * 8
    with closing(sqlite3.connect(journal)) as connection:
        found = connection.execute("select count(*), count(distinct sequence) from vms").fetchone()
    assert found == (160, 160)


def test_a_batch_is_one_token_and_is_sent_again_whole(tmp_path: Path) -> None:
    """Of a batched create with an unknown outcome, repeating one member re-sends all of them."""
    config = {
        "backend": "sim",
        "clock": "virtual",
        "world": tmp_path.name.replace("_", "-")[:40],
        "faults": ",".join(f"provision:{n}=lost" for n in range(1, 40)),
    }
    journal = tmp_path / "s" / "journal.db"
    names = [{"vmName": f"v{i}"} for i in range(5)]
    with VMOps(config, journal=journal) as ops:
        assert {status for _, status, _ in ops.run_many("provision", names)} == {Status.FAILED}
        assert {state for _, state, _, _ in rows(journal)} == {"INTENT"}
        assert len({token for _, _, _, token in rows(journal)}) == 1
    with VMOps({**config, "faults": ""}, journal=journal) as ops:
        status, result = ops.vm_provision(names[3])
        assert status is Status.PENDING
        assert ops.wait_vm_operation(result)[0] is Status.SUCCEEDED
        assert len(ops.list_vms()) == 5
        assert [state for _, state, _, _ in sorted(rows(journal))].count("ACCEPTED") == 4
        again = list(ops.run_many("provision", names))
        assert {status for _, status, _ in again} <= {Status.PENDING, Status.SUCCEEDED}
        assert len(ops.list_vms()) == 5


def test_an_answer_written_meanwhile_makes_an_intent_stale(tmp_path: Path) -> None:
    """Who read the row before another's answer came in must look again: or there were two VMs."""
    journal = DurableJournal(SqlStore(tmp_path / "s" / "journal.db"))
    ((row,),) = journal.intend_creates([Intent(Row("u"), "a", digest="d")], 1.0, together=False)
    assert isinstance(row, Row)
    late = journal.rows(["u"])["u"]
    operation = Operation("memory", "a", Action.PROVISION, id="1", at=1.0)
    journal.accepted([(row, operation)])
    (answer,) = journal.intend_creates([Intent(late, "a", digest="d")], 2.0, together=False)
    assert isinstance(answer, Stale)
    journal.close()
