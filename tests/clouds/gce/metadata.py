"""A VM's metadata and tags: what they may be, and their change."""

from __future__ import annotations

import re
from typing import Any

from gce import errors, names
from gce.world import world

_KEY = re.compile(r"[a-zA-Z0-9-_]{1,128}")
_LONGEST = 256 * 1024
_MOST = 512 * 1024
_TAGS = 64


def metadata(asked: dict[str, Any], field: str) -> dict[str, Any]:
    """Metadata as a VM shows it."""
    items = asked.get("items") or []
    keys = [one.get("key", "") for one in items]
    for key, one in zip(keys, items, strict=True):
        if not _KEY.fullmatch(key):
            raise errors.invalid(f"{field}.items", key, f"Must be a match of '{_KEY.pattern}'")
        if keys.count(key) > 1:
            raise errors.invalid(f"{field}.items", key, f"Duplicate metadata key: {key}")
        if len((one.get("value") or "").encode()) > _LONGEST:
            why = f"Value for metadata key '{key}' is over {_LONGEST} bytes."
            raise errors.invalid(f"{field}.items", key, why)
    if (
        sum(
            len(k) + len((one.get("value") or "").encode())
            for k, one in zip(keys, items, strict=True)
        )
        > _MOST
    ):
        raise errors.invalid(f"{field}.items", "", f"Metadata has exceeded {_MOST} bytes.")
    found: dict[str, Any] = {"kind": "compute#metadata", "fingerprint": _mark(items)}
    if items:
        found["items"] = [{"key": one["key"], "value": one.get("value") or ""} for one in items]
    return found


def tags(asked: dict[str, Any], field: str) -> dict[str, Any]:
    """Network tags as a VM shows them."""
    items = asked.get("items") or []
    for one in items:
        if not re.fullmatch(names.NAME, one):
            raise errors.invalid(f"{field}.items", one, f"Must be a match of '{names.NAME}'")
    if len(items) > _TAGS:
        raise errors.invalid(f"{field}.items", "", f"There are more than {_TAGS} tags.")
    if len(set(items)) != len(items):
        raise errors.invalid(f"{field}.items", "", "There are duplicate tags.")
    found: dict[str, Any] = {"fingerprint": _mark(items)}
    if items:
        found["items"] = sorted(items)
    return found


def _mark(items: Any) -> str:
    return names.fingerprint([items, world.now()])
