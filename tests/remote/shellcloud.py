"""A cloud whose VMs are SSH servers somewhere: one JSON file says what it tells of each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from vmops import (
    VM,
    Backend,
    Clock,
    Handle,
    LocalOnly,
    Params,
    Ref,
    Settings,
    State,
    StopMode,
    SystemClock,
    Target,
    VMOps,
    hookimpl,
)
from vmops.errors import NotSupported
from vmops.plugins import Registry


class ShellSettings(Settings):
    """Where."""

    root: Annotated[Path, LocalOnly] = Field(description="Folder with `vms.json`.")
    account: Annotated[str, LocalOnly] = Field("acct", description="Whose it is.")
    region: str = Field("here", description="Region.")


class ShellParams(Params):
    """What."""

    admin_username: str | None = Field(None, description="Who logs in.")


class ShellCloud(Backend[ShellSettings, ShellParams]):
    """VMs that exist already."""

    name = "shellcloud"
    horizon = 0.0

    def account(self) -> str:
        return self.settings.account

    def describe(self, refs: Sequence[Ref] | None) -> Iterable[VM]:
        vms: dict[str, Any] = json.loads((self.settings.root / "vms.json").read_text())
        for name, said in vms.items():
            vm = VM(name, State(said["state"]), said["id"], False, said["started"])
            if refs is None or any(ref.id == vm.id or ref.name == name for ref in refs):
                yield VM(name, vm.state, vm.id, started=vm.started, info=said["info"])

    def _refuse(self, *_: object) -> Handle:
        raise NotSupported("these VMs are there")

    provision = start = restart = deprovision = _refuse

    def stop(self, vm: Target[ShellParams], token: str, mode: StopMode) -> Handle:
        return self._refuse()


def open_ops(root: Path, clock: Clock | None = None, **config: Any) -> VMOps:
    """VMOps over the cloud in a folder."""
    cls = type("Cloud", (ShellCloud,), {"clock": clock or SystemClock()})

    class Plugin:
        @hookimpl
        def vmops_backend(self) -> type[ShellCloud]:
            return cls

    registry = Registry(entry_points=[])
    registry.register(Plugin(), "shellcloud")
    settings = {"backend": "shellcloud", "root": str(root), **config}
    return VMOps(settings, journal=None, registry=registry)
