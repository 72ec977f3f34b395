"""Many processes on one journal, killed and frozen at random, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from processes.forks import answer, running
from processes.postgres import Postgres, postgres
from processes.scene import Scene
from processes.storm import rage
from processes.work import die_after_the_call, look

from vmops import Status
from vmops.durable_journal import DurableJournal
from vmops.errors import JournalError
from vmops.store import SqlStore

ROUGH = {"lostAnswers": 0.1, "provisionSeconds": "0.2", "deprovisionSeconds": "0.1"}
LEASE = 1.0


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A PostgreSQL server."""
    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    """An empty scene with a journal of each kind."""
    database = ""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("server")
        database = fresh_database(server, tmp_path)
    return Scene(tmp_path, database=database, lease=LEASE, settings=ROUGH)


def fresh_database(server: Postgres, folder: Path) -> str:
    """A database of its own for each test."""
    import psycopg

    name = f"t{abs(hash(str(folder)))}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"create database {name}")  # type: ignore[arg-type]
    return server.url.replace("/postgres?", f"/{name}?")


@pytest.mark.long
def test_storm(scene: Scene) -> None:
    """Whatever was killed when: nothing is leaked, lost, stuck, duplicated or corrupt."""
    ended = rage(scene, seconds=12)
    assert ended.audit.clean, ended
    assert ended.broken == 0, "a worker ended by itself"
    assert ended.kills > 10
    assert ended.machines > 5


@pytest.mark.parametrize("verb", ["provision", "deprovision"])
def test_takeover(scene: Scene, verb: str) -> None:
    """What a killed process left is taken over within its lease and 5 s more."""
    calm = Scene(scene.folder, database=scene.database, lease=LEASE)
    if verb == "deprovision":
        with calm.open() as ops:
            ops.wait_vm_operation(ops.vm_provision({"vmName": "web-1"})[1])
    with running(die_after_the_call, calm, verb) as (process, _):
        process.join(30)
        assert process.exitcode == -9
    died = time.monotonic()
    with calm.open() as ops:
        while not any(item.found in {"live", "gone"} for item in ops.recover()):
            assert time.monotonic() - died < LEASE + 5
            time.sleep(0.1)
    audit, _ = answer(look, calm)
    assert audit.clean, audit


def test_the_database_goes_down_and_comes_back(server: Postgres, tmp_path: Path) -> None:
    """Without the journal nothing is created or deleted, reads go on; then work resumes."""
    scene = Scene(tmp_path, database=fresh_database(server, tmp_path))
    with scene.open() as ops:
        ops.wait_vm_operation(ops.vm_provision({"vmName": "web-1"})[1])
        server.stop()
        try:
            calls = _calls(scene)
            for verb, name in ((ops.vm_provision, "web-2"), (ops.vm_deprovision, "web-1")):
                status, result = verb({"vmName": name})
                assert status is Status.FAILED
                assert isinstance(result.error, JournalError), result.error
            assert _calls(scene) == calls
            assert ops.describe({"vmName": "web-1"}).state == "running"
            assert [vm.name for vm in ops.list_vms()] == ["web-1"]
            status, pending = ops.vm_stop({"vmName": "web-1"})
            assert status is Status.PENDING, pending.error
            assert ops.wait_vm_operation(pending)[0] is Status.SUCCEEDED
            _refused_while_down(scene)
        finally:
            server.start()
        assert ops.vm_provision({"vmName": "web-2"})[0] is Status.PENDING
        assert ops.vm_deprovision({"vmName": "web-1"})[0] is Status.PENDING


def _refused_while_down(scene: Scene) -> None:
    """A process that starts while the journal is down says so and says where it is."""
    with pytest.raises(JournalError, match="host="):
        SqlStore(scene.journal)


def _calls(scene: Scene) -> dict[str, int]:
    calls: dict[str, Any] = json.loads((scene.cloud / "default.json").read_text())["calls"]
    return {kind: calls.get(kind, 0) for kind in ("provision", "deprovision")}


def test_two_machines_share_a_journal(server: Postgres, tmp_path: Path) -> None:
    """Two VMOps on one database are one install: each may delete what the other made."""
    scene = Scene(tmp_path, database=fresh_database(server, tmp_path))
    with scene.open() as one, scene.open() as other:
        one.wait_vm_operation(one.vm_provision({"vmName": "web-1"})[1])
        status, pending = other.vm_deprovision({"vmName": "web-1"})
        assert status is Status.PENDING
        assert one.wait_vm_operation(pending)[0] is Status.SUCCEEDED
        assert one.recover() == other.recover() == []


def test_a_url_without_a_driver_means_psycopg(server: Postgres) -> None:
    """`postgresql://` needs no driver's name, and the password is not told."""
    store = SqlStore(server.url.replace("vmops@", "vmops:secret@"))
    assert "secret" not in store.place
    assert len(DurableJournal(store).owner) == 16
    store.close()
