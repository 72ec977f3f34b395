"""What is shown: resources and operations, with the text of each as long as it does not change."""

from __future__ import annotations

import json
import marshal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from gce import names
from gce.world import world

if TYPE_CHECKING:
    from gce.operations import Operation
    from gce.schema import Check

T = TypeVar("T", dict[str, Any], list[Any])


def copied(value: T) -> T:
    """A copy of JSON, down to the last of it: ten times as fast as `deepcopy`."""
    found: T = marshal.loads(marshal.dumps(value))  # noqa: S302  (our own, from a line before)
    return found


@dataclass(eq=False)
class Resource:
    """One resource.

    Args:
        kind: What it is, as in paths: `instances`.
        place: Where it is, as in paths: `projects/p/zones/z`.
        body: As it is shown.
        visible: From when on it can be found.
        since: When it was made.
        busy: The operation that must end before another begins.
        hidden: What is known of it and not shown.
    """

    kind: str
    place: str
    body: dict[str, Any]
    visible: float = 0.0
    since: float = field(default_factory=world.now)
    busy: Operation | None = None
    hidden: dict[str, Any] = field(default_factory=dict)
    _text: str = ""
    _past: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.body["name"])

    @property
    def path(self) -> str:
        """Its path."""
        return f"{self.place}/{self.kind}/{self.name}"

    @contextmanager
    def changing(self) -> Iterator[dict[str, Any]]:
        """Its body, to be changed."""
        if world.settings.stale:
            self._past.append((world.now(), copied(self.body)))
        yield self.body
        self._text = ""

    def seen(self) -> dict[str, Any]:
        """Its body as reads show it."""
        if self._past:
            then = world.now() - world.settings.stale
            for until, body in self._past:
                if until > then:
                    return body
        return self.body

    def text(self, check: Check | None) -> str:
        """JSON of it as reads show it, checked once."""
        body = self.seen()
        if body is not self.body:
            return _encoded(body, check)
        self._text = self._text or _encoded(body, check)
        return self._text


def _encoded(body: dict[str, Any], check: Check | None) -> str:
    if check is not None:
        check(body, "")
    return json.dumps(body)


def made(kind: str, place: str, name: str, /, **body: Any) -> Resource:
    """A new resource with what each has; it is not yet in the world."""
    whole = {
        "id": names.number(),
        "creationTimestamp": names.stamp(world.now()),
        "name": name,
        **body,
        "selfLink": names.url(f"{place}/{kind}/{name}"),
    }
    return Resource(kind, place, whole)
