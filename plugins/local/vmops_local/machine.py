"""The VMs in one state folder: made, looked at, started, stopped and deleted.

    <state>/store-id            names this store: the backend's "account"
    <state>/locks/NAME.lock     one process at a time changes a VM; outlives the VM's folder
    <state>/vms/NAME/           vm.json qemu.pid qmp.sock serial.log qemu.log alive.lock disks
    <state>/vms/.making-NAME    being made; renamed when complete
    <state>/vms/.gone-NAME-...  being removed; nobody's any more

What a VM is doing is worked out from facts that any process can read, never from events somebody
may have missed: is its QEMU alive, what did it write to the serial port since it was launched, and
what does its record say. Whatever has a deadline (a guest that does not heed its power button, a
first boot under KVM) is acted on by whoever looks next.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from vmops.errors import CloudError, Conflict, NotFound, Unavailable
from vmops_local.files import exclusive, private_folder, write_new
from vmops_local.host import KVM_SHARE, KvmVerdicts, Qemu, kvm_present
from vmops_local.launch import SERIAL, Boot, launch, read_ssh_port
from vmops_local.parts import GuestParts
from vmops_local.process import is_alive, kill
from vmops_local.qmp import ask
from vmops_local.record import RECORD, Record, Stopping, read_record, write_record

__all__ = ["Machines", "Phase", "Plan", "Snapshot"]

_LOCK_SECONDS: Final = 20.0
_PRESS_AGAIN: Final = 1.0
_READY: Final = re.compile(rb"READY ([^\r\n]*)\r?\n")
_FAILED: Final = re.compile(rb"FAILED vmops ([^\r\n]*)\r?\n")
_HOST_KEY: Final = re.compile(rb"HOSTKEY (ssh-ed25519 [A-Za-z0-9+/=]+)[^\r\n]*\r?\n")
_BOOT_COUNT: Final = re.compile(r"\bboot=(\d+)")

Phase = str
"""`starting`, `running`, `stopping`, `stopped` or `failed`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A VM to be made.

    Args:
        name: Its name, already checked.
        token: The idempotency token.
        tags: Ownership tags, kept as they are.
        kind: The kind of guest, such as `nano`.
        memory_mib: Memory in MiB; 0 for the guest's own default.
        cpus: Virtual processors.
        accel: `auto`, `tcg` or `kvm`.
        write_parts: Writes the guest's files to a folder, given the VM's UUID.
    """

    name: str
    token: str
    tags: Mapping[str, str]
    kind: str
    memory_mib: int
    cpus: int
    accel: str
    write_parts: Callable[[Path, str], GuestParts]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A VM as it is at one moment."""

    record: Record
    phase: Phase
    boot_count: int | None = None
    host_key: str = ""
    problem: str = ""
    serial: Path = field(default_factory=Path)


class Machines:
    """The VMs of one state folder.

    Args:
        state: The folder; made with mode 0700 if missing.
        qemu: Finds QEMU when one is to be started.
        now: Epoch seconds.
    """

    def __init__(
        self, state: Path, qemu: Callable[[], Qemu], now: Callable[[], float] = time.time
    ) -> None:
        """Touch nothing yet."""
        self._state = state
        self._qemu = qemu
        self._now = now
        self._verdicts = KvmVerdicts(state)

    def store_id(self) -> str:
        """What names this state folder, made once."""
        file = private_folder(self._state) / "store-id"
        try:
            return file.read_text().strip()
        except FileNotFoundError:
            with self._lock(".store"):
                if not file.exists():
                    write_new(file, secrets.token_hex(8).encode())
            return file.read_text().strip()

    def names(self) -> list[str]:
        """The names of all VMs."""
        try:
            return sorted(
                entry.name
                for entry in os.scandir(self._state / "vms")
                if not entry.name.startswith(".") and (Path(entry.path) / RECORD).exists()
            )
        except FileNotFoundError:
            return []

    def look(self, name: str) -> Snapshot | None:
        """The VM as it is now, after acting on any deadline that has passed; None if absent."""
        snapshot = self._look(name)
        if snapshot is None or not (snapshot.phase == "stopped" or self._overdue(snapshot)):
            return snapshot
        with self._lock(name):  # one that seems stopped may just be launched by another process
            snapshot = self._look(name)
            if snapshot is not None and self._overdue(snapshot):
                self._act(snapshot)
                snapshot = self._look(name)
        return snapshot

    def create(self, plan: Plan) -> str:
        """The UUID of the VM, made and launched; the same token finds what it made before.

        Raises:
            Conflict: A VM of that name was made with another token.
            CloudError: QEMU did not start; nothing remains.
        """
        qemu = self._qemu()
        with self._lock(plan.name):
            record = read_record(self._folder(plan.name))
            if record is not None and record.token != plan.token:
                raise Conflict(f"VM {plan.name!r} exists already", provider_code="NameTaken")
            if record is None:
                record = self._make(plan)
                try:
                    self._launch(record, qemu)
                except CloudError:
                    self._remove(plan.name, record.uuid)
                    raise
            elif not record.started:
                self._launch(record, qemu)
            return record.uuid

    def start(self, name: str, operation: str) -> None:
        """Launch a stopped VM; one that runs is left alone."""
        qemu = self._qemu()
        with self._lock(name):
            record = self._record(name)
            if not is_alive(self._folder(name)):
                self._launch(replace(record, operation=operation), qemu)

    def press_power_button(self, name: str, operation: str, grace: float) -> None:
        """Ask the guest to shut down; after `grace` seconds whoever looks next forces it off."""
        with self._lock(name):
            record = self._record(name)
            stopping = Stopping(self._now(), grace)
            write_record(
                self._folder(name), replace(record, operation=operation, stopping=stopping)
            )
            self._press(name)

    def retag(self, name: str, tags: Mapping[str, str]) -> None:
        """Replace a VM's tags."""
        with self._lock(name):
            write_record(self._folder(name), replace(self._record(name), tags=dict(tags)))

    def delete(self, name: str, identity: str | None = None) -> None:
        """End the VM and remove all that is its own; one that is gone is no error.

        With its UUID, a VM that took over the name since is left alone: a request may come late.
        """
        with self._lock(name):
            record = read_record(self._folder(name))
            if record is not None and identity in {None, record.uuid}:
                self._remove(name, record.uuid)

    def _folder(self, name: str) -> Path:
        return self._state / "vms" / name

    def _record(self, name: str) -> Record:
        record = read_record(self._folder(name))
        if record is None:
            raise NotFound(f"there is no VM {name!r} in {self._state}", provider_code="NoSuchVm")
        return record

    def _look(self, name: str) -> Snapshot | None:
        folder = self._folder(name)
        record = read_record(folder)
        if record is None:
            return None
        alive = is_alive(folder)  # before the log: what it said last is there when it is dead
        said = _said_since(folder / SERIAL, record.offset) if record.started else b""
        ready, failed = _READY.search(said), _FAILED.search(said)
        host_key = _HOST_KEY.search(said)
        count = _BOOT_COUNT.search(ready[1].decode(errors="replace")) if ready else None
        problem = failed[1].decode(errors="replace") if failed else ""
        return Snapshot(
            record,
            _phase(record, alive=alive, ready=ready is not None, failed=failed is not None),
            boot_count=int(count[1]) if count else None,
            host_key=host_key[1].decode(errors="replace") if host_key else "",
            problem=problem,
            serial=folder / SERIAL,
        )

    def _overdue(self, snapshot: Snapshot) -> bool:
        record, now = snapshot.record, self._now()
        if snapshot.phase == "stopping" and record.stopping is not None:
            return now - record.stopping.since >= min(_PRESS_AGAIN, record.stopping.grace)
        if snapshot.phase == "running":
            return record.on_trial or (bool(record.parts.login) and record.ssh_port is None)
        return snapshot.phase == "starting" and record.on_trial and now > self._trial_end(record)

    @staticmethod
    def _trial_end(record: Record) -> float:
        return record.started + record.parts.boot_seconds * KVM_SHARE

    def _act(self, snapshot: Snapshot) -> None:
        """Do what is overdue; the VM is locked."""
        record, folder = snapshot.record, self._folder(snapshot.record.name)
        if snapshot.phase == "stopping" and record.stopping is not None:
            if self._now() - record.stopping.since < record.stopping.grace:
                self._press(record.name)  # a guest that was still booting did not see it
                return
            write_record(folder, replace(record, forced=True))
            kill(folder, record.uuid)
        elif snapshot.phase == "running":
            if record.on_trial:
                self._verdicts.put(self._qemu(), record.kind, works=True)
            port = record.ssh_port
            if record.parts.login and port is None:
                port = read_ssh_port(folder)
            write_record(folder, replace(record, on_trial=False, ssh_port=port))
        else:  # KVM had its chance
            qemu = self._qemu()
            self._verdicts.put(qemu, record.kind, works=False)
            kill(folder, record.uuid)
            self._launch(record, qemu)

    def _press(self, name: str) -> None:
        try:
            ask(self._folder(name), [("system_powerdown", {})], timeout=5.0)
        except Unavailable:
            if is_alive(self._folder(name)):
                return  # it is frozen, or not listening yet: the grace period decides

    def _make(self, plan: Plan) -> Record:
        """Write the VM's files in a folder that gets its name when it is complete."""
        vms = private_folder(private_folder(self._state) / "vms")
        making = vms / f".making-{plan.name}"
        shutil.rmtree(making, ignore_errors=True)  # of a caller that was killed: we hold the lock
        making.mkdir(mode=0o700)
        identity = str(uuid.uuid4())
        try:
            parts = plan.write_parts(making, identity)
            record = Record(
                name=plan.name,
                uuid=identity,
                token=plan.token,
                tags=dict(plan.tags),
                kind=plan.kind,
                parts=parts,
                memory_mib=plan.memory_mib or parts.memory_mib,
                cpus=plan.cpus,
                accel=plan.accel,
            )
            write_record(making, record)
            making.rename(self._folder(plan.name))
        except OSError as exc:
            shutil.rmtree(making, ignore_errors=True)
            message = f"VM {plan.name!r}: its files cannot be written in {vms} ({exc.strerror})"
            raise CloudError(message, provider_code="StateFolder") from exc
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        return record

    def _launch(self, record: Record, qemu: Qemu) -> None:
        accel, on_trial = self._accelerator(record, qemu)
        folder = self._folder(record.name)
        record = write_record(
            folder,
            replace(
                record,
                booted_with=accel,
                on_trial=on_trial,
                started=self._now(),
                offset=_size(folder / SERIAL),
                stopping=None,
                forced=False,
                ssh_port=None,
            ),
        )
        boot = Boot(record.name, record.uuid, record.parts, record.memory_mib, record.cpus, accel)
        launch(folder, boot, qemu)

    def _accelerator(self, record: Record, qemu: Qemu) -> tuple[str, bool]:
        """What to boot with, and whether that is KVM's first try with this kind of guest."""
        if record.accel != "auto":
            return record.accel, False
        verdict = self._verdicts.get(qemu, record.kind)
        if verdict is False or not kvm_present():
            return "tcg", False
        return "kvm", verdict is None

    def _remove(self, name: str, identity: str) -> None:
        folder = self._folder(name)
        kill(folder, identity)
        gone = folder.with_name(f".gone-{name}-{identity}")
        folder.rename(gone)  # from here on there is no such VM, whatever happens to us
        for left in folder.parent.glob(".gone-*"):
            shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        """Be the only process (and thread) that changes this VM."""
        folder = private_folder(private_folder(self._state) / "locks")
        with ExitStack() as stack:
            try:
                stack.enter_context(exclusive(folder / f"{name}.lock", _LOCK_SECONDS))
            except TimeoutError as exc:
                message = f"VM {name!r} is locked by another process: {exc}"
                raise Conflict(message, provider_code="Locked", hint="try again") from exc
            yield


def _phase(record: Record, *, alive: bool, ready: bool, failed: bool) -> Phase:
    if not alive:
        return "stopped"
    if record.stopping is not None:
        return "stopping"
    if failed:
        return "failed"
    return "running" if ready else "starting"


def _said_since(log: Path, offset: int) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(offset)
            return file.read(1 << 20)
    except FileNotFoundError:
        return b""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
