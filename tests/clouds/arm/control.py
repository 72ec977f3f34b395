"""The tests' own calls: /vmops/calls, settings, faults, advance, expire and so on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import stand_in_server
from stand_in_server import usual

from arm.kinds import KINDS
from arm.world import Fault, world


def _evict(asked: dict[str, Any]) -> Any:
    kind: Any = KINDS["microsoft.compute/virtualmachines"]
    name = asked["vm"].lower()
    vm = next(one for one in world.resources[kind.key].values() if one.name.lower() == name)
    kind.evict(vm)
    return {}


def _reset(_: dict[str, Any]) -> Any:
    world.reset()
    return {}


_POSTS = {
    **usual(world, Fault),
    "evict": _evict,
    "reset": _reset,
}
_GETS = {
    "calls": lambda: world.calls,
    "settings": lambda: asdict(world.settings),
    "resources": lambda: [one.id for one in world.every()],
}


def control(method: str, path: str, body: bytes) -> tuple[int, Any]:
    """The HTTP status and the JSON answer. The caller holds the lock."""
    return stand_in_server.control(_GETS, _POSTS, method, path, body)
