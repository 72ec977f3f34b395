"""`vmops doctor`: finds what is wrong, says the fix, changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

ON = ("--backend", "filecloud")


def test_a_healthy_machine_is_exit_code_0(here: Any) -> None:
    """Everything that was looked at is listed, with the promised keys; nothing is made."""
    said = here.json("doctor", *ON)
    assert said["ok"] is True
    keys = {"about", "name", "ok", "needed", "detail", "fix"}
    assert all(set(check) == keys for check in said["checks"])
    looked_at = {(check["about"], check["name"]) for check in said["checks"]}
    assert {("python", "version"), ("ssh", "client"), ("state", "folder")} <= looked_at
    assert {("journal", "place"), ("filecloud", "plugin")} <= looked_at
    assert not here.program.journal.exists()


def test_a_journal_in_use_is_opened(here: Any) -> None:
    """With a journal, its place, schema and install id are told."""
    here("provision", "web", *ON)
    text = here("doctor", *ON).stdout
    assert f"ok    journal: place: {here.program.journal}" in text
    assert "install id" in text


def test_a_journal_that_others_can_read_is_exit_code_3(here: Any) -> None:
    """What is wrong with the journal is said along with the command that mends it."""
    here("provision", "web", *ON)
    here.program.journal.chmod(0o644)
    text = here("doctor", *ON, code=3).stdout
    assert "BAD   journal: place:" in text
    assert f"chmod 600 {here.program.journal}" in text


def test_a_corrupt_journal_is_exit_code_3(here: Any) -> None:
    """A file that is no database is named."""
    here.program.journal.parent.mkdir()
    here.program.journal.write_bytes(b"no database" * 1000)
    here.program.journal.chmod(0o600)
    assert "BAD   journal: place:" in here("doctor", *ON, code=3).stdout


def test_a_state_folder_that_others_can_read_is_exit_code_3(here: Any) -> None:
    """State is private: a folder open to others is reported with its chmod line."""
    folder = here.program.tmp / "home state" / "vmops"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    text = here("doctor", *ON, code=3).stdout
    assert f"fix: chmod 700 {folder}" in text


def test_giving_up_the_journal_is_only_a_note(here: Any) -> None:
    """--journal none is told, but nothing that is needed is missing."""
    assert "note  journal: place: none" in here("doctor", *ON, "--journal", "none").stdout


@pytest.mark.parametrize(
    ("word", "line", "code"),
    [
        ("ok", "ok    filecloud: disk: ok", 0),
        ("note", "note  filecloud: disk: note", 0),
        ("bad", "BAD   filecloud: disk: bad\n      fix: mend-it", 3),
        ("bug", "BAD   filecloud: own checks: RuntimeError: the doctor is ill", 3),
    ],
)
def test_a_backends_own_checks_count(here: Any, word: str, line: str, code: int) -> None:
    """What a backend needs and lacks is 3, what is good to know is not; its bugs are findings."""
    (here.program.root / "doctor").write_text(word)
    assert line in here("doctor", *ON, code=code).stdout


def test_a_backend_whose_settings_are_missing_says_which(
    here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A required setting that nothing gives is a finding of that backend."""
    monkeypatch.delenv("VMOPS_FILECLOUD_ROOT")
    assert "BAD   filecloud: settings: " in here("doctor", *ON, code=3).stdout


def test_asking_about_an_unknown_backend_is_exit_code_2(here: Any) -> None:
    """A name that nobody provides is bad input, not a missing thing."""
    assert "nimbus" in here("doctor", "--backend", "nimbus", code=2).stderr
