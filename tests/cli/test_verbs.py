"""The verbs and `vmops wait`, as real processes where exit codes and signals matter."""

from __future__ import annotations

import json
import shlex
import signal
from typing import Any

import pytest

ON = ("--backend", "filecloud")
SLOW = ("-p", "seconds=1000")
KEYS = {"vm", "backend", "action", "status", "url", "result", "error"}
ERROR_KEYS = {
    "code",
    "message",
    "hint",
    "install",
    "providerCode",
    "requestId",
    "mayRemain",
}


def test_a_whole_life_is_exit_code_0_all_along(program: Any) -> None:
    """Every verb that succeeds ends with 0 and says of each VM what it is now."""
    said = {
        "provision": "is running",
        "stop": "is stopped",
        "start": "is running",
        "restart": "is running again",
        "deallocate": "is stopped",
        "deprovision": "is deleted",
    }
    for verb, words in said.items():
        done = program.run(verb, "web-1", "web-2", *ON)
        assert f"web-1 {words} after" in done.stdout
        assert f"web-2 {words} after" in done.stdout
    assert program.vms() == []
    assert program.calls("stop-release") == 4  # stop, and deallocate, of two VMs


def test_what_is_done_already_is_no_second_call(program: Any) -> None:
    """A verb on a VM that is as wanted says so, and asks nothing of the cloud."""
    program.run("provision", "web", *ON)
    done = program.run("start", "web", *ON)
    assert "web is running already" in done.stdout
    assert program.calls("start") == 0


def test_a_name_given_twice_is_one_vm(program: Any) -> None:
    """Each name is acted on once."""
    lines = program.lines("provision", "web", "web", *ON)
    assert [line["status"] for line in lines] == ["PENDING", "SUCCEEDED"]


def test_json_is_one_line_when_accepted_and_one_when_over(program: Any) -> None:
    """Lines have the promised keys; the URL is there before the end is."""
    lines = program.lines("provision", "web", *ON)
    assert [line["status"] for line in lines] == ["PENDING", "SUCCEEDED"]
    assert all(set(line) == KEYS for line in lines)
    assert lines[0]["url"].startswith("vmops+filecloud://web/provision?")
    assert lines[1]["url"] == lines[0]["url"]
    assert lines[1]["result"]["privateIp"] == "10.0.0.1"


def test_several_vms_go_side_by_side(here: Any) -> None:
    """All are asked for before the first is waited for."""
    lines = [
        json.loads(line)
        for line in here("provision", "a", "b", *ON, "--json").stdout.split("\n")
        if line
    ]
    assert [line["status"] for line in lines] == ["PENDING"] * 2 + ["SUCCEEDED"] * 2


def test_no_wait_prints_the_line_that_waits(program: Any) -> None:
    """--no-wait ends at once, with a command that finishes the wait in another process."""
    done = program.run("provision", "web", *ON, *SLOW, "--no-wait")
    name, line = done.stdout.strip().split(": ", 1)
    program.hurry()
    words = shlex.split(line)
    assert (name, words[0]) == ("web", "vmops")
    assert "web is running" in program.run(*words[1:]).stdout


def test_wait_reads_urls_from_stdin_each_once(program: Any) -> None:
    """`wait -` takes URLs, separated by anything blank, and waits for each once."""
    lines = program.lines("provision", "a", "b", *ON, "--no-wait")
    urls = [line["url"] for line in lines]
    heard = program.lines("wait", "-", input="\n".join([*urls, urls[0]]))
    ended = sorted(line["vm"] for line in heard if line["status"] == "SUCCEEDED")
    assert ended == ["a", "b"]


def test_a_refusal_is_exit_code_1_with_its_hint(program: Any) -> None:
    """What the cloud refuses is 1, told once, with provider code and hint, without a traceback."""
    done = program.run("provision", "web", *ON, "-p", "fault=capacity", code=1)
    assert done.stderr.count("no room for it") == 1
    assert "provider code: Full" in done.stderr
    assert "next: try another region" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_failure_while_waiting_is_exit_code_1(program: Any) -> None:
    """An operation that fails late is FAILED with its cause, in JSON too."""
    line = program.lines("provision", "web", *ON, "-p", "fault=late", code=1)[-1]
    assert (line["status"], line["result"]) == ("FAILED", {})
    assert set(line["error"]) == ERROR_KEYS
    assert (line["error"]["message"], line["error"]["providerCode"]) == ("it burns", "Fire")


def test_one_members_failure_leaves_the_others_alone(program: Any) -> None:
    """Where one VM cannot be acted on, the rest are, and the exit code is 1."""
    program.run("provision", "a", *ON)
    done = program.run("start", "a", "nobody", *ON, code=1)
    assert "a is running already" in done.stdout
    assert "nobody: start failed: NotFound" in done.stderr
    assert "next: `vmops provision` makes it" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["provision", "web", *ON, "-p", "vmSzie=big"], "did you mean vmSize"),
        (["provision", "web", *ON, "-p", "seconds=soon"], "seconds: "),
        (["provision", "web", *ON, "-p", "nonsense"], "'nonsense...' is not KEY=VALUE"),
        (["provision", "web", *ON, "-p", "vmSize=a", "-p", "vmSize=b"], "is given twice"),
        (["provision", "web", *ON, "-p", "labels:=["], "is not JSON"),
        (["provision", "../web", *ON], "is not a VM name"),
        (["provision", "web", *ON, "-p", "root=/tmp"], "never by params"),
        (["provision", "web", "--backend", "nimbus"], "pip install vmops-nimbus"),
        (["deallocate", "web", *ON, "-p", "stopMode=keep"], "drop one"),
        (["wait", "https://example.org/"], "it has not the form vmops+BACKEND"),
        (["provision", "web", *ON, "--config", "/nonexistent.json"], "--config /nonexistent.json"),
        (["provision"], "NAME"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_bad_input_is_exit_code_2_before_any_call(
    here: Any, arguments: list[str], words: str
) -> None:
    """What the caller must change is 2, says what to change, and reaches no cloud."""
    done = here(*arguments, code=2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert here.program.vms() == []


def test_a_problem_that_all_vms_share_is_told_once(program: Any) -> None:
    """Bad params of a command on several VMs are one problem, not one per VM."""
    done = program.run("provision", "a", "b", "c", *ON, "-p", "vmSzie=big", code=2)
    assert done.stderr.count("vmSzie") == 1


def test_a_secret_is_never_shown(program: Any) -> None:
    """What -p passes in secret fields appears in no output, well-formed or not."""
    done = program.run("provision", "web", *ON, "-p", "userData=hunter2", "--json")
    assert "hunter2" not in done.stdout + done.stderr
    done = program.run("provision", "b", *ON, "-p", "userData hunter2", "-p", "=hunter2", code=2)
    assert "hunter2" not in done.stdout + done.stderr


def test_what_is_missing_is_exit_code_3_with_the_install_line(program: Any) -> None:
    """A missing program is 3; the line that installs it is printed as it is."""
    done = program.run("provision", "web", *ON, "-p", "fault=missing", code=3)
    assert "filecloud needs a paper clip\n  install it with: buy paper-clip\n" in done.stderr


def test_time_out_is_exit_code_4_and_ends_nothing(program: Any) -> None:
    """4 comes with the line that waits again; the operation has gone on meanwhile."""
    done = program.run("provision", "web", *ON, *SLOW, "--timeout", "0", code=4)
    assert "provision goes on" in done.stderr
    line = next(part for part in done.stderr.splitlines() if "to wait again: " in part)
    program.hurry()
    program.run(*shlex.split(line.partition("vmops ")[2]))


def test_a_time_out_in_json_keeps_the_url(program: Any) -> None:
    """TIMED_OUT carries the URL that can be waited for again."""
    line = program.lines("provision", "web", *ON, *SLOW, "--timeout", "0", code=4)[-1]
    assert (line["status"], line["error"]) == ("TIMED_OUT", None)
    assert line["url"].startswith("vmops+filecloud://")


def test_an_exception_nobody_mapped_is_called_a_bug(program: Any) -> None:
    """A plugin's bug is 1 and named, without a traceback unless one is asked for."""
    done = program.run("provision", "web", *ON, "-p", "fault=bug", code=1)
    assert "ZeroDivisionError: nobody mapped this" in done.stderr
    assert "VMOPS_DEBUG=1" in done.stderr
    assert "Traceback" not in done.stderr


def test_debugging_shows_where_an_error_comes_from(program: Any) -> None:
    """VMOPS_DEBUG=1 adds the traceback; the exit code stays."""
    arguments = ["provision", "web", "--backend", "nimbus"]
    done = program.run(*arguments, code=2, env={"VMOPS_DEBUG": "1"})
    assert "Traceback (most recent call last)" in done.stderr


def test_errors_are_json_too(program: Any) -> None:
    """With --json an error is a line with its keys and the exit code; stderr stays empty."""
    done = program.run("provision", "web", "--backend", "nimbus", "--json", code=2)
    said = json.loads(done.stdout)
    assert set(said) == {"error", "exitCode"}
    assert set(said["error"]) == ERROR_KEYS
    assert (said["error"]["code"], said["exitCode"]) == ("UnknownBackend", 2)
    assert done.stderr == ""


def test_ctrl_c_says_that_it_goes_on_and_how_to_resume(program: Any) -> None:
    """SIGINT in a wait is 130 and a line that, run as printed, finishes the wait."""
    with program.start("provision", "web", *ON, *SLOW) as process:
        assert process.stderr.readline() == "web: starting up\n"
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait() == 130
    assert "interrupted; the operation goes on. To wait again:" in said
    assert "Traceback" not in said
    program.hurry()
    line = said.strip().splitlines()[-1]
    assert "web is running" in program.run(*shlex.split(line)[1:]).stdout


def test_ctrl_c_of_several_resumes_all_that_are_open(program: Any) -> None:
    """The line printed holds every URL that has not ended, and only those."""
    program.run("provision", "done", *ON)
    with program.start("provision", "done", "a", "b", *ON, *SLOW) as process:
        assert {process.stderr.readline() for _ in "ab"} == {
            "a: starting up\n",
            "b: starting up\n",
        }
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    words = shlex.split(said.strip().splitlines()[-1])
    assert [word.split("/")[2] for word in words[2:]] == ["a", "b"]


def test_another_process_finishes_a_restart_whose_waiter_was_killed(program: Any) -> None:
    """SIGKILL of a waiter between the two phases loses nothing; the VM boots exactly once more."""
    program.run("provision", "web", *ON, *SLOW, "--no-wait")
    program.hurry()
    program.run("start", "web", *ON)
    program.dawdle()
    (line,) = program.lines("restart", "web", *ON, "--no-wait")
    with program.start("wait", line["url"], "--json") as process:
        assert json.loads(process.stdout.readline())["status"] == "PENDING"
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert program.calls("start") == 0
    program.hurry()
    last = program.lines("wait", line["url"])[-1]
    assert (last["status"], last["result"]["bootCount"]) == ("SUCCEEDED", 2)
    assert program.calls("start") == 1


def test_config_files_give_settings_and_defaults(program: Any) -> None:
    """--config takes TOML and JSON, with a table per backend; local-only settings are allowed."""
    other = program.tmp / "other"
    other.mkdir()
    toml = program.tmp / "vmops.toml"
    toml.write_text(
        f'backend = "filecloud"\n[filecloud]\nroot = "{other}"\nvmSize = "big"\n[aws]\nx = 1\n'
    )
    program.run("provision", "web", "--config", str(toml))
    assert [file.name for file in other.glob("*.json")] == ["web.json"]
    plain = program.tmp / "vmops.json"
    plain.write_text(json.dumps({"backend": "filecloud", "root": str(other)}))
    assert "web" in program.run("ls", "--config", str(plain)).stdout
    done = program.run("ls", "--config", str(plain), "--backend", "local", code=2)
    assert "use one or the other" in done.stderr


def test_the_line_that_resumes_carries_config_and_journal(program: Any) -> None:
    """A wait begun with --config and --journal is resumed with both, from any folder."""
    config = program.tmp / "c.json"
    config.write_text(json.dumps({"backend": "filecloud"}))
    options = ["--config", str(config), "--journal", str(program.tmp / "j" / "x.db")]
    done = program.run("provision", "web", *SLOW, *options, "--no-wait")
    assert shlex.join(options) in done.stdout


def test_without_a_journal_nothing_is_written(program: Any) -> None:
    """--journal none works, and VMOPS_JOURNAL=none does; no journal appears."""
    program.run("provision", "a", *ON, "--journal", "none")
    program.run("provision", "b", *ON, env={"VMOPS_JOURNAL": "none"})
    assert program.vms() == ["a", "b"]
    assert not program.journal.exists()


def test_a_journal_that_cannot_be_written_is_exit_code_2_and_no_call(program: Any) -> None:
    """No durable intent, no call; the message names the journal and what to do."""
    done = program.run("provision", "web", *ON, "--journal", "/proc/nowhere/j.db", code=2)
    assert "VMOPS_JOURNAL" in done.stderr
    assert program.vms() == []


def test_usually_is_learned_across_processes(program: Any) -> None:
    """After three provisions, a fourth process knows how long one usually takes."""
    program.run("provision", "a", "b", "c", *ON)
    done = program.run("provision", "d", *ON)
    assert "d: starting up (usually " in done.stderr
    assert "(usually " in done.stdout


def test_urls_of_two_backends_need_no_config(program: Any) -> None:
    """URLs of several backends are waited for together; with one config file that is refused."""
    (line,) = program.lines("provision", "web", *ON, "--no-wait")
    foreign = "vmops+nimbus://web/start?account=a&at=1.000&id=0b9f#sum="
    import zlib

    foreign += f"{zlib.crc32(foreign.removesuffix('sum=').encode()):08x}"
    done = program.run("wait", line["url"], foreign, code=2)
    assert "backend 'nimbus' is not installed" in done.stderr
    config = program.tmp / "c.json"
    config.write_text("{}")
    done = program.run("wait", line["url"], foreign, "--config", str(config), code=2)
    assert "wait for each apart" in done.stderr
