"""Network resources that hold others: shown within them, and read and changed by themselves."""

from __future__ import annotations

import copy
from typing import Any
from uuid import uuid4

from arm.errors import Refused
from arm.kinds import KINDS, Kind
from arm.paths import Request
from arm.world import Resource, world


class Holder(Kind):
    """Has parts of one kind, which come and go with it."""

    create = (201, "AN", "Updating")
    member = ""

    @property
    def part(self) -> Kind:
        """What its parts are."""
        return KINDS[f"{self.key}/{self.member.lower()}"]

    def parts(self, resource: Resource) -> list[Resource]:
        """Those of one resource."""
        return list(world.below(self.part.key, resource.id))

    def shape(self, resource: Resource, request: Request) -> None:
        """A body says what parts there are from now on."""
        resource.hidden.setdefault("guid", str(uuid4()))
        for one in self.parts(resource):
            world.remove(one)
        for given in resource.properties.pop(self.member, []):
            body = {"properties": copy.deepcopy(given.get("properties", {}))}
            hidden = {"location": resource.hidden["location"]}
            id_ = f"{resource.id}/{self.member}/{given['name']}"
            part = Resource(self.part, id_, body, world.now(), hidden)
            self.part.shape(part, request)
            part.state = "Updating"
            world.add(part)

    def made(self, resource: Resource, error: dict[str, Any] | None) -> None:
        """Its parts are made, too."""
        super().made(resource, error)
        for one in self.parts(resource):
            one.state = resource.state

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """With its parts."""
        shown = super().view(resource, request)
        shown["properties"] |= {
            "resourceGuid": resource.hidden["guid"],
            self.member: [self.part.view(one, request) for one in self.parts(resource)],
        }
        return shown

    def gone(self, resource: Resource) -> None:
        """Its parts go with it."""
        for one in self.parts(resource):
            world.remove(one)


class Part(Kind):
    """What a holder has."""

    create = (201, "A", "Updating")
    update = (200, "A", "Updating")
    delete = (202, "AL")

    def check(self, request: Request, old: Resource | None) -> None:
        """Its holder exists."""
        holder = request.id.rsplit("/", 2)[0]
        if world.find(self.key.rpartition("/")[0], holder) is None:
            raise Refused(
                404,
                "ParentResourceNotFound",
                "Can not perform requested operation on nested resource. Parent resource"
                f" '{request.names[0]}' not found.",
            )
