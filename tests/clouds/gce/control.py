"""The tests' own calls: /vmops/calls, settings, faults, advance, expire and so on."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from gce import names, preemption, seeds, tokens
from gce.world import Fault, world

_SHOWN = ("instances", "disks", "addresses", "images", "snapshots", "networks", "subnetworks")


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
    "settings": _settings,
    "faults": _faults,
    "advance": _advance,
    "expire": _expire,
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
    name = path.removeprefix("/vmops/")
    try:
        answer = _GETS[name]() if method == "GET" else _POSTS[name](json.loads(body or b"{}"))
    except (KeyError, IndexError, TypeError, ValueError) as exc:
        return 400, {"error": f"{method} {path}: {exc!r}"}
    return 200, answer
