"""A cloud made of files, which any process can see: what the command line's tests drive.

Every VM is one JSON file in `root`; `calls` has one line per verb that was carried out. What is
under way ends `seconds` after it was asked for, or at once when a file `hurry` appears: so a test
decides itself when things end, and no test sleeps.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr

from vmops import (
    VM,
    Backend,
    Handle,
    LocalOnly,
    Params,
    Ref,
    Settings,
    State,
    StopMode,
    Tags,
    Target,
    hookimpl,
)
from vmops.checks import Check
from vmops.errors import CloudError, MissingDependency, NoCapacity

_GOALS = {"starting": "running", "stopping": "stopped", "deleting": "absent"}


class CloudSettings(Settings):
    """Where."""

    root: Annotated[Path, LocalOnly] = Field(description="Folder that is the cloud; - is none.")
    region: str = Field("here", description="Region.")


class CloudParams(Params):
    """What."""

    vm_size: str = Field("small", description="Size.")
    seconds: float = Field(0.0, ge=0, description="How long things take.")
    fault: str = Field("", description="What goes wrong: capacity, missing, late or bug.")
    ssh_host: str = Field("", description="Where the VM answers.")
    ssh_host_key: str = Field("", description="The key it answers with.")
    labels: list[str] = Field([], description="A list.")
    user_data: SecretStr | None = Field(None, description="Data for the guest.")


class FileCloud(Backend[CloudSettings, CloudParams]):
    """A cloud made of files."""

    name = "filecloud"
    horizon = 0.0
    poll_interval = 0.01

    @classmethod
    def doctor(cls, settings: CloudSettings) -> Iterable[Check]:
        """One check per line of the file `doctor`: ok, bad, note or bug."""
        file = settings.root / "doctor"
        for word in file.read_text().split() if file.exists() else ():
            if word == "bug":
                raise RuntimeError("the doctor is ill")
            needed = word != "note"
            yield Check("disk", ok=word == "ok", detail=word, fix="mend-it", needed=needed)

    @classmethod
    def shared_settings(cls, settings: CloudSettings, folder: Path) -> dict[str, str]:
        """A folder for the cloud that has none."""
        return {"root": str(folder)} if settings.root == Path("-") else {}

    def account(self) -> str:
        return "acct"

    def describe(self, refs: Sequence[Ref] | None) -> Iterable[VM]:
        names = [f.stem for f in self._root.glob("*.json")] if refs is None else None
        for name in sorted(names) if names is not None else [r.name for r in refs or ()]:
            record = self._read(name)
            if record is not None:
                yield self._vm(record)

    def provision(self, vm: Target[CloudParams], token: str) -> Handle:
        params = vm.params
        if params.fault == "missing":
            raise MissingDependency("filecloud needs a paper clip", install="buy paper-clip")
        if params.fault == "capacity":
            raise NoCapacity("no room for it", provider_code="Full", hint="try another region")
        if params.fault == "bug":
            raise ZeroDivisionError("nobody mapped this")
        record = {
            "name": vm.name,
            "id": uuid.uuid4().hex,
            "tags": vm.tags.to_dict() if vm.tags else {},
            "state": "starting",
            "until": time.time() + params.seconds,
            "seconds": params.seconds,
            "late": params.fault == "late",
            "boots": 0,
            "started": None,
            "host": params.ssh_host,
            "key": params.ssh_host_key,
        }
        self._write(record)
        self._called("provision", vm.name)
        return {"vmId": str(record["id"])}

    def start(self, vm: Target[CloudParams], token: str) -> Handle:
        return self._move("start", vm, "starting")

    def stop(self, vm: Target[CloudParams], token: str, mode: StopMode) -> Handle:
        return self._move(f"stop-{mode}", vm, "stopping")

    def restart(self, vm: Target[CloudParams], token: str) -> Handle:
        return self._move("restart", vm, "stopping")

    def restart_phases(self, vm: Target[CloudParams]) -> int:
        return 2

    def deprovision(self, vm: Target[CloudParams], token: str) -> Handle:
        return self._move("deprovision", vm, "deleting")

    @property
    def _root(self) -> Path:
        return self.settings.root

    def _move(self, call: str, vm: Target[CloudParams], state: str) -> Handle:
        record = self._read(vm.name)
        assert record is not None
        seconds = vm.params.seconds or (0.0 if state == "deleting" else record["seconds"])
        record |= {"state": state, "until": time.time() + seconds}
        self._write(record)
        self._called(call, vm.name)
        return {}

    def _read(self, name: str) -> dict[str, Any] | None:
        file = self._root / f"{name}.json"
        try:
            record: dict[str, Any] = json.loads(file.read_text())
        except FileNotFoundError:
            return None
        due = record["until"] <= time.time() or (self._root / "hurry").exists()
        if record["state"] in _GOALS and due:
            late = record["late"] and record["state"] == "starting"
            record["state"] = "failed" if late else _GOALS[record["state"]]
            if record["state"] == "running":
                record["boots"] += 1
                record["started"] = record["until"] + record["boots"] / 1000
            if record["state"] == "absent":
                file.unlink(missing_ok=True)
                return None
            self._write(record)
        return record

    def _vm(self, record: dict[str, Any]) -> VM:
        host = {"sshHost": record["host"], "sshPort": 2222} if record["host"] else {}
        host |= {"sshHostKey": record["key"]} if record["key"] else {}
        fire = CloudError("it burns", provider_code="Fire")
        return VM(
            record["name"],
            State(record["state"]),
            id=record["id"],
            started=record["started"] if record["state"] == "running" else None,
            tags=Tags.from_dict(record["tags"]),
            info={"privateIp": "10.0.0.1", "bootCount": record["boots"], **host},
            error=fire if record["state"] == "failed" else None,
        )

    def _write(self, record: dict[str, Any]) -> None:
        fresh = self._root / f".{record['name']}.{os.getpid()}.{time.monotonic_ns()}"
        fresh.write_text(json.dumps(record))
        fresh.replace(self._root / f"{record['name']}.json")

    def _called(self, call: str, name: str) -> None:
        with (self._root / "calls").open("a") as file:
            file.write(f"{call} {name}\n")


@hookimpl
def vmops_backend() -> type[FileCloud]:
    """The Backend class."""
    return FileCloud
