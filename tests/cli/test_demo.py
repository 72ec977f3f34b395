"""`vmops demo`: it kills what it says it kills, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from typing import Any

import pytest

ON = ("--backend", "filecloud")


def test_the_whole_demo(program: Any) -> None:
    """Four VMs' life with two processes killed ends with exit code 0 and no VM."""
    done = program.run("demo", *ON)
    assert "0 VMs left" in done.stdout
    assert done.stdout.count("kill -9 ") == 4  # twice as it happens, twice in the timeline
    assert "4 of 4 restarts were still open" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if re.search(r" s +demo-", line)]
    assert [row[3] for row in rows].count("restart") == 4
    assert len(rows) == 20
    asked = {row[4] for row in rows if row[3] == "restart"}
    seen = {row[5] for row in rows if row[3] == "restart"}
    assert len(asked) == len(seen) == 1
    assert asked != seen
    assert program.vms() == []


def test_its_events_are_what_happened(program: Any) -> None:
    """The JSON lines agree with the cloud: who was killed, what was open, what was booted."""
    lines = program.lines("demo", *ON)
    kinds = [line["event"] for line in lines]
    assert kinds[0] == "begun"
    assert kinds[-2:] == ["left", "done"]
    killed = [line for line in lines if line["event"] == "killed"]
    assert [(line["signal"], len(line["open"])) for line in killed] == [(9, 4), (9, 4)]
    (resumed,) = (line for line in lines if line["event"] == "resumed")
    assert len({killed[0]["pid"], killed[1]["pid"], resumed["pid"], lines[0]["pid"]}) == 4
    for line in killed:
        with pytest.raises(ProcessLookupError):
            os.kill(line["pid"], 0)
    ended = [line for line in lines if line["event"] == "ended"]
    assert len(ended) == 20
    assert {line["status"] for line in ended} == {"SUCCEEDED"}
    boots = {line["result"]["bootCount"] for line in ended if line["action"] == "restart"}
    assert boots == {3}
    assert next(line for line in lines if line["event"] == "left")["count"] == 0
    assert program.calls("restart") == 4
    assert program.calls("start") == 8  # one start each, and one second phase each: never two


def test_a_failure_is_cleaned_up(program: Any) -> None:
    """Where a step fails, what was made is deleted, and the exit code is that failure's."""
    done = program.run("demo", *ON, "-p", "fault=late", code=1)
    assert "it burns" in done.stderr
    assert program.calls("provision") == 4
    assert program.vms() == []


def test_what_is_missing_is_exit_code_3(program: Any) -> None:
    """A machine that lacks something gets its install line, once, and another way to see it."""
    done = program.run("demo", *ON, "-p", "fault=missing", code=3)
    assert done.stderr.count("buy paper-clip") == 1
    assert "vmops demo --backend sim" in done.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_interrupting_it_leaves_no_vm(program: Any, number: int, code: int) -> None:
    """Ctrl-C and SIGTERM in the middle delete what was made."""
    with program.start("demo", *ON, "-p", "seconds=1000", "--json") as process:
        accepted = [json.loads(process.stdout.readline()) for _ in range(5)]
        assert [line["event"] for line in accepted] == ["begun"] + ["accepted"] * 4
        assert len(program.vms()) == 4
        program.hurry()
        process.send_signal(number)
        said, noted = process.communicate()
        assert process.returncode == code, said + noted
    assert program.vms() == []
    assert "Traceback" not in noted


def test_two_demos_do_not_meet(program: Any) -> None:
    """Demos side by side use different names and both succeed."""
    with program.start("demo", *ON, "--json") as one, program.start("demo", *ON, "--json") as two:
        said = [process.communicate()[0] for process in (one, two)]
        assert (one.returncode, two.returncode) == (0, 0), said
    names = [set(json.loads(text.splitlines()[0])["names"]) for text in said]
    assert not names[0] & names[1]
    assert program.vms() == []


def test_a_cloud_in_memory_is_shared_for_the_demo(program: Any) -> None:
    """A backend that can put its cloud into a folder is asked to: other processes must see it."""
    lines = program.lines("demo", *ON, env={"VMOPS_FILECLOUD_ROOT": "-"})
    assert lines[-1]["event"] == "done"
    assert program.calls("provision") == 0  # it was another cloud


def test_the_demo_on_sim(program: Any) -> None:
    """Where no QEMU is, `sim` shows the same flow, one-phase restarts and all."""
    quick = {f"VMOPS_SIM_{verb}_SECONDS": "0.1" for verb in ("PROVISION", "STOP", "START")}
    quick["VMOPS_SIM_STATE_DIR"] = str(program.tmp / "sim")
    lines = program.lines("demo", "--backend", "sim", env=quick)
    ended = [line["action"] for line in lines if line["event"] == "ended"]
    verbs = ("provision", "stop", "start", "restart", "deprovision")
    assert ended == [verb for verb in verbs for _ in range(4)]
    assert (lines[-2]["event"], lines[-2]["names"]) == ("left", [])


@pytest.mark.skipif(sys.platform != "linux", reason="local VMs are tried on Linux")
def test_the_demo_on_real_vms(program: Any) -> None:
    """On `local`, real VMs count their boots on their own disks, and the demo leaves none."""
    if shutil.which("qemu-system-x86_64") is None and not os.environ.get("VMOPS_REQUIRE_QEMU"):
        pytest.skip("no QEMU here: apt-get install -y --no-install-recommends qemu-system-x86")
    lines = program.lines("demo", "--backend", "local")
    ended = [line for line in lines if line["event"] == "ended"]
    boots = {line["action"]: set() for line in ended}
    for line in ended:
        boots[line["action"]].add(line["result"].get("bootCount"))
    assert (boots["provision"], boots["start"], boots["restart"]) == ({1}, {2}, {3})
    assert [len(line["open"]) for line in lines if line["event"] == "killed"] == [4, 4]
    left = next(line for line in lines if line["event"] == "left")
    assert left["names"] == []
    folder = program.tmp / "home state" / "vmops" / "local" / "vms"
    assert list(folder.iterdir()) == []
