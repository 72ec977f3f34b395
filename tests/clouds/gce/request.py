"""One request, once it is known which method it is for."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from gce import errors, names
from gce.discovery import Method
from gce.resource import Resource
from gce.world import world


@dataclass
class Request:
    """One request.

    Args:
        method: What is asked for.
        params: The path's parameters.
        query: The query's, by their types.
        body: Its body, which fits the method.
        http: Its HTTP method.
        path: As it was sent.
        headers: In small letters.
        raw_query: As it was sent.
    """

    method: Method
    params: dict[str, str]
    query: dict[str, Any]
    body: dict[str, Any]
    http: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    raw_query: str = ""

    @property
    def project(self) -> str:
        """The project."""
        return self.params.get("project", "")

    @property
    def zone(self) -> str:
        """The zone; empty if it is about none."""
        return self.params.get("zone", "")

    @property
    def region(self) -> str:
        """The region, whether it is named or the zone's; empty if it is about neither."""
        return self.params.get("region", "") or self.zone.rpartition("-")[0]

    @property
    def place(self) -> str:
        """Where it is about, as `projects/p/zones/z`."""
        if self.zone:
            return f"projects/{self.project}/zones/{self.zone}"
        if "region" in self.params:
            return f"projects/{self.project}/regions/{self.region}"
        return f"projects/{self.project}/global"

    @property
    def collection(self) -> str:
        """What it is about, as `instances`."""
        return self.method.id.partition(".")[0]

    @property
    def verb(self) -> str:
        """What is to be done, as `insert`."""
        return self.method.id.rpartition(".")[2]

    @property
    def target(self) -> str:
        """The name or number of what it is about, which is its path's last parameter."""
        return self.params[self.method.names[-1]]

    def found(self, *, hides: bool = True) -> Resource:
        """What it is about."""
        found = world.find(self.collection, self.place, self.target)
        if found is None or (hides and found.visible > world.now()):
            raise errors.missing(f"{self.place}/{self.collection}/{self.target}")
        return found

    def new_name(self) -> str:
        """The name of what is to be made, which is free."""
        return free_name(self.body, self.collection, self.place)


def free_name(body: dict[str, Any], kind: str, place: str) -> str:
    """The name in a body, which nothing of the kind has in the place."""
    name = str(body.get("name", ""))
    if not re.fullmatch(names.NAME, name):
        raise errors.invalid("resource.name", name, f"Must be a match of regex '{names.NAME}'")
    if name in world.resources[kind, place]:
        raise errors.exists(f"{place}/{kind}/{name}")
    return name
