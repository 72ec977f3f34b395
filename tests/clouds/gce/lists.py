"""Lists: what a filter lets through, in an order, page by page."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from gce import errors
from gce.answers import Listing
from gce.discovery import document
from gce.filters import Test, Unreadable, compiled
from gce.request import Request
from gce.resource import Resource
from gce.world import world

_MOST = 500


def listed(request: Request) -> Listing:
    """A page of the resources of a kind in a place."""
    kind = "operations" if request.collection.endswith("Operations") else request.collection
    return page(request, world.resources[kind, request.place].values())


def page(request: Request, resources: Iterable[Resource], schema: str = "") -> Listing:
    """A page of these resources, as a request wants them."""
    now = world.now()
    found = [one for one in resources if one.visible <= now]
    schema = schema or _item(request.method.response)
    if text := request.query.get("filter"):
        test = readable(text, schema)
        found = [one for one in found if test(one.seen())]
    key, backwards = _order(request)
    found.sort(key=key, reverse=backwards)
    if token := request.query.get("pageToken"):
        after = _read(request, token)
        found = [one for one in found if (key(one) < after if backwards else key(one) > after)]
    most = size(request)
    if len(found) <= most:
        return Listing(found)
    found = found[:most]
    return Listing(found, _token(request, key(found[-1])) if found else "")


def size(request: Request) -> int:
    """How many items a page may have."""
    asked = request.query.get("maxResults", _MOST)
    if asked > _MOST:
        why = f"Values must be within the range: [0, {_MOST}]"
        raise errors.invalid("maxResults", asked, why)
    return min(asked or _MOST, world.settings.page)


def readable(text: str, schema: str) -> Test:
    """A filter of resources of this schema."""
    try:
        return _compiled(text, schema)
    except Unreadable:
        raise errors.invalid("filter", text, "Invalid list filter expression.") from None


@lru_cache(1000)
def _compiled(text: str, schema: str) -> Test:
    return compiled(text, lambda path, compared: _known(path, schema, compared=compared))


def _known(path: list[str], schema: str, *, compared: bool) -> bool:
    """Whether the schema has such a field; what lies in arrays cannot be asked for."""
    schemas = document().raw["schemas"]
    rule: dict[str, Any] = {"$ref": schema}
    for part in path:
        if "$ref" in rule:
            rule = schemas[rule["$ref"]]
        if part in rule.get("properties", {}):
            rule = rule["properties"][part]
        elif "additionalProperties" in rule:
            rule = rule["additionalProperties"]
        else:
            return False
    return not compared or not ("$ref" in rule or rule["type"] in {"array", "object"})


def _item(response: str) -> str:
    items = document().raw["schemas"][response]["properties"]["items"]
    return str(items["items"]["$ref"])


def _order(request: Request) -> tuple[Callable[[Resource], list[str]], bool]:
    order = request.query.get("orderBy", "name")
    if order == "name":
        return (lambda one: [one.name]), False
    if order == "creationTimestamp desc":
        return (lambda one: [f"{one.since:020.6f}", one.name]), True
    why = "Sorting by this is not supported: 'name' and 'creationTimestamp desc' are."
    raise errors.invalid("orderBy", order, why)


# -- tokens ---------------------------------------------------------------------------------------


def _query(request: Request) -> str:
    """What a token is bound to."""
    asked = [request.path, *(request.query.get(name, "") for name in ("filter", "orderBy"))]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]


def _token(request: Request, key: list[str]) -> str:
    text = json.dumps([_query(request), key])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read(request: Request, token: str) -> list[str]:
    try:
        query, key = json.loads(base64.urlsafe_b64decode(token.encode()))
    except ValueError:
        query, key = "", []
    if query != _query(request):
        raise errors.invalid("pageToken", token, "The token is not one of this list.")
    return list(key)
