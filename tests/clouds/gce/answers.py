"""The text of an answer: every one is checked against the document, each resource once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gce.discovery import document
from gce.request import Request
from gce.resource import Resource
from gce.schema import Check, Mismatch
from gce.world import world


@dataclass
class Listing:
    """A page of a list.

    Args:
        items: What is on it.
        next: The token of the next page; empty if this is the last one.
    """

    items: list[Resource]
    next: str = ""


def text(request: Request, answer: Any) -> str:
    """JSON of what a handler returned."""
    check = document().answered.named(request.method.response) if _checks(request) else None
    if isinstance(answer, Resource):
        return answer.text(check)
    if isinstance(answer, Listing):
        return _listing(request, answer, check)
    if answer is None:
        return ""
    if check is not None:
        check(answer, "")
    return json.dumps(answer)


def _checks(request: Request) -> bool:
    return world.settings.validate_answers and bool(request.method.response)


def _listing(request: Request, page: Listing, check: Check | None) -> str:
    properties = document().raw["schemas"][request.method.response]["properties"]
    item = properties["items"]["items"]["$ref"]
    each = None if check is None else document().answered.named(item)
    head: dict[str, Any] = {"kind": properties["kind"]["default"], **frame(request)}
    if page.next:
        head["nextPageToken"] = page.next
    if check is not None:
        check(head, "")
    if not page.items:
        return json.dumps(head)
    items = ", ".join([one.text(each) for one in page.items])
    return f'{json.dumps(head)[:-1]}, "items": [{items}]}}'


def frame(request: Request) -> dict[str, Any]:
    """What each list says of itself."""
    path = request.path.partition("/v1/")[2]
    return {"id": path, "selfLink": f"https://www.googleapis.com/compute/v1/{path}"}


__all__ = ["Listing", "Mismatch", "frame", "text"]
