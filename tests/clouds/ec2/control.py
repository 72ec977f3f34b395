"""The tests' own calls: /vmops/calls, settings, faults, advance, preempt, images and reset."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from ec2 import images
from ec2.world import Fault, world


def _settings(asked: dict[str, Any]) -> Any:
    world.change(asked)
    return asdict(world.settings)


def _faults(asked: dict[str, Any]) -> Any:
    world.faults.append(Fault(**asked))
    return [asdict(each) for each in world.faults]


def _advance(asked: dict[str, Any]) -> Any:
    world.advance(float(asked["seconds"]))
    world.settle()
    return {"now": world.now()}


def _preempt(asked: dict[str, Any]) -> Any:
    found = [h.machines.get(asked["instance"]) for h in world.homes.values()]
    machine = next((m for m in found if m), None)
    if machine is None or machine.spot is None:
        raise ValueError(f"no spot instance: {asked['instance']}")
    if machine.spot.behaviour == "terminate":
        machine.terminate(by_user=False)
        return {"state": machine.state}
    machine.stop(by_user=False)
    if asked.get("resume_after") is not None:
        world.later(
            float(asked["resume_after"]),
            lambda: machine.start() if machine.interrupted else None,
        )
    return {"state": machine.state}


def _reset(_: dict[str, Any]) -> Any:
    from moto.moto_api._internal import moto_api_backend

    moto_api_backend.reset()
    world.reset()
    return {}


_POSTS = {
    "settings": _settings,
    "faults": _faults,
    "advance": _advance,
    "preempt": _preempt,
    "reset": _reset,
}
_GETS = {
    "calls": lambda _: world.calls,
    "settings": lambda _: asdict(world.settings),
    "images": images.image_ids,
}


def control(method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """The HTTP status and the JSON answer. The caller holds the lock."""
    name, _, rest = path.removeprefix("/vmops/").partition("/")
    try:
        answer = _GETS[name](rest) if method == "GET" else _POSTS[name](json.loads(body or b"{}"))
    except (KeyError, TypeError, ValueError) as exc:
        return 400, json.dumps({"error": f"{method} {path}: {exc!r}"}).encode()
    return 200, json.dumps(answer).encode()
