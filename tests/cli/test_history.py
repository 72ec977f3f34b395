"""Reading the journal: what is told, and that reading never writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vmops.durable_journal import DurableJournal
from vmops.errors import JournalError
from vmops.history import History
from vmops.operation import Action, Operation
from vmops.outcomes import End, Outcome
from vmops.records import Intent, Row
from vmops.store import SqlStore


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def journal(place: Path) -> Iterator[DurableJournal]:
    """A journal to write to."""
    journal = DurableJournal(SqlStore(place))
    yield journal
    journal.close()


def operation(vm: str, id_: str, action: Action = Action.START) -> Operation:
    """An operation that was asked for at second 100."""
    return Operation("sim", vm, action, id=id_, at=100.0, account="acct")


def made(journal: DurableJournal, vm: str, digest: str) -> None:
    """Write down that a VM was made from params with this digest."""
    journal.intend_creates([Intent(Row(f"sim/{vm}"), vm, digest=digest)], 90.0, together=False)


def asked(journal: DurableJournal, vm: str, action: Action = Action.START) -> Operation:
    """Write down an operation that nobody has seen end."""
    going_on = operation(vm, f"{vm}-{action}-now", action)
    journal.record([(f"sim/{vm}", going_on)])
    return going_on


def took(journal: DurableJournal, vm: str, *seconds: float, end: End = End.SUCCEEDED) -> None:
    """Write down operations on a VM that took so long."""
    for each in seconds:
        over = operation(vm, f"{vm}-{each}-{end.value}")
        journal.record([(f"sim/{vm}", over)])
        journal.ended([Outcome(over, end, 100.0 + each)])


def test_usual_is_the_median_on_vms_made_alike(journal: DurableJournal, place: Path) -> None:
    """A slow day counts little; failures and other kinds of VMs do not count at all."""
    for vm, digest in (("a", "nano"), ("b", "nano"), ("big", "linux")):
        made(journal, vm, digest)
    took(journal, "a", 2.0, 100.0)
    took(journal, "b", 3.0)
    took(journal, "b", 7.0, 8.0, 9.0, end=End.FAILED)
    took(journal, "big", 60.0, 61.0, 62.0, 63.0)
    with History(place) as history:
        assert history.usual(asked(journal, "a")) == 3.0
        assert history.usual(asked(journal, "big")) == 61.5
        assert history.usual(asked(journal, "b", Action.STOP)) is None
        assert history.usual(operation("a", "of-another-journal")) is None
        assert history.usual(asked(journal, "a-stranger")) is None


def test_too_few_durations_are_no_habit(journal: DurableJournal, place: Path) -> None:
    """Two operations do not make a usual."""
    made(journal, "a", "nano")
    took(journal, "a", 2.0, 3.0)
    with History(place) as history:
        assert history.usual(asked(journal, "a")) is None


def test_entries_are_newest_first_with_their_urls(journal: DurableJournal, place: Path) -> None:
    """An entry has what `vmops wait` needs, and how it ended."""
    took(journal, "vm-0", 2.0)
    took(journal, "vm-1", 3.0)
    with History(place) as history:
        newest, oldest = history.operations()
        assert (newest.vm, oldest.vm) == ("vm-1", "vm-0")
        assert Operation.from_url(newest.url).id == newest.id
        assert (newest.status, newest.ended) == ("succeeded", 103.0)
        assert history.operations(unended=True) == []
        assert history.install_id() == journal.owner


def test_reading_a_journal_that_is_not_there_makes_none(place: Path) -> None:
    """No file, no folder; just nothing to tell."""
    with History(place) as history:
        assert history.operations() == []
        assert history.usual(operation("a", "next")) is None
        assert history.install_id() == ""
    assert not place.parent.exists()


def test_reading_never_writes(journal: DurableJournal, place: Path) -> None:
    """The connection is read-only: even a statement that writes is refused."""
    import sqlalchemy as sa

    took(journal, "a", 1.0)
    history = History(place)
    with history._engine.connect() as connection, pytest.raises(sa.exc.OperationalError):
        connection.execute(sa.text("DELETE FROM operations"))
    history.close()


def test_a_file_that_is_no_journal_is_named(place: Path) -> None:
    """The message names the file and the next step."""
    place.parent.mkdir()
    place.write_bytes(b"no database" * 1000)
    with History(place) as history, pytest.raises(JournalError, match="VMOPS_JOURNAL"):
        history.operations()


def test_a_database_without_our_tables_is_empty(place: Path) -> None:
    """A database that vmops has not written to yet has nothing to tell."""
    place.parent.mkdir()
    place.touch()
    with History(place) as history:
        assert history.operations() == []
