"""Start, stop, reset, suspend, resume and delete of VMs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gce import attached, cards, catalogue, errors, failures, names
from gce.operations import Error, Plan, begin
from gce.request import Request
from gce.resource import Resource
from gce.world import world

_UNKNOWN = "Unknown CPU Platform"


def change(vm: Resource, status: str) -> None:
    """Another status."""
    with vm.changing() as body:
        body["status"] = status
        body["fingerprint"] = names.fingerprint([vm.path, status, world.now()])


def running(vm: Resource) -> None:
    """It runs from now on."""
    with vm.changing() as body:
        body["lastStartTimestamp"] = names.stamp(world.now())
        body["cpuPlatform"] = catalogue.platform(names.last(body["machineType"]))
    change(vm, "RUNNING")


def stopped(vm: Resource) -> None:
    """It is stopped, and has lost its public addresses that are not reserved."""
    cards.take(vm)
    with vm.changing() as body:
        body["lastStopTimestamp"] = names.stamp(world.now())
        body["cpuPlatform"] = _UNKNOWN
    change(vm, "TERMINATED")


def gone(vm: Resource) -> None:
    """It does not exist any more; nor do the disks that go with it."""
    if not world.has(vm):
        return
    cards.free(vm)
    for one in vm.body["disks"]:
        place, kind, name = one.get("source", "//").removeprefix(names.ROOT).rsplit("/", 2)
        disk = world.find(kind, place, name)
        if disk is None:
            continue
        attached.detach(disk, vm.path)
        if one["autoDelete"] and "users" not in disk.body:
            world.remove(disk)
    world.remove(vm)


# -- methods --------------------------------------------------------------------------------------


def _need(request: Request, *statuses: str) -> Resource:
    """The VM, on which nothing is under way and which has one of these statuses."""
    vm = request.found()
    if vm.busy is not None or (statuses and vm.body["status"] not in statuses):
        raise errors.not_ready(vm.path)
    return vm


def _plan(  # noqa: PLR0917
    request: Request,
    vm: Resource,
    seconds: float,
    during: str,
    after: Callable[[Resource], None],
    fails: Error | None = None,
) -> dict[str, Any]:
    """An operation during which a VM has one status, and after which it has another."""
    before = vm.body["status"]

    def ended(error: Error | None) -> None:
        if error is None:
            after(vm)
        elif vm.body["status"] != before:
            change(vm, before)

    plan = Plan(
        request.verb,
        vm.path,
        vm.body["id"],
        seconds,
        started=lambda: change(vm, during) if during else None,
        ended=ended,
        target=vm,
        fails=fails,
    )
    return begin(plan, request.place, request)


def _nothing(_: Resource) -> None:
    """It stays as it is."""


def start(request: Request) -> dict[str, Any]:
    """Starts a VM; one that runs goes on running."""
    from gce.launching import no_room

    vm = _need(request, "TERMINATED", "RUNNING")
    seconds = world.settings.start
    if vm.body["status"] == "RUNNING":
        return _plan(request, vm, seconds, "", _nothing)
    error = no_room(vm, request.region)
    return _plan(request, vm, seconds, "PROVISIONING", _started, error)


def _started(vm: Resource) -> None:
    cards.give(vm)
    running(vm)


def stop(request: Request) -> dict[str, Any]:
    """Stops a VM; one that is stopped stays so."""
    vm = _need(request, "TERMINATED", "RUNNING")
    _need_choice(request, vm)
    seconds = world.settings.stop
    if vm.body["status"] == "TERMINATED":
        return _plan(request, vm, seconds, "", _nothing)
    return _plan(request, vm, seconds, "STOPPING", stopped)


def _need_choice(request: Request, vm: Resource) -> None:
    local = any(one["type"] == "SCRATCH" for one in vm.body["disks"])
    if local and "discardLocalSsd" not in request.query:
        raise errors.Refused(
            400,
            "invalid",
            "VM has a Local SSD attached but an undefined value for `discard-local-ssd`. If using"
            " gcloud, please add `--discard-local-ssd=false` or `--discard-local-ssd=true` to your"
            " command.",
        )


def reset(request: Request) -> dict[str, Any]:
    """Resets a VM that runs."""
    return _plan(request, _need(request, "RUNNING"), world.settings.reset, "", _nothing)


def suspend(request: Request) -> dict[str, Any]:
    """Suspends a VM that runs."""
    vm = _need(request, "RUNNING")
    _need_choice(request, vm)
    return _plan(request, vm, world.settings.suspend, "SUSPENDING", _suspended)


def _suspended(vm: Resource) -> None:
    cards.take(vm)
    with vm.changing() as body:
        body["lastSuspendedTimestamp"] = names.stamp(world.now())
    change(vm, "SUSPENDED")


def resume(request: Request) -> dict[str, Any]:
    """Resumes a VM that is suspended."""
    vm = _need(request, "SUSPENDED")
    return _plan(request, vm, world.settings.suspend, "PROVISIONING", _started)


def delete(request: Request) -> dict[str, Any]:
    """Deletes a VM that is not protected; one that is still being made is made no further.

    That an insertion then ends with OPERATION_CANCELED_BY_USER is known from reports of users.
    """
    vm = request.found()
    making = vm.busy is not None and vm.busy.body["operationType"] == "insert"
    if vm.busy is not None and not making:
        raise errors.not_ready(vm.path)
    if vm.body["deletionProtection"]:
        raise errors.Refused(
            400,
            "invalid",
            f"Invalid resource usage: 'Resource cannot be deleted if it's protected against"
            f" deletion. Resource: {vm.path}'.",
        )
    if making and vm.busy is not None:
        vm.busy.end(failures.cancelled())
    return _plan(request, vm, world.settings.delete, "STOPPING", gone)
