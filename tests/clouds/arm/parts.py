"""Network resources that hold others: shown within them, and read and changed by themselves."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from arm.errors import Refused
from arm.kinds import KINDS, Kind
from arm.paths import Request
from arm.world import Resource, copied, world


class Holder(Kind):
    """Has parts of one kind, which come and go with it."""

    create = (201, "AN", "Updating")
    member = ""
    keeps = False
    """Whether a body that says nothing of its parts leaves them as they are."""

    @property
    def part(self) -> Kind:
        """What its parts are."""
        return KINDS[f"{self.key}/{self.member.lower()}"]

    def parts(self, resource: Resource) -> list[Resource]:
        """Those of one resource."""
        return list(world.below(self.part.key, resource.id))

    def check(self, request: Request, old: Resource | None) -> None:
        """What a new body has no more must not be in use."""
        properties = request.body.get("properties") or {}
        for one in self._left_out(old, properties) if old is not None else ():
            self.part.may_delete(one)

    def shape(self, resource: Resource, request: Request) -> None:
        """A body says what parts there are from now on; those that stay keep what they have."""
        resource.hidden.setdefault("guid", str(uuid4()))
        for one in self._left_out(resource, resource.properties):
            world.remove(one)
        for given in resource.properties.pop(self.member, None) or []:
            id_ = f"{resource.id}/{self.member}/{given['name']}"
            hidden = {"location": resource.hidden["location"]}
            old = world.find(self.part.key, id_)
            part = old or Resource(self.part, id_, {}, world.now(), hidden)
            part.body = {"properties": copied(given.get("properties") or {})}
            self.part.shape(part, request)
            part.state = "Updating"
            world.add(part)

    def _left_out(self, resource: Resource, properties: dict[str, Any]) -> list[Resource]:
        if self.keeps and self.member not in properties:
            return []
        named = {one["name"].lower() for one in properties.get(self.member) or []}
        return [one for one in self.parts(resource) if one.name.lower() not in named]

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

    def may_delete(self, resource: Resource) -> None:
        """Not while one of its parts is in use."""
        for one in self.parts(resource):
            self.part.may_delete(one)

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
