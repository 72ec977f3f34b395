"""Fixtures: VMs that are SSH servers in this process, and what runs scripts on them."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vmops import VirtualClock, VMOps


def _load(name: str) -> ModuleType:
    # importlib mode keeps test folders off sys.path; these modules are shared by name
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


shellcloud = _load("shellcloud")


class Cloud:
    """VMs, all of them one server on loopback, and where they are written down."""

    def __init__(self, root: Path, sshd: Any, key: Path) -> None:
        self.root, self.sshd, self.key = root, sshd, key
        self.clock = VirtualClock()
        self.vms: dict[str, dict[str, Any]] = {}
        self.opened: list[Any] = []
        self.vm("web")

    def vm(self, name: str, *, state: str = "running", id: str = "i-1", **info: Any) -> None:  # noqa: A002
        """Let there be such a VM; `started` is when it was booted."""
        started = info.pop("started", None)
        where = {"sshHost": "127.0.0.1", "sshPort": self.sshd.port, "sshUser": "me"}
        self.vms[name] = {"state": state, "id": id, "started": started, "info": {**where, **info}}
        (self.root / "vms.json").write_text(json.dumps(self.vms))

    def ops(self, **config: Any) -> VMOps:
        """VMOps on it, under the cloud's clock."""
        return shellcloud.open_ops(self.root, self.clock, **config)

    def remote(self, ops: VMOps | None = None, **login: Any) -> Any:
        """What runs scripts on it; closed after the test."""
        from vmops.remote import Login, Remote

        remote = Remote(ops or self.ops(), Login(**{"key_file": self.key, **login}))
        self.opened.append(remote)
        return remote


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home folder on every VM."""
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def cloud(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A fresh cloud with a VM `web`."""
    asyncssh = pytest.importorskip("asyncssh", reason="install it: pip install 'vmops[ssh]'")
    for name in [name for name in os.environ if name.startswith(("VMOPS", "XDG", "SSH"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))  # without keys and configuration of anybody's
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(tmp_path / "id"))
    (tmp_path / "id").chmod(0o600)
    sshd = _load("sshd").Sshd(home, key.convert_to_public())
    cloud = Cloud(tmp_path, sshd, tmp_path / "id")
    yield cloud
    for remote in cloud.opened:
        remote.close()
    sshd.close()
