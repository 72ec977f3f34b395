"""Start, stop, reboot and terminate: for all of the instances, or for none."""

from __future__ import annotations

import re
from typing import Any

from ec2.errors import Refused
from ec2.machine import CODES, Machine
from ec2.world import Home, world

_ENDED = {"shutting-down", "terminated"}


def known(home: Home, ids: list[str]) -> list[Machine]:
    """The instances, once each, or EC2's refusal of the whole call."""
    for each in ids:
        if not re.fullmatch(r"i-([0-9a-f]{8}|[0-9a-f]{17})", each):
            raise Refused("InvalidInstanceID.Malformed", f'Invalid id: "{each}"')
    ids = list(dict.fromkeys(ids))
    found = {m.id: m for m in (home.machines.get(each) for each in ids) if m and m.visible}
    missing = [each for each in ids if each not in found]
    if len(missing) == 1:
        words = f"The instance ID '{missing[0]}' does not exist"
        raise Refused("InvalidInstanceID.NotFound", words)
    if missing:
        words = f"The instance IDs '{', '.join(missing)}' do not exist"
        raise Refused("InvalidInstanceID.NotFound", words)
    return list(found.values())


def _guard(machines: list[Machine], verb: str, states: set[str], code: str) -> None:
    for machine in machines:
        if machine.state in states:
            raise Refused(
                code,
                f"The instance '{machine.id}' is not in a state from which it can be {verb}.",
            )


def _state(name: str) -> dict[str, Any]:
    return {"Code": CODES[name], "Name": name}


def _each(machines: list[Machine], key: str, verb: str) -> dict[str, Any]:
    changes = []
    for machine in machines:
        previous = machine.state
        getattr(machine, verb)()
        changes.append(
            {
                "InstanceId": machine.id,
                "CurrentState": _state(machine.state),
                "PreviousState": _state(previous),
            }
        )
    return {key: changes}


def start(home: Home, ids: list[str]) -> dict[str, Any]:
    """What each was and is now."""
    machines = known(home, ids)
    _guard(machines, "started", {"stopping", *_ENDED}, "IncorrectInstanceState")
    for machine in machines:
        if machine.state == "stopped" and machine.interrupted:
            raise Refused(
                "IncorrectSpotRequestState",
                "Only Amazon EC2 can restart an interrupted stopped Spot Instance.",
            )
        if machine.state == "stopped" and machine.spot and not machine.spot.live:
            raise Refused(
                "IncorrectSpotRequestState",
                f"You can't start the Spot Instance '{machine.id}' because the associated Spot "
                "Instance request is not in an appropriate state to support start.",
            )
    starting = sum(machine.state == "stopped" for machine in machines)
    up = sum(m.state in {"pending", "running"} for m in home.machines.values())
    capacity = world.settings.capacity
    if capacity is not None and starting > capacity - up:
        raise Refused(
            "InsufficientInstanceCapacity",
            "Insufficient capacity to start the instances in this Availability Zone.",
            500,
        )
    return _each(machines, "StartingInstances", "start")


def stop(home: Home, ids: list[str]) -> dict[str, Any]:
    """What each was and is now."""
    machines = known(home, ids)
    for machine in machines:
        if machine.spot and machine.spot.kind == "one-time" and machine.state not in _ENDED:
            raise Refused(
                "UnsupportedOperation",
                f"You can't stop the Spot Instance '{machine.id}' because it is associated with a "
                "one-time Spot Instance request. You can only stop Spot Instances associated with "
                "persistent Spot Instance requests.",
            )
        if machine.spot and machine.state == "running" and not machine.spot.live:
            raise Refused(
                "IncorrectSpotRequestState",
                f"You can't stop the Spot Instance '{machine.id}' because the associated Spot "
                "Instance request is not in an appropriate state to support stop.",
            )
        if machine.disable_api_stop:
            raise Refused(
                "OperationNotPermitted",
                f"The instance '{machine.id}' may not be stopped. Modify its 'disableApiStop' "
                "instance attribute and try again.",
            )
    _guard(machines, "stopped", {"pending", *_ENDED}, "IncorrectInstanceState")
    return _each(machines, "StoppingInstances", "stop")


def terminate(home: Home, ids: list[str]) -> dict[str, Any]:
    """What each was and is now."""
    machines = known(home, ids)
    for machine in machines:
        if machine.disable_api_termination:
            raise Refused(
                "OperationNotPermitted",
                f"The instance '{machine.id}' may not be terminated. Modify its "
                "'disableApiTermination' instance attribute and try again.",
            )
    return _each(machines, "TerminatingInstances", "terminate")


def reboot(home: Home, ids: list[str]) -> None:
    """Nothing, as EC2; requests to reboot what was terminated are ignored."""
    machines = known(home, ids)
    _guard(machines, "rebooted", {"pending", "stopping", "stopped"}, "IncorrectState")
    for machine in machines:
        machine.reboot()
