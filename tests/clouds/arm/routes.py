"""Who answers a request: its operation, its scope, a catalogue, or the kind of its resource."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from arm import (  # noqa: F401  (kinds are known once imported)
    catalogue,
    disks,
    groups,
    interfaces,
    locks,
    machines,
    network,
    security,
    tracked,
)
from arm.errors import Refused
from arm.kinds import KINDS, Answer
from arm.operations import polled
from arm.paths import Request

_OPERATION = re.compile(r"/(Disk)?Operation(s|Results|Statuses)/[^/]+$", re.IGNORECASE)
_CATALOGUES = {
    "microsoft.compute/locations": catalogue.in_location,
    "microsoft.compute/skus": catalogue.skus,
}


def answered(request: Request) -> Answer:
    """What is asked for."""
    return _handler(request)(request)


def _handler(request: Request) -> Callable[[Request], Answer]:
    if _OPERATION.search(request.path):
        return polled
    if not request.types:
        return groups.scoped
    if request.key == "microsoft.resources/tags":
        return groups.tags
    return _CATALOGUES.get(f"{request.provider}/{request.types[0]}", _resource)


def _resource(request: Request) -> Answer:
    kind = KINDS.get(request.key)
    if kind is None:
        raise _unknown(request)
    if len(request.names) < len(request.types):
        return _collection(kind, request)
    below = KINDS.get(f"{request.key}/{request.verb.lower()}")
    if below is not None and request.method == "GET":
        kind.need(request)
        return below.listed(request, request.id)
    found: Answer = kind.answer(request)
    return found


def _collection(kind: Any, request: Request) -> Answer:
    """A list of a group's or of all resources of a kind."""
    if request.group:
        kind.need_group(request)
    found: Answer = kind.listed(request, request.scope)
    return found


def _unknown(request: Request) -> Refused:
    if not request.provider.startswith("microsoft."):
        return Refused(
            404,
            "InvalidResourceNamespace",
            f"The resource namespace '{request.provider}' is invalid.",
        )
    return Refused(
        404,
        "InvalidResourceType",
        f"The resource type '{'/'.join(request.types)}' could not be found in the namespace"
        f" '{request.provider}' for api version '{request.query.get('api-version')}'.",
    )
