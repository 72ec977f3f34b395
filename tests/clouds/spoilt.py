"""Requests of verbs that meet a fault of the proxy, and what was seen of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

__all__ = ["FAULTS", "KINDS", "SLOW", "Requests", "bring_before"]

SLOW = pytest.mark.slow
KINDS = ("reset_before", "lost", "cut", "garbage", "empty", "hang")
FAULTS = ["lost", "garbage", *(pytest.param(k, marks=SLOW) for k in KINDS if k[0] not in "lg")]


@dataclass(frozen=True)
class Requests:
    """How a cloud is asked for verbs.

    Args:
        of: Verb -> method and path, the latter as a regular expression.
    """

    of: Mapping[str, tuple[str, str]]

    def spoil(self, proxy: Any, verb: str, fault: str, **more: Any) -> None:
        """Let the next request of a verb meet a fault."""
        method, path = self.of[verb]
        proxy.add(fault, method=method, path=path, **more)

    def asked(self, proxy: Any, verb: str) -> list[Any]:
        """What the proxy saw of a verb: each request, and whether the cloud carried it out."""
        method, path = self.of[verb]
        found: list[Any] = proxy.log(method=method, path=path)
        return found


def bring_before(scene: Any, ops: Any, verb: str) -> None:
    """Bring VM web-1 to where a verb can be tried."""
    if verb != "provision":
        scene.up(ops)
    if verb == "start":
        scene.wait(ops, ops.vm_stop({"vmName": "web-1"}))
