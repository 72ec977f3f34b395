"""Reading the journal: what is told, and that reading never writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vmops.errors import JournalError
from vmops.history import History
from vmops.operation import Action, Operation
from vmops.sql_journal import SqlJournal
from vmops.store import Store
from vmops.tracker import End, Outcome


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def journal(place: Path) -> Iterator[SqlJournal]:
    """A journal to write to."""
    journal = SqlJournal(Store(place))
    yield journal
    journal.close()


def took(journal: SqlJournal, *seconds: float, end: End = End.SUCCEEDED) -> None:
    """Write down operations that took so long."""
    for index, each in enumerate(seconds):
        id_ = f"{end.value[:2]}{len(seconds)}{index}"
        operation = Operation("sim", f"vm-{index}", Action.START, id=id_, at=100.0)
        journal.record([("uid", operation)])
        journal.ended([Outcome(operation, end, 100.0 + each)])


def test_usual_is_the_median_of_what_succeeded(journal: SqlJournal, place: Path) -> None:
    """Failures say nothing about how long success takes, and one slow day does not either."""
    took(journal, 2.0, 3.0, 100.0)
    took(journal, 7.0, 8.0, 9.0, 9.5, end=End.FAILED)
    with History(place) as history:
        assert history.usual("sim", "start") == 3.0
        assert history.usual("sim", "stop") is None
        assert history.usual("aws", "start") is None


def test_too_few_durations_are_no_habit(journal: SqlJournal, place: Path) -> None:
    """Two operations do not make a usual."""
    took(journal, 2.0, 3.0)
    with History(place) as history:
        assert history.usual("sim", "start") is None


def test_entries_are_newest_first_with_their_urls(journal: SqlJournal, place: Path) -> None:
    """An entry has what `vmops wait` needs, and how it ended."""
    took(journal, 2.0, 3.0)
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
        assert history.usual("sim", "start") is None
        assert history.install_id() == ""
    assert not place.parent.exists()


def test_reading_never_writes(journal: SqlJournal, place: Path) -> None:
    """The connection is read-only: even a statement that writes is refused."""
    import sqlalchemy as sa

    took(journal, 1.0)
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
