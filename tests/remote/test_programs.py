"""The programs that run on the VM, run here without SSH: by dash, bash and busybox."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmops.errors import CloudError, NotFound, Unavailable
from vmops.remote import Finished, Run
from vmops.remote.programs import Order, Reply, answer, finished, start_order, wait_order

ID = "0123456789abcdef"
RUN = Run("local", "web", ID, 1.0)


def unpacked_busybox(folder: Path) -> Path | None:
    """The busybox of the linux guest, where that was built here: its archive is `newc` cpio."""
    from vmops_local.files import cache_folder

    for archive in sorted((cache_folder() / "linux").glob("*/initramfs.cpio")):
        data, at = archive.read_bytes(), 0
        while data[at : at + 6] == b"070701":
            size, length = (int(data[at + k : at + k + 8], 16) for k in (54, 94))
            name = data[at + 110 : at + 109 + length]
            begin = (at + 110 + length + 3) & ~3
            if name == b"bin/busybox":
                (folder / "busybox").write_bytes(data[begin : begin + size])
                (folder / "busybox").chmod(0o755)
                return folder / "busybox"
            at = (begin + size + 3) & ~3
    return None


def until(true: Callable[[], bool]) -> None:
    """Wait for real processes: there is no clock to inject."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Vm:
    """A home folder, and a shell with what is on its PATH."""

    def __init__(self, home: Path, shell: str, path: str) -> None:
        self.home, self.shell = home, shell
        self.environment = {"HOME": str(home), "PATH": path}
        self.runs = home / ".vmops" / "runs"

    def process(self, order: Order) -> subprocess.Popen[bytes]:
        """An order that is being carried out."""
        return subprocess.Popen(
            [self.shell, "-c", order.command.replace("/bin/sh", self.shell)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.home,
            env=self.environment,
            start_new_session=True,
        )

    def say(self, order: Order) -> Reply:
        """What is replied to an order."""
        with self.process(order) as process:
            out, err = process.communicate(order.data, 60)
            return Reply(out, err, process.returncode)

    def start(self, script: str, env: dict[str, Any] | None = None, run_id: str = ID) -> None:
        """Start a script."""
        order = start_order(run_id, script, env or {}, self.shell)
        assert answer(Run("local", "web", run_id, 1.0), self.say(order)) == ("started",)

    def wait(self, seconds: float = 60.0) -> Any:
        """How it ended."""
        return finished(RUN, self.say(wait_order(ID, seconds)))

    def pid(self) -> int:
        """The process that runs the script, and records its end."""
        return int((self.runs / ID / "pid").read_text().split()[0])


@pytest.fixture(scope="session")
def shells(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str] | None]:
    """Each shell's path, and the PATH on which it finds its programs."""
    usual = os.environ["PATH"]
    shells = {name: (found, usual) for name in ("dash", "bash") if (found := shutil.which(name))}
    folder = tmp_path_factory.mktemp("busybox")
    busybox = shutil.which("busybox") or unpacked_busybox(folder)
    if busybox:
        subprocess.run([busybox, "--install", "-s", folder], check=True)
        shells["busybox"] = (str(folder / "sh"), str(folder))
    return shells


@pytest.fixture(params=["dash", "bash", "busybox"])
def vm(request: Any, shells: Any, home: Path) -> Iterator[Vm]:
    """A fresh home; what still runs there is ended after the test."""
    if request.param not in shells:
        pytest.skip(f"no {request.param} here")
    vm = Vm(home, *shells[request.param])
    yield vm
    for file in vm.runs.glob("*/pid"):
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.killpg(int(file.read_text().split()[0]), signal.SIGKILL)


def test_every_shell_runs_them(vm: Vm) -> None:
    """Outputs, exit code, environment and times, with that system's own small programs."""
    before = time.time()
    vm.start("echo $A; echo err >&2; exit 5", {"A": "it's"})
    ended = vm.wait()
    assert (ended.exit_code, ended.stdout, ended.stderr) == (5, "it's\n", "err\n")
    assert before - 1 <= ended.started <= ended.ended <= time.time() + 0.1
    vm.start("sleep 0.3", run_id="f" * 16)
    run = Run("local", "web", "f" * 16, 1.0)
    slept = finished(run, vm.say(wait_order(run.id, 60)))
    assert 0.28 < slept.ended - slept.started < 1.0
    assert vm.wait(0) == ended
    assert os.getsid(os.getpid()) != vm.pid()


def test_a_run_is_a_session_of_its_own(vm: Vm) -> None:
    """The script has neither our session nor group nor terminal, and is nobody's background job."""
    vm.start("read -r line </proc/self/stat; echo $line; grep SigIgn /proc/self/status; sleep 60")
    process = vm.pid()
    assert os.getsid(process) == os.getpgid(process)
    assert os.getsid(process) != os.getsid(0)
    stdout = vm.runs / ID / "stdout"
    until(lambda: "SigIgn" in stdout.read_text())
    mine = subprocess.run(
        ["grep", "SigIgn", "/proc/self/status"], capture_output=True, text=True, check=True
    ).stdout
    line, ignored = stdout.read_text().splitlines()
    assert line.rpartition(")")[2].split()[4] == "0"  # no terminal
    assert ignored == mine.strip()


def test_many_who_send_the_same_run_start_it_once(vm: Vm) -> None:
    """All are told that it started; the gate lets one of them start it."""
    order = start_order(ID, "echo run >>runs; sleep 0.2; echo x", {}, vm.shell)
    processes = [vm.process(order) for _ in range(12)]
    for process in processes:
        process.stdin.write(order.data)  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    replies = [Reply(*process.communicate(), process.returncode) for process in processes]
    assert {answer(RUN, reply) for reply in replies} == {("started",)}
    assert vm.wait().stdout == "x\n"
    vm.start("echo another")
    assert vm.wait().stdout == "x\n"
    assert (vm.home / "runs").read_text() == "run\n"
    assert [path.name for path in vm.runs.iterdir()] == [ID]


@pytest.mark.parametrize("missing", [1, 20, 10_000])
def test_half_a_script_is_never_run(vm: Vm, missing: int) -> None:
    """What arrives cut short is thrown away, and nothing is said to have started."""
    whole = start_order(ID, "touch ran\n" + "# more\n" * 2000, {"A": "x"}, vm.shell)
    reply = vm.say(Order(whole.command, whole.data[:-missing]))
    with pytest.raises(CloudError):
        answer(RUN, reply)
    assert list(vm.runs.iterdir()) == []
    assert not (vm.home / "ran").exists()
    with pytest.raises(NotFound):
        vm.wait()
    vm.start("echo whole")
    assert vm.wait().stdout == "whole\n"


def test_a_run_whose_process_was_killed_has_no_exit_code(vm: Vm) -> None:
    """Kill -9 of what records the end is told at once, in mid-wait and ever after."""
    vm.start("sleep 60")
    waiting = vm.process(wait_order(ID, 60))
    time.sleep(0.2)  # it should be waiting by now; if not, the answer is the same
    os.killpg(vm.pid(), signal.SIGKILL)
    reply = Reply(*waiting.communicate(timeout=30), waiting.returncode)
    with pytest.raises(CloudError, match="it was killed"):
        finished(RUN, reply)
    with pytest.raises(CloudError, match="it was killed"):
        vm.wait(0)


def test_a_pid_that_is_another_process_now_is_not_taken_for_it(vm: Vm) -> None:
    """A process of that number, born at another time, is not the run."""
    vm.start("sleep 60")
    file = vm.runs / ID / "pid"
    pid, born, boot = file.read_text().split()
    file.write_text(f"{pid} {int(born) - 1} {boot}\n")
    with pytest.raises(CloudError, match="it was killed"):
        vm.wait(0)
    file.write_text(f"{pid} {born} {boot}\n")
    assert vm.wait(0) is None


def test_a_reboot_ends_a_run_without_an_exit_code(vm: Vm) -> None:
    """Another boot id is a reboot, whatever has the process's number now; an end is an end."""
    vm.start("sleep 60")
    file = vm.runs / ID / "pid"
    pid, born, _ = file.read_text().split()
    file.write_text(f"{pid} {born} another-boot\n")
    with pytest.raises(CloudError, match="the VM rebooted"):
        vm.wait()
    (vm.runs / ID / "exit").write_text("0 1.5 8 9.5 0 0\n")
    assert vm.wait().ended == 3.0


@pytest.mark.parametrize("text", ["", "0 1.5 8 9.5", "0 1.5 8 9.5 0\n", "0 1.5 8 9.5 0 0"])
def test_a_half_written_end_is_no_end(vm: Vm, text: str) -> None:
    """What a power loss left of `exit` is not taken for an exit code, nor is `exit.new`."""
    vm.start("sleep 60")
    (vm.runs / ID / "exit.new").write_text(text)
    assert vm.wait(0) is None
    (vm.runs / ID / "exit").write_text(text)
    with pytest.raises(CloudError, match="without an exit code"):
        vm.wait(0)


def test_an_end_between_two_looks_is_seen(vm: Vm) -> None:
    """A run that ends after the look for its end and before that for its process has ended."""
    folder = vm.runs / ID
    folder.mkdir(parents=True)
    for name in ("stdout", "stderr"):
        (folder / name).touch()
    os.mkfifo(folder / "pid")  # whoever reads it waits for us
    with vm.process(wait_order(ID, 60)) as waiting, (folder / "pid").open("w") as pid:
        (folder / "exit").write_text("3 1.5 8 9.5 0 0\n")
        pid.write("nobody\n" * 2)
        pid.flush()
        reply = Reply(*waiting.communicate(timeout=30), waiting.returncode)
    assert finished(RUN, reply) == Finished(3, "", "", 1.5, 3.0)
    (folder / "pid").unlink()


def test_output_that_was_cut_since_is_what_is_left(vm: Vm) -> None:
    """Whoever empties the files afterwards makes no wait go on for ever."""
    vm.start("echo abc; echo de >&2")
    assert vm.wait().stdout == "abc\n"
    (vm.runs / ID / "stdout").write_text("a")
    (vm.runs / ID / "stderr").write_text("")
    ended = vm.wait()
    assert (ended.stdout, ended.stderr) == ("a", "")


def test_a_run_without_a_pid_is_dead_soon(vm: Vm) -> None:
    """A crash between gate and pid, or a pid lost with the power, is no run for ever."""
    (vm.runs / ID).mkdir(parents=True)
    with pytest.raises(CloudError, match="it was killed"):
        vm.wait()
    (vm.runs / ID / "pid").touch()
    with pytest.raises(CloudError, match="it was killed"):
        vm.wait(0)


def test_a_wait_ends_with_whoever_waits(vm: Vm) -> None:
    """A wait whose connection is gone goes on for no longer than a look."""
    vm.start("sleep 60")
    parent = '"$0" -c "$1" & echo $!; read -r line'
    with subprocess.Popen(
        ["sh", "-c", parent, vm.shell, wait_order(ID, 60).command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=vm.environment | {"PATH": os.environ["PATH"]},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        waiting = Path("/proc", process.stdout.readline().decode().strip(), "stat")
        # state, parent, group, session, terminal, its group, flags, faults, and those of children
        until(lambda: int(waiting.read_text().rpartition(")")[2].split()[8]) > 0)
        process.stdin.close()
        process.wait()
        until(lambda: not waiting.exists() or waiting.read_text().rpartition(")")[2][1] == "Z")


def test_old_runs_are_removed_at_a_start(vm: Vm) -> None:
    """What ended a week ago goes, and so do remains of starts; younger and unfinished runs stay."""
    week = 7 * 86400 + 100
    ids = {name: name * 16 for name in "abcd"}
    for name, age in (("a", week), ("b", week - 86400)):
        vm.start("exit 0", run_id=ids[name])
        finished(Run("local", "web", ids[name], 1.0), vm.say(wait_order(ids[name], 60)))
        os.utime(vm.runs / ids[name] / "exit", (time.time() - age,) * 2)
    vm.start("sleep 60", run_id=ids["c"])
    for file in (vm.runs / ids["c"], vm.runs / ids["c"] / "pid"):
        os.utime(file, (time.time() - week,) * 2)
    (vm.runs / ".x.1").mkdir()
    os.utime(vm.runs / ".x.1", (time.time() - week,) * 2)
    vm.start("sleep 60", run_id=ids["d"])
    assert sorted(path.name for path in vm.runs.iterdir()) == [ids["b"], ids["c"], ids["d"]]


def test_a_home_that_cannot_be_written_to_says_so(vm: Vm) -> None:
    """What hinders a start comes back in the system's own words."""
    (vm.home / ".vmops").write_text("a file")
    with pytest.raises(CloudError, match=r"\.vmops"):
        answer(RUN, vm.say(start_order(ID, "x", {}, vm.shell)))


VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(VALUES | st.sampled_from(["'", "''", "\\'", "$(x)`", "\n'\n", "!"]), max_size=40))
def test_values_survive_every_shell(vm: Vm, values: list[str]) -> None:
    """What goes into the environment comes out of it, quotes, blanks, line ends and all."""
    env = {f"V_{n}": value for n, value in enumerate(values)}
    shutil.rmtree(vm.home / ".vmops", ignore_errors=True)
    vm.start("cat /proc/self/environ", env)
    said = dict(item.split("=", 1) for item in vm.wait().stdout.split("\0")[:-1])
    assert {name: value for name, value in said.items() if name.startswith("V_")} == env


def test_an_answer_that_was_cut_is_no_answer() -> None:
    """Without an exit code of the command, or with less output than it says, it is Unavailable."""
    with pytest.raises(Unavailable):
        answer(RUN, Reply(b"", b"", None))
    whole = f"vmops {ID} finished 0 2.%N 8.25 9.75 3 2\nabc".encode(), f"vmops {ID}\nde".encode()
    ended = finished(RUN, Reply(*whole, 0))
    assert ended is not None
    assert (ended.stdout, ended.stderr, ended.started, ended.ended) == ("abc", "de", 2.0, 3.5)
    for out, err in ((whole[0][:-1], whole[1]), (whole[0], whole[1][:-1]), (whole[0], b"")):
        with pytest.raises(Unavailable):
            finished(RUN, Reply(out, err, None))


@pytest.mark.parametrize("words", ["", "finished", "finished x y", "hello 1 2 3 4 5"])
def test_an_answer_that_means_nothing_is_an_error(words: str) -> None:
    """A VM that answers nonsense is told of as that."""
    with pytest.raises(CloudError, match="no meaning"):
        finished(RUN, Reply(f"vmops {ID} {words}\n".encode(), b"", 0))


def test_orders_fit_into_small_servers() -> None:
    """Dropbear takes no command over 9000 bytes (its MAX_CMD_LEN)."""
    order = start_order(ID, "x" * 100_000, {"A": "x" * 100_000}, "/bin/sh")
    assert len(order.command) < 4000
