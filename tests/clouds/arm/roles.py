"""What the caller may do: the setting `actions`, as the `actions` of a role in Azure's RBAC.

All is allowed until a test says otherwise. `settings(actions=["Microsoft.Compute/*/read"])` shows
what a program that holds such a role is refused, with the action that it lacks.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from arm import references
from arm.errors import Refused
from arm.kinds import KINDS
from arm.paths import Request, key_of
from arm.world import world

_ENDS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}
_CLIENT = "The client '5a1e9b8e' with object id '5a1e9b8e'"
_SUBSCRIPTION = "Microsoft.Resources/subscriptions"
_GROUP = f"{_SUBSCRIPTION}/resourceGroups"


def checked(request: Request) -> None:
    """Refuses what the caller's role has no action for."""
    if "*" in world.settings.actions:
        return
    asked = action(request)
    if not _allowed(asked):
        raise Refused(
            403,
            "AuthorizationFailed",
            f"{_CLIENT} does not have authorization to perform action '{asked}' over scope"
            f" '{request.id}' or the scope is invalid. If access was recently granted, please"
            " refresh your credentials.",
        )
    for _, linked in references.of(request):
        if "/providers/microsoft.network/" not in linked.lower():
            continue
        joining = f"{_proper(key_of(linked))}/join/action"
        if not _allowed(joining):
            raise Refused(
                403,
                "LinkedAuthorizationFailed",
                f"{_CLIENT} has permission to perform action '{asked}' on scope '{request.id}';"
                f" however, it does not have permission to perform action(s) '{joining}' on the"
                f" linked scope(s) '{linked}'.",
            )


def action(request: Request) -> str:
    """The action that a request needs, as `Microsoft.Compute/virtualMachines/start/action`."""
    scope = _GROUP if request.group else _SUBSCRIPTION
    kind = _proper(request.key) if request.provider else scope
    verb = f"/{request.verb}" if request.verb else ""
    return f"{kind}{verb}/{_ENDS.get(request.method, 'action')}"


def _proper(key: str) -> str:
    """The kind of a resource, as it is spelt in roles."""
    return KINDS[key].type if key in KINDS else key


def _allowed(asked: str) -> bool:
    return any(fnmatchcase(asked.lower(), one.lower()) for one in world.settings.actions)
