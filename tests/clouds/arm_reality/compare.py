"""How an answer differs from the recorded one: in status, headers, keys, types and values."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from arm_reality.cassette import Exchange
from arm_reality.scope import OPERATION_HEADERS, is_operation

# Present in both or in neither. Of the others a recorder may have left out some: it proves only
# what is there.
STRICT = ("azure-asyncnotification", *OPERATION_HEADERS)
LOOSE = (
    "etag",
    "retry-after",
    "x-ms-error-code",
    "x-ms-ratelimit-remaining-subscription-deletes",
    "x-ms-ratelimit-remaining-subscription-writes",
)
_POLICIES = "x-ms-ratelimit-remaining-resource"
# Their names say how they count, which changed in 2024: PutVM3Min is now PutVMSubscriptionMaximum.
_COUNTED = re.compile(r"(30?Min|SubscriptionMaximum|Resource)$")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", re.IGNORECASE)
# Chance, time or a message for people: that there is a value is all that can be asked of it.
_FREE = re.compile(
    r"(accessSAS|computerName|diskSizeBytes|domainNameLabel|etag|exactVersion|fqdn|internalDomain\w+"
    r"|ipAddress|ipPrefix|macAddress|message|osVersion|osName|privateIPAddress|resourceGuid"
    r"|typeHandlerVersion"
    r"|\w*[tT]ime\w*|\w*[uU]niqueId|vm[AI]\w+Version|vmId|version|availableIPAddresses/\*)$"
)


def differences(recorded: Exchange, status: int, headers: dict[str, str], answer: Any) -> list[str]:
    """One line each; none if the two are alike as far as a client can care."""
    if status != recorded.status:
        code = answer.get("error", {}).get("code", "") if isinstance(answer, dict) else ""
        return [f"status {recorded.status} is {status} {code}".rstrip()]
    place = recorded.path.lower()
    catalogue = ("/locations/" in place and not is_operation(place)) or place.endswith(
        ("/skus", "/vmsizes")
    )
    return [
        *_headers(recorded.headers, headers),
        *_shape(recorded.answer, answer),
        *(() if catalogue else _values(recorded.answer, answer)),
    ]


def _headers(recorded: dict[str, str], found: dict[str, str]) -> Iterator[str]:
    for name in (*STRICT, *LOOSE):
        if name in recorded and name not in found:
            yield f"header {name} is missing"
    for name in STRICT:
        if name in found and name not in recorded:
            yield f"header {name} is new"
    for name in set(OPERATION_HEADERS) & set(recorded) & set(found):
        before, after = _url(recorded[name]), _url(found[name])
        if before != after:
            yield f"header {name} {before} is {after}"
    before, after = (_policies(given.get(_POLICIES, "")) for given in (recorded, found))
    if missing := before - after:
        yield f"header {_POLICIES} lacks {', '.join(sorted(missing))}"


def _url(text: str) -> str:
    """Its path without what is of this one operation, and whether it is monitored."""
    path = urlsplit(text).path.lower().rpartition("/")[0] + "/*"
    return _UUID.sub("*", path) + "?monitor" * ("monitor=true" in text.lower())


def _policies(header: str) -> set[str]:
    names = (part.partition(";")[0].strip() for part in header.split(",") if part.strip())
    return {_COUNTED.sub("", name) for name in names}


def _shape(recorded: Any, found: Any) -> Iterator[str]:
    """Keys and types; a list's items are taken together, null is of any type and no news."""
    before, after = _types(recorded), _types(found)
    for word, one, other in (("missing", before, after), ("new", after, before)):
        for path in sorted(one):
            parent = path.rpartition("/")[0]
            if path not in other and (parent in other or not parent) and one[path] != {"null"}:
                yield f"{path or 'body'} is {word}"
    for path in sorted(before.keys() & after.keys()):
        kinds, now = before[path] - {"null"}, after[path] - {"null"}
        if kinds and now and kinds != now:
            yield f"{path or 'body'} of type {'/'.join(sorted(kinds))} is {'/'.join(sorted(now))}"


def _types(value: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    if value is not None:
        for path, item in _walk(value, ""):
            found[path].add(_type(item))
    return found


def _type(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "null" if value is None else "boolean"
    names = {dict: "object", list: "list", str: "string", int: "number", float: "number"}
    return names[type(value)]


def _values(recorded: Any, found: Any) -> Iterator[str]:
    """What is said where both say something; a list's items are taken together."""
    before, after = _scalars(recorded), _scalars(found)
    for path in sorted(before.keys() & after.keys()):
        if before[path] != after[path]:
            yield f"{path} {_listed(before[path])} is {_listed(after[path])}"


def _scalars(value: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for path, item in _walk(value, ""):
        if isinstance(item, str | int | float) and not _FREE.search(path):
            found[path].add(_plain(item))
    return found


def _plain(item: Any) -> str:
    """Without chance, and a resource's id without the group, whose name recorders change."""
    if not isinstance(item, str):
        return str(item) if isinstance(item, bool) else f"{item:g}"
    if item.lower().startswith("/subscriptions/"):
        item = "/" + item.lower().partition("/providers/")[2]
    return _UUID.sub("*", item)


def _listed(values: set[str]) -> str:
    return ", ".join(sorted(values)) or "nothing"


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _walk(item, f"{path}/{name}".lstrip("/"))
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item, f"{path}/*".lstrip("/"))
