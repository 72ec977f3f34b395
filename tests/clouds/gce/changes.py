"""Changes of a VM that leave it running: metadata, tags, scheduling and so on."""

from __future__ import annotations

from typing import Any

from gce import errors, launching, metadata, names
from gce.operations import Error, Plan, begin
from gce.request import Request
from gce.resource import Resource
from gce.scheduling import scheduling
from gce.world import world


def _change(request: Request, vm: Resource, changes: dict[str, Any], kind: str = "") -> Any:
    def ended(error: Error | None) -> None:
        if error is None:
            with vm.changing() as body:
                body.update(changes)
                body["fingerprint"] = names.fingerprint([vm.path, changes, world.now()])

    seconds = world.settings.labels
    plan = Plan(kind or request.verb, vm.path, vm.body["id"], seconds, ended=ended)
    return begin(plan, request.place, request)


def _need_mark(request: Request, vm: Resource, field: str) -> None:
    """Refuses a change of something that somebody else has changed."""
    if request.body.get("fingerprint") != vm.body[field]["fingerprint"]:
        raise errors.Refused(
            412,
            "conditionNotMet",
            f"Supplied fingerprint does not match current {field} fingerprint.",
            where={"location": "If-Match", "locationType": "header"},
        )


def set_metadata(request: Request) -> Any:
    """Other metadata in place of all."""
    vm = request.found()
    _need_mark(request, vm, "metadata")
    return _change(request, vm, {"metadata": metadata.metadata(request.body, "metadata")})


def set_tags(request: Request) -> Any:
    """Other network tags in place of all."""
    vm = request.found()
    _need_mark(request, vm, "tags")
    return _change(request, vm, {"tags": metadata.tags(request.body, "tags")})


def set_scheduling(request: Request) -> Any:
    """Other scheduling."""
    vm = request.found()
    new = scheduling({**vm.body["scheduling"], **request.body}, "scheduling")
    return _change(request, vm, {"scheduling": new})


def set_deletion_protection(request: Request) -> Any:
    """Whether it can be deleted."""
    wanted = request.query.get("deletionProtection", True)
    return _change(request, request.found(), {"deletionProtection": wanted})


def set_machine_type(request: Request) -> Any:
    """Another machine type for a VM that is stopped."""
    vm = request.found()
    given = request.body.get("machineType", "")
    name = launching.machine_type_of(request, given, "machineType")
    if vm.busy is not None:
        raise errors.not_ready(vm.path)
    if vm.body["status"] != "TERMINATED":
        message = (
            f"The instance resource '{vm.path}' must be stopped before its machine type is changed."
        )
        raise errors.Refused(400, "resourceNotReady", message)
    url = names.url(f"{request.place}/machineTypes/{name}")
    return _change(request, vm, {"machineType": url})


def serial_port(request: Request) -> dict[str, Any]:
    """What a VM has said on its serial port."""
    vm = request.found()
    contents = f"{vm.name} login: " if vm.body["status"] == "RUNNING" else ""
    start = int(request.query.get("start", 0))
    return {
        "kind": "compute#serialPortOutput",
        "selfLink": f"{vm.body['selfLink']}/serialPort",
        "contents": contents[start:],
        "start": str(min(start, len(contents))),
        "next": str(len(contents)),
    }
