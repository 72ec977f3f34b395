"""Requests: what a path names, and who is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from arm.errors import Refused

_PATH = re.compile(
    r"/subscriptions(/(?P<subscription>[^/]+)(/resourceGroups/(?P<group>[^/]+))?(?P<rest>/.*)?)?/?",
    re.IGNORECASE,
)
_PROVIDERS = re.compile("/providers/", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """One request.

    Args:
        method: GET and so on.
        path: As it was sent.
        query: Its parameters, keys in lower case.
        raw_query: As it was sent.
        body: The JSON in it.
        headers: Keys in lower case.
        base: Scheme and host that were asked.
        subscription: Whose resources are meant.
        group: The resource group's name; empty if none is named.
        provider: Such as microsoft.compute; empty if none is named.
        types: Of the resource and of those it is in, in lower case.
        names: Likewise, as they were spelt.
        verb: What follows the name: a collection or an action; empty if nothing does.
    """

    method: str
    path: str
    query: dict[str, str]
    raw_query: str
    body: Any
    headers: dict[str, str]
    base: str
    subscription: str = ""
    group: str = ""
    provider: str = ""
    types: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    verb: str = ""
    extra: dict[str, Any] = field(default_factory=dict, hash=False)

    def since(self, version: str) -> bool:
        """Whether it is of an api-version that is not older than this one."""
        return self.query.get("api-version", "") >= version

    @property
    def key(self) -> str:
        """The kind of resource, as `microsoft.compute/virtualmachines`."""
        return "/".join((self.provider, *self.types))

    @property
    def scope(self) -> str:
        """The path of the resource group, or of the subscription."""
        group = f"/resourceGroups/{self.group}" if self.group else ""
        return f"/subscriptions/{self.subscription}{group}"

    @property
    def id(self) -> str:
        """The path of the resource, without a verb."""
        return self.path.rstrip("/").removesuffix(f"/{self.verb}" if self.verb else "")

    @property
    def action(self) -> str:
        """What is asked, for the log: `POST virtualMachines/start`."""
        if self.types and "operation" in self.types[-1]:
            return f"{self.method} operations"
        if not self.provider:
            return f"{self.method} {self.verb or 'group'}"
        parts = [part for part in _PROVIDERS.split(self.path)[-1].split("/") if part]
        return f"{self.method} {'/'.join(parts[1::2])}"


def key_of(id_: str) -> str:
    """The kind of the resource whose id this is, as `Request.key` has it; or `groups`."""
    found = parsed(id_)
    return "/".join((found["provider"], *found["types"])) if found["provider"] else "groups"


def parsed(path: str) -> dict[str, Any]:
    """What a path names."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise Refused(404, "InvalidResourceType", f"The path '{path}' names nothing here.")
    rest = (match["rest"] or "").rstrip("/")
    scope, *providers = _PROVIDERS.split(rest)
    provider, *parts = (providers[-1] if providers else scope).split("/")
    types, names = parts[::2], parts[1::2]
    # without a provider, what comes first is no type: a group's `resources`
    verb = types.pop() if len(types) > len(names) and (names or not provider) else ""
    return {
        "subscription": match["subscription"] or "",
        "group": match["group"] or "",
        "provider": provider.lower(),
        "types": tuple(one.lower() for one in types),
        "names": tuple(names),
        "verb": verb,
    }
