"""What a body refers to: other resources, by their ids."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from arm.errors import Refused
from arm.paths import Request

_BEGINNINGS = ("subscriptions/", "providers/", "communitygalleries/", "sharedgalleries/")


def referred(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Path and id of all that a part of a body refers to."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from referred(item, f"{path}[{number}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            if name == "id" and isinstance(item, str):
                yield f"{path}.id", item
            else:
                yield from referred(item, f"{path}.{name}")


def of(request: Request) -> Iterator[tuple[str, str]]:
    """Those of what is written."""
    if request.method in {"PUT", "PATCH"} and request.body:
        yield from referred(request.body.get("properties"), "properties")


def checked(request: Request) -> None:
    """Refuses what is no id."""
    for path, id_ in of(request):
        # a slash may be missing at its beginning: recordings show that it may
        if not id_.lower().lstrip("/").startswith(_BEGINNINGS):
            raise Refused(
                400,
                "LinkedInvalidPropertyId",
                f"Property id '{id_}' at path '{path}' is invalid. Expect fully qualified resource"
                " Id that start with '/subscriptions/{subscriptionId}' or"
                " '/providers/{resourceProviderNamespace}/'.",
            )
