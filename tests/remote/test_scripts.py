"""Scripts on VMs: started over a real SSH connection, waited for from anywhere, run once."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vmops.errors import (
    CloudError,
    Conflict,
    InvalidParams,
    InvalidURL,
    MissingDependency,
    NotFound,
)

WEB = {"vmName": "web"}
HERE = Path(__file__).parent


def test_a_script_runs_and_its_end_is_told_again_and_again(cloud: Any) -> None:
    """Exit code, both outputs and times come back, to whoever asks, as often as he asks."""
    remote = cloud.remote()
    url = remote.start(WEB, "pwd; echo $0; cat; echo oops >&2; exit 7")
    ended = remote.wait(url)
    assert (ended.exit_code, ended.stderr) == (7, "oops\n")
    folder, script = ended.stdout.splitlines()
    assert folder == str(cloud.sshd.home)
    assert Path(script).parent.parent == cloud.sshd.home / ".vmops" / "runs"
    assert 0 <= ended.ended - ended.started < 10
    assert remote.wait(url, timeout=0) == ended
    assert cloud.remote().wait(url) == ended
    assert cloud.sshd.connections == 2  # one each


def test_output_need_not_be_text(cloud: Any) -> None:
    """Bytes that are no UTF-8 become U+FFFD; much output comes whole."""
    remote = cloud.remote()
    ended = remote.wait(remote.start(WEB, "printf '\\377a'; printf 'b\\376' >&2"))
    assert (ended.stdout, ended.stderr) == ("\ufffda", "b\ufffd")
    ended = remote.wait(remote.start(WEB, "seq 300000; seq 200000 >&2"))
    assert ended.stdout.splitlines() == [str(n) for n in range(1, 300001)]
    assert len(ended.stderr.splitlines()) == 200000


def test_a_script_is_run_by_its_interpreter_else_by_the_shell(cloud: Any, home: Path) -> None:
    """`#!` decides; else the login's shell runs it, a path with a blank included."""
    shell = home / "my shell"
    shell.write_text('#!/bin/sh\necho mine\nexec /bin/sh "$@"\n')
    shell.chmod(0o700)
    remote = cloud.remote(shell=str(shell))
    assert remote.wait(remote.start(WEB, "echo plain")).stdout == "mine\nplain\n"
    script = f"#!{sys.executable}\nimport sys\nsys.exit(len(sys.argv))\n"
    assert remote.wait(remote.start(WEB, script)).exit_code == 1
    assert remote.wait(remote.start(WEB, "#!/no/such/thing\n")).exit_code in {126, 127}


def test_the_environment_arrives_and_nothing_else_of_ours_does(cloud: Any) -> None:
    """Variables reach the script as they are; umask, signals and open files are as usual."""
    remote = cloud.remote()
    env = {"QUOTE": "it's; $(touch x) `id` \\ \"", "LINES_": "a\n b\n", "N": 5, "PATH": "/nowhere"}
    script = (
        'printf "%s|%s|%s|%s\\n" "$QUOTE" "$LINES_" "$N" "$PATH"; umask\n'
        "PATH=/usr/bin:/bin; ls -l /proc/self/fd | wc -l; grep -E 'Sig(Ign|Blk)' /proc/self/status"
    )
    before = subprocess.run(
        ["sh", "-c", "umask; grep -E 'Sig(Ign|Blk)' /proc/self/status"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    ended = remote.wait(remote.start(WEB, script, env))
    *said, umask, files, ignored, blocked = ended.stdout.splitlines()
    assert "\n".join(said) == f"{env['QUOTE']}|a\n b\n|5|/nowhere"
    assert umask == before[0]
    assert int(files) == 5  # 0, 1, 2, and what lists them; and the line of the total
    assert [ignored, blocked] == before[1:]


def test_no_variable_changes_what_is_run(cloud: Any) -> None:
    """Names that our own programs use, too, belong to the script."""
    remote = cloud.remote()
    names = ("run", "new", "shell", "mask", "id", "env", "code", "date", "began", "boot", "stat")
    echo = " ".join(f"${name}" for name in names)
    ended = remote.wait(remote.start(WEB, f"echo {echo}", dict.fromkeys(names, "5")))
    assert (ended.exit_code, ended.stdout) == (0, "5 " * 10 + "5\n")
    script = f"#!{sys.executable}\nimport os\nprint(os.environ['shell'])"
    assert remote.wait(remote.start(WEB, script, {"shell": "9"})).stdout == "9\n"


@pytest.mark.parametrize(
    ("script", "code"), [("sleep 1000", 143), ("trap 'exit 7' TERM; sleep 1000 & wait", 7)]
)
def test_a_script_can_be_ended(cloud: Any, home: Path, script: str, code: int) -> None:
    """With all that it started, by another process, too; ending it again changes nothing."""
    url = cloud.remote().start(WEB, f"echo $$ >pid; {script}")
    while not (home / "pid").exists():
        time.sleep(0.01)
    other = cloud.remote()
    for _ in range(2):
        other.stop(url)
        assert other.wait(url).exit_code == code
    with pytest.raises(ProcessLookupError):
        os.kill(int((home / "pid").read_text()), 0)


def test_a_script_that_does_not_listen_is_killed(cloud: Any, home: Path) -> None:
    """SIGKILL follows; who waits learns that it was killed."""
    url = cloud.remote().start(WEB, "trap '' TERM; touch up; while :; do sleep 1000; done")
    while not (home / "up").exists():
        time.sleep(0.01)
    cloud.remote().stop(url)
    with pytest.raises(CloudError, match="killed"):
        cloud.remote().wait(url)


def test_a_run_that_is_gone_cannot_be_ended(cloud: Any, home: Path) -> None:
    """NotFound, as for whoever waits for it."""
    remote = cloud.remote()
    url = remote.start(WEB, "x")
    remote.wait(url)
    shutil.rmtree(home / ".vmops")
    with pytest.raises(NotFound):
        remote.stop(url)


def test_wrong_environments_are_refused_before_anything_is_asked(cloud: Any) -> None:
    """All names and values that no environment can hold are told at once, without the values."""
    env = {"a b": 1, "2x": 1, "OK": 1, "NUL": "s3cret\0", "HALF": "s3cret\udc80"}
    with pytest.raises(InvalidParams) as caught:
        cloud.remote().start({"vmName": "nobody"}, "x", env)
    assert [word in str(caught.value) for word in ("a b", "2x", "NUL", "HALF", "OK")] == [
        True,
        True,
        True,
        True,
        False,
    ]
    assert "s3cret" not in str(caught.value)
    with pytest.raises(InvalidParams, match="script"):
        cloud.remote().start(WEB, "a\0b")
    assert cloud.sshd.connections == 0


def test_what_may_be_secret_is_on_no_command_line_and_in_no_log(
    cloud: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Script and environment travel over stdin; the VM's processes, logs and URL hold neither."""
    caplog.set_level(logging.INFO)
    remote = cloud.remote()
    script = "for c in /proc/[0-9]*/cmdline; do tr '\\0' ' ' <$c; done 2>/dev/null; exit 9 # s3cret"
    url = remote.start(WEB, script, {"TOKEN": "s3cret"})
    ended = remote.wait(url)
    assert ended.exit_code == 9
    assert ".vmops/runs" in ended.stdout  # it saw the processes
    assert "s3cret" not in ended.stdout + url + caplog.text + "".join(cloud.sshd.commands)
    assert [record for record in caplog.records if record.name.startswith("asyncssh")] == []
    runs = cloud.sshd.home / ".vmops" / "runs"
    modes = {path.name: path.stat().st_mode & 0o077 for path in (runs, *runs.rglob("*"))}
    assert {"script", "stdout", "stderr", "exit", "pid"} < set(modes)
    assert "env" not in modes  # gone as soon as it was read
    assert set(modes.values()) == {0}


def test_a_wait_ends_when_the_time_is_up(cloud: Any, home: Path) -> None:
    """None is no end: the script runs on, and can be waited for again."""
    remote = cloud.remote()
    url = remote.start(WEB, "until [ -e go ]; do sleep 0.05; done; echo gone")
    assert remote.wait(url, timeout=0) is None
    assert remote.wait(url, timeout=0.3) is None
    (home / "go").touch()
    assert remote.wait(url, timeout=float("inf")).stdout == "gone\n"


def test_many_threads_wait_over_one_connection(cloud: Any) -> None:
    """One connection per VM serves all threads; where a server has no room for more, another."""
    remote = cloud.remote()
    with ThreadPoolExecutor(8) as pool:
        urls = list(pool.map(lambda n: remote.start(WEB, f"sleep 0.3; echo {n}"), range(8)))
        ends = list(pool.map(remote.wait, urls))
    assert [end.stdout for end in ends] == [f"{n}\n" for n in range(8)]
    assert cloud.sshd.connections == 1
    cloud.sshd.sessions = 3
    cloud.sshd.cut()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(remote.wait, urls)) == ends
    assert 2 < cloud.sshd.connections < 12


def test_what_a_script_leaves_running_keeps_nobody_waiting(cloud: Any, home: Path) -> None:
    """The end is the script's own: a daemon of its does not delay it, nor change its output."""
    remote = cloud.remote()
    url = remote.start(
        WEB, "(until [ -e go ]; do sleep 0.05; done; echo late; touch went) & echo x"
    )
    assert remote.wait(url).stdout == "x\n"
    (home / "go").touch()
    remote.wait(remote.start(WEB, "until [ -e went ]; do sleep 0.05; done"))
    assert remote.wait(url).stdout == "x\n"


def test_a_script_that_ends_its_whole_group_is_still_told_of(cloud: Any) -> None:
    """`kill 0` ends the script, as it does anywhere, and not the record of it."""
    remote = cloud.remote()
    assert remote.wait(remote.start(WEB, "echo a; kill 0; sleep 5")).exit_code == 128 + 15
    trap = "trap 'trap - TERM; kill 0' EXIT; sleep 60 & echo b"
    assert remote.wait(remote.start(WEB, trap)).stdout == "b\n"
    assert remote.wait(remote.start(WEB, "kill -9 $$")).exit_code == 128 + 9


STARTER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from shellcloud import open_ops
from vmops.remote import Login, Remote
root = Path(sys.argv[2])
remote = Remote(open_ops(root), Login(key_file=root / "id"))
url = remote.start({"vmName": "web"}, sys.argv[3])
print(url, flush=True)
if sys.argv[4] == "wait":
    print(remote.wait(url), flush=True)
"""


def starter(cloud: Any, script: str, then: str) -> subprocess.Popen[str]:
    """A process that starts a script."""
    command = [sys.executable, "-W", "error", "-c", STARTER, str(HERE), str(cloud.root), script]
    return subprocess.Popen(
        [*command, then], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_script_outlives_who_started_it(cloud: Any, home: Path) -> None:
    """Kill -9 of the process that waits; another one, with the URL alone, learns how it ended."""
    script = "echo run >>runs; until [ -e go ]; do sleep 0.05; done; echo done; exit 3"
    with starter(cloud, script, "wait") as process:
        url = process.stdout.readline().strip()
        assert cloud.remote().wait(url, timeout=0) is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    (home / "go").touch()
    ended = cloud.remote().wait(url)
    assert (ended.exit_code, ended.stdout) == (3, "done\n")
    assert (home / "runs").read_text() == "run\n"


def test_a_program_that_closes_nothing_just_ends(cloud: Any) -> None:
    """Open connections keep no interpreter from its exit, nor make it say anything."""
    with starter(cloud, "echo x", "end") as process:
        said, noted = process.communicate(timeout=30)
    assert (process.returncode, noted) == (0, "")
    assert cloud.remote().wait(said.strip()).stdout == "x\n"


def test_a_fork_makes_connections_of_its_own(cloud: Any) -> None:
    """A forked process does not hang on its parent's connections, and leaves them alone."""
    remote = cloud.remote()
    url = remote.start(WEB, "echo x")
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if remote.wait(url).stdout == "x\n" else 2
            remote.close()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert remote.wait(url).stdout == "x\n"
    assert cloud.sshd.connections == 2


def test_close_ends_the_thread_and_not_the_script(cloud: Any, home: Path) -> None:
    """After close there is no thread of ours; who waited is told; what was started runs on."""
    remote = cloud.remote()
    url = remote.start(WEB, "until [ -e go ]; do sleep 0.05; done; echo done")
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            remote.wait(url)
        except RuntimeError as exc:
            errors.append(exc)

    waiter = threading.Thread(target=wait)
    waiter.start()
    while len(cloud.sshd.commands) < 2:
        waiter.join(0.01)
    remote.close()
    waiter.join(10)
    assert "closed" in str(errors[0])
    assert "vmops-remote" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(RuntimeError, match="closed"):
        remote.wait(url)
    (home / "go").touch()
    assert cloud.remote().wait(url).stdout == "done\n"


def test_the_url_must_be_allowed_here(cloud: Any) -> None:
    """Another account, another region, another VM, another kind: a URL only selects."""
    remote = cloud.remote()
    url = remote.start(WEB, "echo x")
    with pytest.raises(InvalidURL, match="account"):
        cloud.remote(cloud.ops(account="other")).wait(url)
    from vmops.remote import Run

    run = Run.from_url(url)
    with pytest.raises(InvalidParams, match="region"):
        cloud.remote(cloud.ops(region="there")).wait(replace(run, scope={"region": "x"}).to_url())
    with pytest.raises(InvalidURL, match="no setting"):
        remote.wait(replace(run, scope={"root": "/tmp"}).to_url())
    with pytest.raises(InvalidURL, match="vmName"):
        remote.wait(url, {"vmName": "db"})
    with pytest.raises(InvalidURL):
        remote.wait(replace(run, vm="-oProxyCommand").to_url())
    with pytest.raises(InvalidURL, match=r"wait for it with vmops\.remote"):
        cloud.ops().wait_vm_operation({"asyncResultsUrl": url})
    assert remote.wait(url, {**WEB, "asyncResultsUrl": url}).stdout == "x\n"


def test_a_vm_that_is_another_one_now_knows_nothing_of_it(cloud: Any) -> None:
    """The URL's VM by its id: a namesake is NotFound, and so is none at all; a VM by id alone."""
    remote = cloud.remote()
    url = remote.start(WEB, "echo x")
    by_id = remote.start({"vmId": "i-1"}, "echo y")
    assert remote.wait(by_id).stdout == "y\n"
    cloud.vm("web", id="i-2")
    for run in (url, by_id):
        with pytest.raises(NotFound):
            remote.wait(run)
    with pytest.raises(NotFound, match="another VM now"):
        remote.wait(url)
    cloud.vms.clear()
    cloud.vm("db", id="i-3")
    with pytest.raises(NotFound, match="vmops provision web"):
        remote.start(WEB, "x")


@pytest.mark.parametrize("state", ["stopped", "starting", "failed"])
def test_a_vm_that_does_not_run_is_a_conflict_at_once(cloud: Any, state: str) -> None:
    """Nothing is waited for: the error says what to do."""
    cloud.vm("web", state=state)
    now = cloud.clock.now()
    with pytest.raises(Conflict, match="vmops start web"):
        cloud.remote().start(WEB, "x")
    assert cloud.clock.now() == now
    assert cloud.sshd.connections == 0


def test_a_run_that_is_gone_is_not_found(cloud: Any, home: Path) -> None:
    """A folder that was removed, or lost with its home, is NotFound; so is it in mid-wait."""
    remote = cloud.remote()
    url = remote.start(WEB, "echo x")
    remote.wait(url)
    shutil.rmtree(home / ".vmops")
    with pytest.raises(NotFound, match="knows no run"):
        remote.wait(url)


def test_a_vm_that_does_something_else_is_told_by_its_own_words(cloud: Any) -> None:
    """A login that runs no commands says why; chatter of a login shell does no harm."""
    cloud.sshd.banner = "echo 'Welcome to vmops'; echo motd >&2"
    remote = cloud.remote()
    ended = remote.wait(remote.start(WEB, "echo x; echo y >&2"))
    assert (ended.stdout, ended.stderr) == ("x\n", "y\n")
    cloud.sshd.banner = "echo 'Please login as ubuntu'; exit 142"
    with pytest.raises(CloudError, match="Please login as ubuntu"):
        remote.start(WEB, "echo s3cret")


def test_users(cloud: Any) -> None:
    """Who logs in: the login's user, else the VM's own, else the one its params name."""
    cloud.vm("web", sshUser="")
    ops = cloud.ops()
    for params, login in (
        (WEB, {"user": "me"}),
        ({**WEB, "adminUsername": "me"}, {}),
        ({**WEB, "adminUsername": "you"}, {"user": "me"}),
    ):
        cloud.remote(ops, **login).start(params, "x")
    cloud.vm("web", sshUser="", adminUsername="me")
    cloud.remote().start({**WEB, "adminUsername": "you"}, "x")


def test_without_asyncssh_it_is_a_missing_dependency(
    cloud: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one line that installs it is told."""
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(MissingDependency, match="vmops\\[ssh\\]"):
        cloud.remote().start(WEB, "x")


def test_importing_vmops_imports_none_of_it() -> None:
    """Neither vmops nor vmops.remote loads asyncssh; vmops does not load vmops.remote."""
    code = (
        "import sys, vmops; vmops.VMOps; assert 'vmops.remote' not in sys.modules;"
        "import vmops.remote; assert 'asyncssh' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
