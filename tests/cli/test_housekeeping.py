"""`vmops recover`, `vmops reap`, `vmops renew`: what they say, what they do, how they end."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from vmops.errors import CloudError

ON = ("--backend", "filecloud")
SLOW = ("-p", "seconds=1000")
RECOVERED = {"vm", "backend", "was", "found", "until", "url", "error"}
REAPED = {"vm", "id", "backend", "state", "reason", "due", "url", "error"}
AGES = 10_000  # seconds: longer than any lease, horizon or ttl here


def change(program: Any, statement: str) -> None:
    """Change the journal as only a test may."""
    with closing(sqlite3.connect(program.journal)) as connection, connection:
        connection.execute(statement)


def left_by_the_dead(program: Any, *arguments: str) -> None:
    """A create whose process was killed before it wrote the answer down, a lease ago."""
    program.run("provision", "web", *ON, *arguments, "--no-wait")
    change(program, "delete from operations")
    change(program, "update vms set state = 'INTENT', vm_id = '', url = '', lease_until = 0")


def expire(program: Any, name: str = "web") -> str:
    """Let a VM's time to live be over, by its tag and its row; its owner's install id."""
    over = int(time.time()) - AGES
    change(program, f"update vms set expires = {over} where vm = '{name}'")  # noqa: S608
    file: Path = program.root / f"{name}.json"
    record = json.loads(file.read_text())
    record["tags"]["vmops-expires"] = str(over)
    file.write_text(json.dumps(record))
    return str(record["tags"]["vmops-owner"])


def state(program: Any) -> str:
    """The state of the journal's only row."""
    with closing(sqlite3.connect(program.journal)) as connection:
        ((found,),) = connection.execute("select state from vms").fetchall()
    return str(found)


def alive(program: Any) -> list[str]:
    """The VMs that nobody has asked the cloud to delete."""
    records = [json.loads((program.root / f"{name}.json").read_text()) for name in program.vms()]
    return [record["name"] for record in records if record["state"] != "deleting"]


def test_nothing_to_recover(here: Any) -> None:
    """Where nothing was left, recover says so and ends with 0, in JSON by saying nothing."""
    assert "nothing is unfinished" in here("recover").stderr
    assert here("recover", "--json").stdout == ""


def test_a_living_callers_create_is_left_to_it(here: Any) -> None:
    """Within its lease an unfinished create is nobody else's: it is named, and left as it is."""
    here("provision", "web", *ON, "--no-wait")
    change(here.program, "delete from operations")
    change(here.program, "update vms set state = 'INTENT'")
    line = here.json("recover", code=4)
    assert (line["was"], line["found"], line["url"]) == ("INTENT", "waiting", "")
    assert state(here.program) == "INTENT"


def test_a_killed_create_is_adopted(program: Any) -> None:
    """Its VM is found at the place that the journal knows, without any option, and held."""
    left_by_the_dead(program)
    (line,) = program.lines("recover")
    assert set(line) == RECOVERED
    assert (line["vm"], line["backend"]) == ("web", "filecloud")
    assert (line["was"], line["found"]) == ("INTENT", "live")
    assert (line["until"], line["error"]) == (None, None)
    assert state(program) == "LIVE"
    assert program.calls("provision") == 1
    program.run("deprovision", "web", *ON)
    assert program.vms() == []


def test_a_create_that_never_was_is_abandoned(here: Any) -> None:
    """What the cloud never shows is given up, in a table for people; none is created."""
    left_by_the_dead(here.program)
    (here.program.root / "web.json").unlink()
    said = here("recover", *ON).stdout
    assert "abandoned" in said
    assert "INTENT" in said
    assert state(here.program) == "ABANDONED"
    assert here.program.vms() == []


def test_a_killed_deletion_is_finished(here: Any) -> None:
    """It is asked for again; the line has the URL to wait for."""
    here("provision", "web", *ON)
    change(here.program, "update vms set state = 'DELETING', lease_until = 0")
    line = here.json("recover")
    assert (line["was"], line["found"]) == ("DELETING", "deleting")
    here("wait", line["url"])
    assert (here.program.vms(), state(here.program)) == ([], "GONE")


def test_an_operation_nobody_waited_for_is_seen_to_its_end(here: Any) -> None:
    """Such an operation is named by its action."""
    here("provision", "web", *ON, "--no-wait")
    line = here.json("recover")
    assert (line["was"], line["found"]) == ("provision", "live")
    assert state(here.program) == "LIVE"


def test_trouble_is_exit_code_1(program: Any) -> None:
    """A place whose plugin is missing is trouble that names it; the row stays as it was."""
    left_by_the_dead(program)
    (line,) = program.lines("recover", code=1, env={"PYTHONPATH": ""})
    assert (line["backend"], line["found"]) == ("filecloud", "trouble")
    assert "vmops-filecloud" in line["error"]
    assert state(program) == "INTENT"


def test_what_is_unfinished_is_exit_code_4(program: Any) -> None:
    """A VM that still starts comes with when to look again, and with what to wait for."""
    left_by_the_dead(program, *SLOW)
    (line,) = program.lines("recover", code=4)
    assert line["found"] == "waiting"
    assert line["until"] > "2"
    program.hurry()
    program.run("wait", line["url"])
    assert "nothing is unfinished" in program.run("recover").stderr
    assert state(program) == "LIVE"


def test_wait_looks_again_until_all_is_over(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """--wait comes back when it was told to, and ends with the last look's exit code."""
    left_by_the_dead(here.program, *SLOW)
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        here.program.hurry()
        change(here.program, "update vms set lease_until = 0")

    monkeypatch.setattr("vmops.cli.housekeeping.time.sleep", sleep)
    lines = [json.loads(line) for line in here("recover", "--wait", "--json").stdout.splitlines()]
    assert [line["found"] for line in lines] == ["waiting", "live"]
    assert len(pauses) == 1
    assert 1.0 <= pauses[0] <= 61.0
    assert state(here.program) == "LIVE"


def test_nothing_to_reap(here: Any) -> None:
    """A VM that is needed is not listed."""
    here("provision", "web", *ON, "-p", f"ttl={AGES}")
    assert "nothing to reap" in here("reap").stderr
    assert here.json("reap") == []


def test_reap_is_a_dry_run_unless_told_yes(here: Any) -> None:
    """Without --yes a VM past its ttl is only listed, and what would delete it is said."""
    here("provision", "web", *ON, "-p", "ttl=1000")
    expire(here.program)
    done = here("reap")
    assert "would be deleted" in done.stdout
    assert "expired" in done.stdout
    assert "vmops reap --yes" in done.stderr
    assert (alive(here.program), here.program.calls("deprovision")) == (["web"], 0)
    done = here("reap", "--yes")
    assert "is being deleted" in done.stdout
    assert (alive(here.program), here.program.calls("deprovision")) == ([], 1)
    assert "nothing to reap" in here("reap").stderr


def test_reap_in_json_is_one_array(here: Any) -> None:
    """Each VM has the promised keys; the deletion's URL can be waited for."""
    here("provision", "web", *ON, "-p", "ttl=1000")
    expire(here.program)
    (listed,) = here.json("reap")
    assert set(listed) == REAPED
    assert (listed["vm"], listed["backend"], listed["state"]) == ("web", "filecloud", "running")
    assert (listed["reason"], listed["due"], listed["url"]) == ("expired", True, "")
    (deleted,) = here.json("reap", "--yes")
    here("wait", deleted["url"])
    assert state(here.program) == "GONE"


def test_a_late_create_is_reaped(here: Any) -> None:
    """A VM whose row was closed while it was on its way is finished with."""
    left_by_the_dead(here.program)
    change(here.program, "update vms set state = 'ABANDONED'")
    (item,) = here.json("reap", "--yes")
    assert (item["reason"], item["due"]) == ("finished", True)
    assert alive(here.program) == []


def test_a_lost_journals_vms_are_named_by_install_id(here: Any, tmp_path: Path) -> None:
    """Another install's expired VM is left alone until its id is given; then it alone goes."""
    here("provision", "web", "db", *ON, "-p", "ttl=1000")
    owner = expire(here.program)
    new = ("--journal", str(tmp_path / "new" / "journal.db"), *ON)
    assert "nothing to reap" in here("reap", "--yes", *new).stderr
    found = here.json("reap", "--install-id", owner, "--yes", *new)
    fates = {item["vm"]: (item["reason"], item["due"]) for item in found}
    assert fates == {"web": ("expired", True), "db": ("unrecorded", False)}
    assert alive(here.program) == ["db"]


def test_what_no_row_knows_is_left(here: Any) -> None:
    """An unrecorded VM of this install is listed as left alone, whatever is asked for."""
    here("provision", "web", *ON)
    change(here.program, "delete from vms")
    done = here("reap", "--yes", *ON)
    assert "unrecorded" in done.stdout
    assert "left alone" in done.stdout
    assert alive(here.program) == ["web"]
    assert "left alone" in here("reap", "--yes", "--unrecorded", *ON).stdout
    assert alive(here.program) == ["web"]


def test_a_deletion_that_fails_is_exit_code_1(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be deleted is named with the cloud's reason."""
    here("provision", "web", *ON, "-p", "ttl=1000")
    expire(here.program)

    def refuse(*_: object) -> None:
        raise CloudError("it is locked")

    monkeypatch.setattr("vmops_filecloud.FileCloud.deprovision", refuse)
    assert "not deleted: it is locked" in here("reap", "--yes", code=1).stdout
    (item,) = here.json("reap", "--yes", code=1)
    assert (item["error"], item["url"]) == ("it is locked", "")
    assert alive(here.program) == ["web"]


@pytest.fixture
def sim(here: Any, tmp_path: Path) -> tuple[str, ...]:
    """The options for a cloud that can change tags, with a VM that lives for 100 seconds."""
    config = tmp_path / "sim.json"
    settings = {"backend": "sim", "stateDir": str(tmp_path / "sim"), "tick": 0.01}
    config.write_text(json.dumps({**settings, "provisionSeconds": "0"}))
    options = ("--config", str(config))
    here("provision", "web", *options, "-p", "ttl=100")
    return options


def test_renewal_counts_from_now(here: Any, sim: tuple[str, ...]) -> None:
    """The new end is said in words and in JSON, and stands in tag and journal."""
    assert "web may be reaped from 2" in here("renew", "web", "--ttl", "500", *sim).stdout
    said = here.json("renew", "web", "--ttl", "5000", *sim)
    assert set(said) == {"vm", "expires"}
    assert said["vm"] == "web"
    with closing(sqlite3.connect(here.program.journal)) as connection:
        ((expires,),) = connection.execute("select expires from vms").fetchall()
    assert abs(expires - time.time() - 5000) < 60
    assert time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(expires)) in said["expires"]


def test_renewal_is_refused_for_a_reason(here: Any, sim: tuple[str, ...]) -> None:
    """A VM that is not there, or a cloud that cannot change tags, is 1; without a ttl it is 2."""
    assert "nothing to renew" in here("renew", "db", "--ttl", "9", *sim, code=1).stderr
    here("provision", "web", *ON)
    assert "cannot change the tags" in here("renew", "web", "--ttl", "9", *ON, code=1).stderr
    here("renew", "web", *sim, code=2)
    assert "ttl" in here("renew", "web", "--ttl", "-1", *sim, code=2).stderr


@pytest.mark.parametrize("command", ["recover", "reap"])
def test_housekeeping_needs_a_journal(here: Any, command: str) -> None:
    """Without a journal there is nothing to judge by: refused before any call."""
    done = here(command, "--journal", "none", *ON, code=2)
    assert "--journal is none" in done.stderr
    said = here.json(command, "--journal", "none", *ON, code=2)
    assert said["error"]["code"] == "ConfigError"
