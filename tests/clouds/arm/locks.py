"""Locks: what they are put on, and all that is in it, cannot be deleted or not even changed."""

from __future__ import annotations

from arm.errors import Refused
from arm.kinds import Kind
from arm.paths import Request
from arm.world import world


class Lock(Kind):
    """A lock on a subscription, a resource group or a resource."""

    type = "Microsoft.Authorization/locks"
    create = (201, "", "")
    update = (200, "", "")
    delete = (200, "")
    etags = False
    in_group = False

    def id_of(self, request: Request) -> str:
        """It may be on anything."""
        return request.id


def checked(request: Request) -> None:
    """Refuses what a lock forbids."""
    locks = world.resources[Lock.type.lower()]
    if not locks or request.method in {"GET", "HEAD"} or request.key == Lock.type.lower():
        return
    for lock in list(locks.values()):
        scope = lock.id.partition("/providers/Microsoft.Authorization/")[0]
        level = lock.properties.get("level")
        if level == "CanNotDelete" and request.method != "DELETE":
            continue
        if f"{request.path.lower()}/".startswith(f"{scope.lower()}/"):
            verb = "delete" if request.method == "DELETE" else "write"
            raise Refused(
                409,
                "ScopeLocked",
                f"The scope '{request.id}' cannot perform {verb} operation because following"
                f" scope(s) are locked: '{scope}'. Please remove the lock and try again.",
            )
