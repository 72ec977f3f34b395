"""The journal's database: opened safely or not at all, taken from schema to schema, never lost."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from vmops import VMOps
from vmops.durable_journal import DurableJournal
from vmops.errors import JournalError
from vmops.migrations import SCHEMA_VERSION
from vmops.records import Place, Row
from vmops.sqlite_file import _file_system
from vmops.store import SqlStore

V1 = Path(__file__).with_name("journal_v1.sql")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A journal with one row."""
    file = tmp_path / "state" / "journal.db"
    store = SqlStore(file)
    with store.writing(durable=True) as tables:
        tables.put([Row("sim/a//web-1", 0, "LIVE", vm="web-1", place="sim?account=a")])
    store.close()
    return file


def cut(file: Path) -> None:
    """Lose the second half."""
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    """Lose everything."""
    os.truncate(file, 0)


def scribble(file: Path) -> None:
    """Be something else."""
    file.write_bytes(b"no database at all " * 500)


def other_application(file: Path) -> None:
    """Be some other program's database."""
    file.unlink()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("create table meta (key text, value text)")
    file.chmod(0o600)


def newer(file: Path) -> None:
    """Come from the future."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("update meta set value = '99' where key = 'schema'")


def open_to_all(file: Path) -> None:
    """Be readable by others."""
    file.chmod(0o644)


def linked(file: Path) -> None:
    """Be elsewhere."""
    file.rename(file.with_name("real.db"))
    file.symlink_to("real.db")


@pytest.mark.parametrize(
    ("harm", "advice"),
    [
        (cut, "restore it from a backup"),
        (empty, "restore it from a backup"),
        (scribble, "restore it from a backup"),
        (other_application, "no journal of vmops"),
        (newer, "upgrade vmops"),
        (open_to_all, "chmod 600"),
        (linked, "symbolic link"),
    ],
)
def test_an_unfit_file_is_refused_and_left_as_it_is(
    file: Path, harm: Callable[[Path], None], advice: str
) -> None:
    """The error names the file and the next step, and not a byte is changed."""
    harm(file)
    before = file.read_bytes()
    with pytest.raises(JournalError, match=advice) as caught:
        SqlStore(file)
    assert str(file) in str(caught.value)
    assert file.read_bytes() == before


@pytest.mark.parametrize("harm", [scribble, newer])
def test_a_refused_file_is_let_go_of(file: Path, harm: Callable[[Path], None]) -> None:
    """Nothing of it stays open, and the next attempt looks at it as closely as the first."""
    harm(file)
    with pytest.raises(JournalError):
        SqlStore(file)
    opened = {os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()}
    assert str(file) not in opened
    empty(file)
    with pytest.raises(JournalError, match="is cut off"):
        SqlStore(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_journal_is_refused(file: Path) -> None:
    """Whoever could have planted it could have us delete VMs."""
    os.chown(file, 12345, -1)
    with pytest.raises(JournalError, match="belongs to user id 12345"):
        SqlStore(file)


def test_a_half_made_journal_is_made_again(tmp_path: Path) -> None:
    """A process that died while it made the file left nothing under the journal's name."""
    file = tmp_path / "journal.db"
    file.with_name("journal.db.new").write_bytes(b"half")
    SqlStore(file).close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["journal.db", "journal.db.lock"]


def test_folders_above_it_are_private_too(tmp_path: Path) -> None:
    """Every folder that is made for the journal is for its owner alone."""
    file = tmp_path / "a" / "b" / "journal.db"
    SqlStore(file).close()
    assert [f.stat().st_mode & 0o777 for f in (file.parent, file.parent.parent)] == [0o700] * 2


def test_network_disks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks on a network file system cannot be relied on; PostgreSQL is the way to share."""
    monkeypatch.setattr("vmops.sqlite_file._file_system", lambda _: "nfs4")
    with pytest.raises(JournalError, match=r"network file system \(nfs4\).*postgresql"):
        SqlStore(tmp_path / "journal.db")


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    """The innermost mount counts, the later of two at one place, and names may hold spaces."""
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda / ext4 rw 0 0\n"
        "server:/home /home nfs4 rw 0 0\n"
        "auto /net autofs rw 0 0\n"
        "server:/x /net cifs rw 0 0\n"
        "/dev/sdb /home/me/my\\040disk xfs rw 0 0\n"
    )
    kinds = {"/home/me": "nfs4", "/var": "ext4", "/net/y": "cifs", "/home/me/my disk/z": "xfs"}
    assert {f: _file_system(Path(f), str(mounts)) for f in kinds} == kinds
    assert _file_system(Path("/"), str(tmp_path / "nothing")) == ""


def test_a_writer_does_not_wait_for_ever(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was stopped in mid-write is named after a while, instead of hanging us."""
    monkeypatch.setattr("vmops.store._PATIENCE", 0.05)
    store = SqlStore(file)
    with file.with_name("journal.db.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(JournalError, match="fuser"), store.writing():
            pass
    with store.writing() as tables:
        assert tables.sequence() == 0
    store.close()


def test_a_transaction_is_all_or_nothing(file: Path) -> None:
    """What an exception leaves behind was never written."""
    store = SqlStore(file)

    def fail_in_mid_write() -> None:
        with store.writing() as tables:
            tables.put([Row("sim/a//web-2", 0, "INTENT", vm="web-2")])
            raise KeyError

    with pytest.raises(KeyError):
        fail_in_mid_write()
    with store.reading() as tables:
        assert set(tables.rows(["sim/a//web-1", "sim/a//web-2"])) == {"sim/a//web-1"}
    store.close()


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("sqlite:///:memory:", "does not outlive a crash"),
        ("mysql://localhost/x", "SQLite file or a PostgreSQL"),
        ("postgresql://nobody:secret@127.0.0.1:1/x", "127.0.0.1"),
    ],
)
def test_bad_places_are_refused_without_their_secrets(place: str, complaint: str) -> None:
    """What cannot be a journal is said so, and a password in the URL is not."""
    with pytest.raises(JournalError, match=complaint) as caught:
        SqlStore(place)
    assert "secret" not in str(caught.value)


def test_an_sqlite_url_is_its_file(file: Path) -> None:
    """`sqlite:///PATH` is treated as the path, with all its checks."""
    store = SqlStore(f"sqlite:///{file}")
    assert store.place == str(file)
    store.close()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A journal as the first schema wrote it."""
    file = tmp_path / "journal.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(V1.read_text())
    file.chmod(0o600)
    return file


def test_schema_1_is_taken_along(old: Path) -> None:
    """Rows keep all they had and learn their place; a new index is there; it happens once."""
    for _ in range(2):
        store = SqlStore(old)
        place = Place("sim", "sim-account", {"clock": "virtual", "world": "old"})
        with store.reading() as tables:
            rows = tables.rows([place.uid(name) for name in ("live", "accepted", "intent")])
            due = tables.unfinished(place.to_text(), before=2e9)
        assert {row.vm: row.state for row in rows.values()} == {
            "live": "LIVE",
            "accepted": "ACCEPTED",
            "intent": "INTENT",
        }
        assert {row.place for row in rows.values()} == {place.to_text()}
        assert {row.vm for row in due} == {"accepted", "intent"}
        assert store.install_id == "afc8581b824f3d3d"
        assert len(store.journal_id) == 16
        store.close()
    with closing(sqlite3.connect(old)) as connection:
        names = {name for (name,) in connection.execute("select name from sqlite_master")}
        ((version,),) = connection.execute("select value from meta where key = 'schema'")
    assert {"ix_vms_due", "ix_operations_open"} <= names
    assert version == str(SCHEMA_VERSION)


def test_a_migrated_journal_is_like_a_new_one(old: Path, tmp_path: Path) -> None:
    """Migration ends at the very columns and indexes that a new journal begins with."""
    fresh = tmp_path / "fresh.db"
    SqlStore(fresh).close()
    SqlStore(old).close()

    def shape(file: Path) -> set[tuple[object, ...]]:
        with closing(sqlite3.connect(file)) as connection:
            found: set[tuple[object, ...]] = set()
            for table in ("meta", "vms", "operations"):
                columns = connection.execute(f"pragma table_info({table})").fetchall()
                found |= {(table, name, bool(pk)) for _, name, _, _, _, pk in columns}
                indexes = connection.execute(f"pragma index_list({table})").fetchall()
                found |= {(table, name) for _, name, *_ in indexes}
            return found

    assert shape(old) == shape(fresh)


def test_an_interrupted_migration_leaves_the_old_schema(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that fails is rolled back whole, and the next open takes it again."""
    monkeypatch.setattr("vmops.migrations.secrets.token_hex", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        SqlStore(old)
    monkeypatch.undo()
    with closing(sqlite3.connect(old)) as connection:
        ((version,),) = connection.execute("select value from meta where key = 'schema'")
        columns = {row[1] for row in connection.execute("pragma table_info(vms)")}
    assert version == "1"
    assert "place" not in columns
    SqlStore(old).close()


def test_an_old_journal_is_recovered_from(old: Path) -> None:
    """What an older vmops left unfinished, a newer one finishes: rows, operations and all."""
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("update vms set sent = 0")  # the virtual clock begins anew each time
    config = {"backend": "sim", "clock": "virtual", "world": "old"}
    with VMOps(config, journal=old) as ops:
        found = {(item.vm, item.was, item.found.value) for item in ops.recover()}
    # that cloud was in the memory of a process that is no more: nothing of it exists
    assert found == {
        ("intent", "INTENT", "abandoned"),
        ("accepted", "ACCEPTED", "abandoned"),
        ("live", "stop", "waiting"),  # until the horizon has passed
    }


def test_two_processes_make_one_journal(tmp_path: Path) -> None:
    """Processes that open a new journal at the same moment agree on its install id."""
    code = (
        f"import sys; sys.path[:0] = {[p for p in sys.path if p]!r}\n"
        "from vmops.store import SqlStore\n"
        f"print(SqlStore({str(tmp_path / 'x' / 'journal.db')!r}).install_id)\n"
    )
    command = [sys.executable, "-c", code]
    openers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({opener.communicate(timeout=60)[0] for opener in openers}) == 1
    assert [opener.returncode for opener in openers] == [0] * 4


def test_places_survive_their_text() -> None:
    """Whatever stands in an account or a setting, a place is read back as it was written."""
    place = Place("azure", "sub/1?&=#%", {"region": "west europe", "group": "a,b=c/d"})
    assert Place.from_text(place.to_text()) == place


def test_a_lease_belongs_to_one_claimer(file: Path) -> None:
    """A row whose lease is over is claimed once, with a higher fence, until that lease ends too."""
    store = SqlStore(file)
    with store.writing() as tables:
        tables.put([Row("u", 0, "INTENT", place="p", fence=3, lease_until=100.0)])
    first, second = DurableJournal(store, lease=10.0), DurableJournal(store, lease=10.0)
    assert first.claim("p", 99.0) == []
    assert first.claim("elsewhere", 100.0) == []
    ((row),) = first.claim("p", 100.0)
    assert (row.fence, row.lease_until, row.unsure) == (4, 110.0, True)
    assert second.claim("p", 109.0) == []
    assert [taken.fence for taken in second.claim("p", 110.0)] == [5]
    store.close()


@pytest.mark.skipif(sys.platform == "win32", reason="locks are another matter there")
def test_a_process_with_two_journals_open_keeps_its_locks(tmp_path: Path) -> None:
    """Opening the file a second time takes no lock away: others do not think it is theirs alone.

    The last one to close a database removes its log, so whoever is wrongly taken for the last one
    takes away what is not in the database yet.
    """
    file = tmp_path / "journal.db"
    look = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('select 1 from vms')"
    stores = [SqlStore(file) for _ in range(3)]
    with stores[0].writing(durable=True) as tables:
        tables.put([Row("a", state="INTENT")])
    stores.pop().close()
    subprocess.run([sys.executable, "-c", f"{look}; c.close()", str(file)], check=True)
    assert file.with_name("journal.db-wal").exists()
    with stores[1].reading() as tables:
        assert tables.rows(["a"])["a"].state == "INTENT"
    for store in stores:
        store.close()
    assert not file.with_name("journal.db-wal").exists()
    SqlStore(file).close()  # and its header is read again, now that nobody has it open
