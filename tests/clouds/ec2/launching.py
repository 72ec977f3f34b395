"""RunInstances: tokens, checks, capacity, and the launch itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from moto.ec2.utils import parse_user_data

from ec2 import checks, images, spot
from ec2.errors import Refused
from ec2.machine import Machine
from ec2.record import record, vcpus
from ec2.world import Home, world

_NOT_SAID = {"ClientToken", "DryRun"}


@dataclass(frozen=True)
class _Launch:
    said: dict[str, Any]
    reservation: str
    machines: list[Machine]


def _answer(backend: Any, reservation: str, machines: list[Machine]) -> dict[str, Any]:
    return {
        "ReservationId": reservation,
        "OwnerId": backend.account_id,
        "Instances": [record(machine) for machine in machines],
    }


def run(backend: Any, params: dict[str, Any]) -> dict[str, Any]:
    """New instances or, for a token that is known, the ones that it launched."""
    home = world.home(backend)
    token = checks.token(params)
    # a zone that is named, itself or by a subnet, has tokens of its own
    scope = (checks.named_zone(backend, params), token)
    said = {key: value for key, value in params.items() if key not in _NOT_SAID}
    before = home.launches.get(scope) if token else None
    if before:
        if before.said != said:
            raise Refused(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in "
                "previous request(s).",
            )
        if any(machine.state == "terminated" for machine in before.machines):
            raise Refused(
                "IdempotentInstanceTerminated",
                "The client token you have provided is associated with a terminated instance. "
                "Please use a different client token.",
            )
        return _answer(backend, before.reservation, before.machines)
    checks.request(backend, params)
    count = _room(home, params)
    reservation, machines = _launch(backend, params, count)
    if token:
        home.launches[scope] = _Launch(said, reservation, machines)
    return _answer(backend, reservation, machines)


def _room(home: Home, params: dict[str, Any]) -> int:
    least, most = int(params["MinCount"]), int(params["MaxCount"])
    up = [m for m in home.machines.values() if m.state in {"pending", "running"}]
    quota, capacity = world.settings.vcpus, world.settings.capacity
    if quota is not None:
        free = quota - sum(vcpus(machine.instance_type) for machine in up)
        most = min(most, free // vcpus(params["InstanceType"]))
    if most < least:
        raise Refused(
            "VcpuLimitExceeded",
            f"You have requested more vCPU capacity than your current vCPU limit of {quota} allows "
            "for the instance bucket that the specified instance type belongs to. Please visit "
            "http://aws.amazon.com/contact-us/ec2-request to request an adjustment to this limit.",
        )
    if capacity is not None:
        most = min(most, capacity - len(up))
    if most < least:
        raise Refused(
            "InsufficientInstanceCapacity",
            f"We currently do not have sufficient {params['InstanceType']} capacity in the "
            "Availability Zone you requested. Our system will be working on provisioning "
            "additional capacity.",
            500,
        )
    return most


def _options(backend: Any, params: dict[str, Any]) -> dict[str, Any]:
    tags = checks.tags(params)
    image = images.image(backend, params.get("ImageId"))
    nics = checks.interfaces(backend, params)
    return {
        "associate_public_ip": None,
        "block_device_mappings": images.disks(image, params.get("BlockDeviceMappings") or []),
        "client_token": params.get("ClientToken"),
        "disable_api_stop": bool(params.get("DisableApiStop")),
        "disable_api_termination": bool(params.get("DisableApiTermination")),
        "ebs_optimized": bool(params.get("EbsOptimized")),
        "iam_instance_profile": checks.profile(backend, params.get("IamInstanceProfile") or {}),
        "instance_initiated_shutdown_behavior": params.get("InstanceInitiatedShutdownBehavior"),
        "instance_type": params["InstanceType"],
        "is_instance_type_default": False,
        "key_name": params.get("KeyName"),
        "metadata_options": params.get("MetadataOptions") or {},
        "monitoring_state": "disabled",
        "nics": nics,
        "placement": (params.get("Placement") or {}).get("AvailabilityZone"),
        "region_name": backend.region_name,
        "security_group_ids": list(params.get("SecurityGroupIds") or []),
        "subnet_id": nics[0]["SubnetId"],
        "tags": tags,
    }


def _launch(
    backend: Any, params: dict[str, Any], count: int, request: spot.SpotRequest | None = None
) -> tuple[str, list[Machine]]:
    home = world.home(backend)
    options, known = _options(backend, params), set(home.machines)
    image = params["ImageId"]
    user_data = parse_user_data(params.get("UserData"))
    try:
        made = backend.run_instances(
            image, count, user_data, params.get("SecurityGroups") or [], **options
        )
    except BaseException:
        # all or nothing: what was made before the one that failed goes again
        for new in [m for m in home.machines.values() if m.id not in known]:
            new.discard()
        raise
    for machine in made.instances:
        machine.reservation_id = made.id
        _own(machine, options)
        _bid(backend, machine, params, options["tags"], request)
    return made.id, list(made.instances)


def _own(machine: Machine, options: dict[str, Any]) -> None:
    for nic in machine.nics.values():
        asked = options["nics"][nic.device_index]
        nic.delete_on_termination = bool(asked.get("DeleteOnTermination", True))
        nic.add_tags(options["tags"].get("network-interface", {}))


def _bid(
    backend: Any,
    machine: Machine,
    params: dict[str, Any],
    tags: dict[str, dict[str, str]],
    request: spot.SpotRequest | None,
) -> None:
    asked = spot.options(params)
    if asked is None:
        return
    if request is None:
        request = spot.SpotRequest(backend, params, *asked)
        world.home(backend).spots[request.id] = request
        wanted = tags.get("spot-instances-request", {})
        if wanted:
            backend.create_tags([request.id], wanted)
    request.machine, machine.spot = machine, request
    machine.relaunch = partial(_again, backend, params, request)


def _again(backend: Any, params: dict[str, Any], request: spot.SpotRequest) -> None:
    # Only the request's own tags survive: the worst case for whoever looks for what was left over
    if not request.live:
        return
    bare = {key: v for key, v in params.items() if key not in {"TagSpecifications", "ClientToken"}}
    _launch(backend, bare, 1, request)
    request.started()
