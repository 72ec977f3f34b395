"""The tests' own calls: /vmops/calls, settings, faults, advance, expire and so on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import stand_in_server
from stand_in_server import usual

from gce import names, preemption, seeds, tokens
from gce.world import Fault, world

_SHOWN = ("instances", "disks", "addresses", "images", "snapshots", "networks", "subnetworks")


def _preempt(asked: dict[str, Any]) -> Any:
    found = [one for one in world.every() if one.kind == "instances" and one.name == asked["vm"]]
    return preemption.preempt(found[0])


def _reset(_: dict[str, Any]) -> Any:
    world.reset()
    seeds.begin()
    return {}


def _resources() -> Any:
    return [names.BASE + one.path for one in world.every() if one.kind in _SHOWN]


_POSTS = {
    **usual(world, Fault),
    "preempt": _preempt,
    "reset": _reset,
}
_GETS = {
    "calls": lambda: world.calls,
    "settings": lambda: asdict(world.settings),
    "resources": _resources,
    "token": tokens.issued,
}


def control(method: str, path: str, body: bytes) -> tuple[int, Any]:
    """The HTTP status and the JSON answer. The caller holds the lock."""
    return stand_in_server.control(_GETS, _POSTS, method, path, body)
