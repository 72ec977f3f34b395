"""A real VM: the guest's busybox and its SSH server, from the first login to a run that is lost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from vmops import VMOps
from vmops.errors import CloudError, NotFound
from vmops.remote import Login, Remote

VM = {"vmName": "shell-1"}
SCRIPT = """
sysctl -w vm.swappiness=$SWAPPINESS >&2
cat /proc/sys/vm/swappiness
echo "$QUOTE"
exit 5
"""


@pytest.fixture
def config(tmp_path: Path) -> dict[str, str]:
    """`local` with a state of its own, where this machine can run the linux guest."""
    if shutil.which("qemu-system-x86_64") is None and not os.environ.get("VMOPS_REQUIRE_QEMU"):
        pytest.skip("install QEMU: apt-get install --no-install-recommends qemu-system-x86")
    from vmops_local.files import cache_folder
    from vmops_local.linux_cache import ensure_build

    try:
        ensure_build(cache_folder())
    except CloudError as exc:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"guest=linux cannot be built here: {exc}")
    return {"backend": "local", "stateDir": str(tmp_path / "vms")}


@pytest.mark.long
def test_scripts_on_a_real_vm(
    config: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tunable is set inside the VM and read back by URL; a run that a restart lost is told of."""
    asyncssh = pytest.importorskip("asyncssh", reason="install it: pip install 'vmops[ssh]'")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(tmp_path / "id"))
    public = key.export_public_key("openssh").decode().strip()
    params = {**VM, "guest": "linux", "sshPublicKey": public}
    login = Login(key_file=tmp_path / "id")
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        try:
            ops.wait_vm_operation(ops.vm_provision(params)[1])
            with Remote(ops, login) as remote:
                env = {"SWAPPINESS": 17, "QUOTE": "it's $HOME"}
                url = remote.start(VM, SCRIPT, env)
                sleeper = remote.start(VM, "#!/bin/sh\nexec sleep 600\n")
            with VMOps(config, journal=None) as others, Remote(others, login) as remote:
                ended = remote.wait(url)
                assert ended is not None
                assert (ended.exit_code, ended.stdout) == (5, "17\nit's $HOME\n")
                assert ended.stderr.startswith("vm.swappiness = 17")
                assert 0 <= ended.ended - ended.started < 30
                assert remote.wait(sleeper, timeout=1) is None
                ops.wait_vm_operation(ops.vm_restart(VM)[1])
                with pytest.raises(NotFound, match="knows no run"):  # its home is in memory
                    remote.wait(sleeper)
        finally:
            ops.wait_vm_operation(ops.vm_deprovision(VM)[1])
