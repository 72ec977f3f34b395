"""`vmops ls`, `vmops show`, `vmops ops`: what there is, what was asked. All read-only."""

# Each argument of a command is an option of the program, made one by typer.
# ruff: noqa: FBT002, PLR0913, PLR0917

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmops.cli import options
from vmops.cli.exits import reporting
from vmops.cli.output import Output
from vmops.cli.session import Place, Session

if TYPE_CHECKING:
    from vmops.history import Entry
    from vmops.vm import VM

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("ls")(_ls)
    app.command("show")(_show)
    app.command("ops")(_ops)


def _ls(
    backend: options.Backend = None,
    params: options.Params = None,
    config: options.ConfigFile = None,
    journal: options.Journal = None,
    as_json: options.Json = False,
) -> None:
    """List the VMs of a backend that vmops made.

    --json writes an array of objects with the keys vm, id, state, holdsCompute, started, owner
    (ours, or another install's id), expires, info.
    """
    out = Output(as_json=as_json)
    with reporting(out), Session(Place(backend, config, journal, params)) as session:
        install = _install(session)
        vms = sorted(session.ops.list_vms(session.params), key=lambda vm: vm.name)
        documents = [_document(vm, install) for vm in vms]
        if as_json:
            out.document(documents)
            return
        columns = ("vm", "state", "since", "private ip", "public ip", "owner", "id")
        rows = [
            (
                said["vm"],
                said["state"],
                _local(said["started"]),
                str(said["info"].get("privateIp", "")),
                str(said["info"].get("publicIp", "")),
                said["owner"],
                said["id"],
            )
            for said in documents
        ]
        if rows or not out.rich:
            out.table(columns, rows)
        if not rows:
            out.note(f"no VMs on {session.backend}")


def _show(
    name: options.Name,
    backend: options.Backend = None,
    params: options.Params = None,
    config: options.ConfigFile = None,
    journal: options.Journal = None,
    as_json: options.Json = False,
) -> None:
    """Show a VM as its cloud sees it now.

    --json writes an object with the keys of `vmops ls --json`, and lastOperation (null, or an
    object with the keys of `vmops ops --json`). A VM that does not exist is exit code 1.
    """
    out = Output(as_json=as_json)
    with reporting(out), Session(Place(backend, config, journal, params)) as session:
        from vmops.errors import NotFound
        from vmops.vm import State

        vm = session.ops.describe({**session.params, "vmName": name})
        last = _last_operation(session, name)
        if vm.state is State.ABSENT:
            message = f"there is no VM {name!r} on {session.backend}"
            raise NotFound(message, hint=f"vmops provision {name} --backend {session.backend}")
        said = _document(vm, _install(session))
        said["lastOperation"] = _entry(last) if last else None
        if as_json:
            out.document(said)
            return
        info = said.pop("info")
        last_said = said.pop("lastOperation")
        said["started"] = _local(said["started"])
        rows = [(key, _text(value)) for key, value in {**said, **info}.items()]
        if last_said:
            words = (last_said["action"], last_said["status"], _local(last_said["asked"]))
            rows.append(("last operation", " ".join(words)))
        out.table(("what", "value"), [row for row in rows if row[1]])


def _ops(
    vm: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only operations on this VM.")
    ] = None,
    backend: Annotated[
        str | None, typer.Option("--backend", "-b", metavar="B", help="Only this backend's.")
    ] = None,
    unended: Annotated[
        bool, typer.Option("--open", help="Only those that nobody has seen end.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="How many at most.")] = 50,
    journal: options.Journal = None,
    as_json: options.Json = False,
) -> None:
    """List operations from the journal, newest first. The journal is only read.

    --json writes an array of objects with the keys id, backend, vm, action, status (open, succeeded
    or failed), asked, ended, durationSeconds, error, url.
    """
    out = Output(as_json=as_json)
    with reporting(out), Session(Place(journal=journal)) as session:
        history = session.history()
        entries = history.operations(
            vm=vm or "", backend=backend or "", unended=unended, limit=limit
        )
        documents = [_entry(entry) for entry in entries]
        if as_json:
            out.document(documents)
            return
        if not documents:
            out.note(f"no such operations in {history.place}")
            return
        columns = ("asked", "backend", "vm", "action", "status", "took", "error")
        keys = ("backend", "vm", "action", "status")
        out.table(
            columns,
            [
                (_local(d["asked"]), *(d[key] for key in keys), _took(d), d["error"])
                for d in documents
            ],
        )
        if any(d["status"] == "open" for d in documents):
            out.note("the URLs of open ones, for `vmops wait`: vmops ops --open --json")


def _install(session: Session) -> str:
    """Our install id; empty where there is no journal to hold one."""
    from vmops.errors import VMOpsError

    try:
        return session.history().install_id()
    except VMOpsError:
        return ""


def _last_operation(session: Session, name: str) -> Entry | None:
    from vmops.errors import VMOpsError

    try:
        found = session.history().operations(vm=name, backend=session.backend, limit=1)
    except VMOpsError:
        return None
    return found[0] if found else None


def _document(vm: VM, install: str) -> dict[str, Any]:
    owner = vm.tags.owner if vm.tags else "not vmops"
    expires = vm.tags.expires if vm.tags else 0
    return {
        "vm": vm.name,
        "id": vm.id,
        "state": vm.state.value,
        "holdsCompute": vm.holds_compute,
        "started": _iso(vm.started),
        "owner": "ours" if install and owner == install else owner,
        "expires": _iso(expires or None),
        "info": dict(vm.info),
    }


def _entry(entry: Entry) -> dict[str, Any]:
    took = None if entry.ended is None else round(max(entry.ended - entry.asked, 0.0), 3)
    return {
        "id": entry.id,
        "backend": entry.backend,
        "vm": entry.vm,
        "action": entry.action,
        "status": entry.status or "open",
        "asked": _iso(entry.asked),
        "ended": _iso(entry.ended),
        "durationSeconds": took,
        "error": entry.error,
        "url": entry.url,
    }


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _local(iso: str | None) -> str:
    if iso is None:
        return ""
    return f"{datetime.fromisoformat(iso).astimezone():%Y-%m-%d %H:%M:%S}"


def _took(document: dict[str, Any]) -> str:
    seconds = document["durationSeconds"]
    return "" if seconds is None else f"{seconds:.2f} s"


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
