"""instances.insert: what is asked for becomes a VM, its disks and its cards."""

from __future__ import annotations

import random
from typing import Any

from gce import (
    attached,
    cards,
    catalogue,
    disks,
    errors,
    failures,
    labels,
    metadata,
    names,
    power,
    quotas,
)
from gce.operations import Error, Plan, begin
from gce.request import Request
from gce.resource import Resource, made
from gce.scheduling import scheduling
from gce.world import world

TYPE = rf"zones/{names.NAME}/machineTypes/[a-z0-9-]+"
_KEPT = ("description", "minCpuPlatform", "hostname", "confidentialInstanceConfig", "displayDevice")
_KEPT_TOO = ("guestAccelerators", "resourcePolicies", "advancedMachineFeatures", "params")


def insert(request: Request) -> dict[str, Any]:
    """Begins to make a VM."""
    body, name = request.body, request.new_name()
    if request.query.keys() & {"sourceInstanceTemplate", "sourceMachineImage"}:
        raise errors.Refused(501, "notImplemented", "The emulator has neither of these sources")
    machine_type = machine_type_of(request, body.get("machineType", ""), "resource.machineType")
    labels.checked(body.get("labels") or {}, "resource.labels")
    vm = _vm(request, name, machine_type)
    shown, used, new = attached.plan(request, vm, machine_type)
    vm.body["disks"] = shown
    vm.body["networkInterfaces"] = cards.plan(request)
    vm.hidden["new"] = new
    error = no_room(vm, request.region)
    vm.visible = world.now() + world.settings.invisible
    for disk in used:
        if disk in new:
            world.add(disk)
        attached.attach(disk, vm.path)
    world.add(vm)
    plan = Plan(
        "insert",
        vm.path,
        vm.body["id"],
        world.settings.create + random.random() * world.settings.jitter,
        started=lambda: _staged(vm),
        ended=lambda error: _made(vm, error),
        target=vm,
        fails=error,
        warnings=[one for disk in new for one in disks.warnings(disk)],
    )
    return begin(plan, request.place, request)


def machine_type_of(request: Request, given: str, field: str) -> str:
    """The name of the machine type that a field names."""
    if not given:
        raise errors.invalid(field, "", "The machine type must be specified.")
    path = names.path_of(given, request.project, field, TYPE)
    name = names.last(path)
    if catalogue.machine_type(request.project, request.zone, name) is None or (
        f"/zones/{request.zone}/" not in path
    ):
        why = f"Machine type with name '{name}' does not exist in zone '{request.zone}'."
        raise errors.invalid(field, given, why)
    return name


def no_room(vm: Resource, region: str) -> Error | None:
    """Why a VM cannot run now, if it cannot."""
    name = names.last(vm.body["machineType"])
    _, project, _, zone = vm.place.split("/")
    if name in world.settings.no_capacity:
        return failures.no_room(project, zone, name)
    limit = world.settings.cpus
    if limit is not None and quotas.exceeded(region, vm.body["machineType"]):
        return failures.quota("CPUS", limit, region)
    return None


def _vm(request: Request, name: str, machine_type: str) -> Resource:
    body = request.body
    vm = made(
        "instances",
        request.place,
        name,
        kind="compute#instance",
        status="PROVISIONING",
        zone=names.url(request.place),
        machineType=names.url(f"{request.place}/machineTypes/{machine_type}"),
        cpuPlatform="Unknown CPU Platform",
        canIpForward=body.get("canIpForward", False),
        deletionProtection=body.get("deletionProtection", False),
        startRestricted=False,
        scheduling=scheduling(body.get("scheduling") or {}, "resource.scheduling"),
        metadata=metadata.metadata(body.get("metadata") or {}, "resource.metadata"),
        tags=metadata.tags(body.get("tags") or {}, "resource.tags"),
        labelFingerprint=names.fingerprint(body.get("labels") or {}),
        shieldedInstanceConfig=body.get("shieldedInstanceConfig")
        or {"enableSecureBoot": False, "enableVtpm": True, "enableIntegrityMonitoring": True},
        shieldedInstanceIntegrityPolicy={"updateAutoLearnPolicy": True},
        resourceStatus={"scheduling": {}},
    )
    vm.body["fingerprint"] = names.fingerprint(vm.body)
    if body.get("labels"):
        vm.body["labels"] = dict(body["labels"])
    if body.get("serviceAccounts"):
        vm.body["serviceAccounts"] = body["serviceAccounts"]
    for field in (*_KEPT, *_KEPT_TOO):
        if body.get(field):
            vm.body[field] = body[field]
    return vm


def _staged(vm: Resource) -> None:
    for disk in vm.hidden["new"]:
        attached.ready(disk)
    cards.give(vm)
    power.change(vm, "STAGING")


def _made(vm: Resource, error: Error | None) -> None:
    if error is None:
        power.running(vm)
        return
    if error["code"] == "OPERATION_CANCELED_BY_USER":
        return  # its deletion is under way
    for disk in vm.hidden["new"]:
        world.remove(disk)
    power.gone(vm)
