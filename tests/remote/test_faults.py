"""Connections that fail: cut anywhere, never greeted, refused for a while, of another host."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from vmops.errors import AuthError, Conflict, Unavailable

WEB = {"vmName": "web"}
BOOTS = "echo run >>runs; echo x; exit 4"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt to connect is given up soon: these are real seconds."""
    monkeypatch.setattr("vmops.remote.remote._REACH", (0.3, 0.3))


def bytes_of(cloud: Any, act: Any) -> tuple[int, int]:
    """How many bytes go to the server and come back while a fresh Remote acts."""
    remote = cloud.remote()
    before = list(cloud.sshd.carried)
    act(remote)
    return tuple(now - then for now, then in zip(cloud.sshd.carried, before, strict=True))


@pytest.mark.parametrize("direction", [0, 1])
def test_a_start_cut_anywhere_runs_the_script_once(cloud: Any, home: Path, direction: int) -> None:
    """Wherever the connection breaks, start sends the same run again, and it runs once."""
    remote = cloud.remote()
    remote.wait(remote.start(WEB, "x"))  # its host key is known from now on
    urls: list[str] = []
    env = {"A": "b" * 5000}
    whole = bytes_of(cloud, lambda remote: urls.append(remote.start(WEB, BOOTS, env)))
    remote.wait(urls[0])
    (home / "runs").unlink()
    points = range(1, whole[direction], whole[direction] // 18)
    for count, point in enumerate(points, 1):
        cut = [None, None]
        cut[direction] = point
        cloud.sshd.cuts = [tuple(cut)]
        remote = cloud.remote()
        url = remote.start(WEB, BOOTS, env)
        assert not cloud.sshd.cuts
        assert remote.wait(url).stdout == "x\n"
        assert (home / "runs").read_text() == "run\n" * count
        remote.close()
    left = {path.name for path in (home / ".vmops" / "runs").iterdir() if path.name[0] == "."}
    assert len(left) <= len(points)


@pytest.mark.parametrize("direction", [0, 1])
def test_a_wait_cut_anywhere_goes_on(cloud: Any, direction: int) -> None:
    """A wait whose connection breaks gives the same answer over another one."""
    remote = cloud.remote()
    url = remote.start(WEB, "seq 2000; seq 1000 >&2; exit 4")
    whole = remote.wait(url)
    size = bytes_of(cloud, lambda remote: remote.wait(url))[direction]
    for point in range(1, size, size // 12):
        cut = [None, None]
        cut[direction] = point
        cloud.sshd.cuts = [tuple(cut)]
        remote = cloud.remote()
        assert remote.wait(url) == whole
        remote.close()


def test_a_wait_survives_the_loss_of_its_connection(cloud: Any, home: Path) -> None:
    """Cut while the script runs: the wait connects again, in the time that is left."""
    remote = cloud.remote()
    url = remote.start(WEB, "until [ -e go ]; do sleep 0.05; done; echo x")
    ends: list[Any] = []
    waiter = threading.Thread(target=lambda: ends.append(remote.wait(url)))
    waiter.start()
    for count in (2, 3):
        while len(cloud.sshd.commands) < count:
            waiter.join(0.01)
        cloud.sshd.cut()
    while len(cloud.sshd.commands) < 4:
        waiter.join(0.01)
    (home / "go").touch()
    waiter.join(30)
    assert ends[0].stdout == "x\n"
    assert cloud.sshd.connections == 3


def test_a_vm_out_of_reach_is_not_waited_for_for_ever(
    cloud: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A guest that hangs is Unavailable after a while, though the script may take any time."""
    remote = cloud.remote()
    url = remote.start(WEB, "sleep 1000")
    remote.close()
    cloud.sshd.mute = 1000
    before = cloud.clock.now()
    with pytest.raises(Unavailable):
        cloud.remote().wait(url, timeout=float("inf"), patience=60)
    assert 60 < cloud.clock.now() - before < 80
    assert [record.getMessage().endswith("it is tried again") for record in caplog.records] == [
        True
    ]
    cloud.sshd.mute = 0
    cloud.remote().stop(url)


def test_an_outcome_that_stays_unknown_names_the_url(cloud: Any, home: Path) -> None:
    """Where start gives up after it has sent, its error has the URL; before, there is no run."""
    cloud.sshd.swallow = 1
    with pytest.raises(Unavailable) as caught:
        cloud.remote().start(WEB, BOOTS, timeout=3)
    cloud.sshd.mute = 0
    url = re.search(r"vmops\+\S+", caught.value.remains)
    assert url is not None
    assert cloud.remote().wait(url[0]).exit_code == 4
    cloud.sshd.mute = 100
    with pytest.raises(Unavailable) as caught:
        cloud.remote().start(WEB, BOOTS, timeout=3)
    assert caught.value.remains == ""


def test_a_vm_that_does_not_answer_yet_is_tried_again(cloud: Any) -> None:
    """No greeting, or nothing at the port at all, is patience within the time; then Unavailable."""
    began = cloud.clock.now()
    cloud.sshd.mute = 2
    remote = cloud.remote()
    remote.start(WEB, "x")
    assert 0 < cloud.clock.now() - began < 10
    cloud.vm("web", sshPort=1)
    began = cloud.clock.now()
    with pytest.raises(Unavailable) as caught:
        cloud.remote().start(WEB, "x", timeout=60)
    assert cloud.clock.now() - began == pytest.approx(60)
    assert [word in str(caught.value) for word in ("'me'", "port 1", str(cloud.key))] == [True] * 3
    began = cloud.clock.now()
    with pytest.raises(Unavailable):
        cloud.remote().start(WEB, "x", timeout=0)
    assert cloud.clock.now() == began


def test_a_key_may_be_refused_while_the_vm_is_young(cloud: Any) -> None:
    """Cloud-init adds keys after sshd has started: permission denied is tried again, then told."""
    began = cloud.clock.now()
    cloud.vm("web", started=began)
    cloud.sshd.admits = lambda: cloud.clock.now() >= began + 40
    cloud.remote().start(WEB, "x")
    assert 40 <= cloud.clock.now() - began < 50
    cloud.sshd.admits = lambda: False
    connections, began = cloud.sshd.connections, cloud.clock.now()
    with pytest.raises(AuthError) as caught:
        cloud.remote().start(WEB, "x", timeout=30)
    assert cloud.clock.now() - began == pytest.approx(30)
    assert cloud.sshd.connections - connections > 3
    assert [word in str(caught.value) for word in ("'me'", str(cloud.key))] == [True, True]


def test_a_wrong_key_on_an_old_vm_is_told_at_once(cloud: Any) -> None:
    """Nobody waits for what will not change: a VM long booted has all its keys."""
    cloud.vm("web", started=cloud.clock.now() - 3600)
    began = cloud.clock.now()
    with pytest.raises(AuthError, match="user 'you'"):
        cloud.remote(user="you").start(WEB, "x")
    assert (cloud.clock.now(), cloud.sshd.connections) == (began, 1)


def test_a_key_file_that_is_none_is_told_at_once(cloud: Any, tmp_path: Path) -> None:
    """A missing or spoilt file, or one with a passphrase, is AuthError naming it."""
    locked = tmp_path / "locked"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "abc123", "-f", locked], check=True)
    for file in (tmp_path / "none", tmp_path / "vms.json", locked):
        with pytest.raises(AuthError, match=str(file)):
            cloud.remote(key_file=file).start(WEB, "x")
    assert cloud.sshd.connections == 0


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256"])
def test_a_changed_host_key_is_refused_at_once(cloud: Any, kind: str) -> None:
    """First seen, remembered per VM, in OpenSSH's form; another one is never spoken to."""
    import asyncssh

    remote = cloud.remote()
    url = remote.start(WEB, "x")
    (file,) = (cloud.root / "state" / "vmops" / "known_hosts").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    alias, key = file.read_text().split(" ", 1)
    assert alias == f"vmops-{file.name}"
    public = cloud.sshd.key.export_public_key("openssh").decode()
    assert key.split()[:2] == public.split()[:2]
    cloud.sshd.key = asyncssh.generate_private_key(kind)
    cloud.sshd.do(cloud.sshd.restart())
    began = cloud.clock.now()
    with pytest.raises(AuthError, match=re.escape(str(file))):
        cloud.remote().wait(url)
    assert cloud.clock.now() == began
    cloud.vm("web", id="i-2")  # its successor is another VM, with a file of its own
    cloud.remote().start(WEB, "x")


def test_openssh_and_we_remember_the_same_keys(cloud: Any) -> None:
    """Of a server with keys of several kinds, what `vmops ssh` saw first holds here too."""
    import asyncssh

    from vmops.cli.ssh import ssh_command
    from vmops.ssh import known_hosts

    program = shutil.which("ssh")
    if program is None:
        pytest.skip("compares with the ssh client")
    known = known_hosts(cloud.ops().describe(WEB), "shellcloud")
    argv = ssh_command(program, "127.0.0.1", cloud.sshd.port, "me", cloud.key, known)
    argv[1:1] = [
        "-F",
        "none",
        "-o",
        "HostKeyAlgorithms=ecdsa-sha2-nistp256",
        "-o",
        "HashKnownHosts=yes",
    ]
    cloud.sshd.more_keys = [asyncssh.generate_private_key("ecdsa-sha2-nistp256")]
    cloud.sshd.do(cloud.sshd.restart())
    assert subprocess.run([*argv, "exit 5"], check=False, capture_output=True).returncode == 5
    assert known.read_text().startswith("|1|")
    cloud.remote().start(WEB, "x")
    assert len(known.read_text().splitlines()) == 1


def test_a_host_key_that_the_backend_tells_is_trusted_alone(cloud: Any) -> None:
    """Where the backend tells the key, nothing is taken on first sight."""
    import asyncssh

    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key("openssh").decode()
    cloud.vm("web", sshHostKey=" ".join(other.split()[:2]))
    with pytest.raises(AuthError, match="host key"):
        cloud.remote().start(WEB, "x")
    mine = cloud.sshd.key.export_public_key("openssh").decode()
    cloud.vm("web", sshHostKey=" ".join(mine.split()[:2]))
    cloud.remote().start(WEB, "x")


def test_a_known_hosts_file_of_ones_own(cloud: Any, tmp_path: Path) -> None:
    """It is matched by host and port as OpenSSH does, and added to at first sight."""
    file = tmp_path / "hosts"
    file.write_text("# mine")  # and no end of a line
    cloud.remote(known_hosts=file).start(WEB, "x")
    comment, line = file.read_text().splitlines()
    assert comment == "# mine"
    assert line.startswith(f"[127.0.0.1]:{cloud.sshd.port} ssh-ed25519 ")
    cloud.remote(known_hosts=file).start(WEB, "x")
    assert file.read_text().splitlines() == [comment, line]
    file.write_text("nonsense\n")
    with pytest.raises(AuthError, match=str(file)):
        cloud.remote(known_hosts=file).start(WEB, "x")


def test_a_vm_is_looked_for_again_between_attempts(cloud: Any) -> None:
    """A reboot moves a VM's port: the next attempt goes there; a VM that stops ends the wait."""
    port = cloud.sshd.port

    cloud.vm("web", sshPort=1)
    clock_sleep = cloud.clock.sleep
    cloud.clock.sleep = lambda seconds: (cloud.vm("web", sshPort=port), clock_sleep(seconds))
    remote = cloud.remote()
    url = remote.start(WEB, "echo x")
    cloud.clock.sleep = lambda seconds: cloud.vm("web", state="stopping")
    cloud.vm("web", sshPort=1)
    with pytest.raises(Conflict):
        remote.wait(url)


def test_a_vm_that_booted_again_gets_a_new_connection(cloud: Any) -> None:
    """An old connection to a VM that was restarted is not waited on."""
    remote = cloud.remote()
    cloud.vm("web", started=1.0)
    url = remote.start(WEB, "echo x")
    cloud.vm("web", started=2.0)
    assert remote.wait(url).stdout == "x\n"
    assert cloud.sshd.connections == 2
