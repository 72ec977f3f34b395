"""The tests' own calls: /vmops/calls, settings, faults, advance, expire and so on."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from arm.kinds import KINDS
from arm.world import Fault, world


def _settings(asked: dict[str, Any]) -> Any:
    world.change(asked)
    return asdict(world.settings)


def _faults(asked: dict[str, Any]) -> Any:
    world.faults.append(Fault(**asked))
    return len(world.faults)


def _advance(asked: dict[str, Any]) -> Any:
    world.advance(float(asked["seconds"]))
    world.settle()
    return {"now": world.now()}


def _expire(_: dict[str, Any]) -> Any:
    for token in world.tokens:
        world.tokens[token] = 0.0
    return len(world.tokens)


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
    "settings": _settings,
    "faults": _faults,
    "advance": _advance,
    "expire": _expire,
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
    name = path.removeprefix("/vmops/")
    try:
        answer = _GETS[name]() if method == "GET" else _POSTS[name](json.loads(body or b"{}"))
    except (KeyError, StopIteration, TypeError, ValueError) as exc:
        return 400, {"error": f"{method} {path}: {exc!r}"}
    return 200, answer
