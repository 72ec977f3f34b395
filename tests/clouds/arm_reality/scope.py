"""What of ARM the emulator is to answer, and what in a recording belongs to others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from arm_reality.cassette import ARM, Exchange

# What the emulator has; every other type is outside, and so is what hangs below it.
REACH = {
    "microsoft.compute": {
        "availabilitysets",
        "disks",
        "images",
        "locations",
        "proximityplacementgroups",
        "skus",
        "snapshots",
        "virtualmachines",
    },
    "microsoft.network": {
        "applicationsecuritygroups",
        "locations",
        "natgateways",
        "networkinterfaces",
        "networksecuritygroups",
        "publicipaddresses",
        "publicipprefixes",
        "routetables",
        "virtualnetworks",
    },
    "microsoft.resources": {"tags"},
}
# Parts of those types that vmops never asks for: links to other services, catalogues of extensions
# and of commands, diagnostics that need a machine that runs.
BEYOND = re.compile(
    r"/(virtualNetworkPeerings|ServiceAssociationLinks|ResourceNavigationLinks|tapConfigurations"
    r"|effective\w+|PrepareNetworkPolicies|UnprepareNetworkPolicies|ddosProtectionStatus"
    r"|runCommands|vmextension|assessPatches|installPatches|capture|retrieveBootDiagnosticsData"
    r"|communityGalleries|sharedGalleries|logAnalytics|diskEncryptionSets"
    r"|locations/[^/]+/(serviceTags|usages|CheckDnsNameAvailability))(/|$)",
    re.IGNORECASE,
)
OPERATION_HEADERS = ("azure-asyncoperation", "location")
_OPERATION = re.compile(r"/\w*Operations?(Results|Statuses)?/[^/]+$", re.IGNORECASE)
_SCOPE = re.compile(
    r"/subscriptions(/[^/]+)?(/resourceGroups(/[^/]+)?)?(/resources|/operationresults/[^/]+)?",
    re.IGNORECASE,
)
_GROUP = re.compile(r"/resourceGroups/([^/]+)", re.IGNORECASE)


def is_operation(path: str) -> bool:
    """Whether it is the URL of a running operation."""
    place = path.lower()
    return bool(_OPERATION.search(path)) and ("/locations/" in place or "/providers/" not in place)


def operation_key(uri: str) -> str:
    """The same for every way to write one operation's URL: the path, and whether it is monitored.

    Queries are no part of it: recorders hide signatures in one place and leave them in another.
    """
    path, _, query = uri.lower().partition("?")
    return urlsplit(path).path.rstrip("/") + "?monitor" * ("monitor=true" in query)


def operations(exchange: Exchange) -> dict[str, str]:
    """The operations that an answer starts or goes on with: key, and the URL."""
    given = (exchange.headers.get(name) for name in OPERATION_HEADERS)
    return {operation_key(uri): uri for uri in given if uri and is_operation(urlsplit(uri).path)}


def kind(path: str) -> tuple[str, ...]:
    """The provider and the types below it: `("microsoft.compute", "virtualmachines", "start")`."""
    *_, last = path.lower().rpartition("/providers/")
    if last == path.lower():
        return ()
    provider, *rest = last.strip("/").split("/")
    return (provider, *rest[::2])


def known(path: str) -> bool:
    """Whether a resource's id or a request's path is of a type that the emulator has."""
    provider, *types = kind(path) or ("", "")
    if not provider:
        return bool(_SCOPE.fullmatch(path))
    first = types[0] if types else ""
    return first in REACH.get(provider, set()) and not BEYOND.search(path)


def inside(exchanges: Iterable[Exchange]) -> list[bool]:
    """Whether each is for the emulator to answer; polls are, if what they follow was."""
    followed: set[str] = set()
    found = []
    for item in exchanges:
        ours = item.host == ARM and known(item.path)
        if is_operation(item.path):
            ours = operation_key(item.uri) in followed
        if ours:
            followed |= set(operations(item))
        found.append(ours)
    return found


@dataclass(frozen=True, slots=True)
class Own:
    """What a recording works with: resource groups, and resources by what follows `/providers/`.

    Recorders hide a group's name in one place and leave it in another; names of resources stay.
    """

    groups: frozenset[str]
    tails: frozenset[str]

    def has(self, identifier: str) -> bool:
        """Whether a resource's id is one of these."""
        match = _GROUP.search(identifier)
        group = match[1].lower() if match else ""
        return group in self.groups or _tail(identifier) in self.tails


def own(exchanges: Iterable[Exchange]) -> Own:
    """That of a recording."""
    paths = [item.path for item in exchanges if item.host == ARM]
    return Own(
        groups=frozenset(match[1].lower() for path in paths if (match := _GROUP.search(path))),
        tails=frozenset(_tail(path) for path in paths if _GROUP.search(path)),
    )


def _tail(path: str) -> str:
    return path.lower().rpartition("/providers/")[2]


def strangers_removed(value: Any, ours: Own) -> Any:
    """An answer without what the recording did not make: list items of other groups and types.

    Of a list that held nothing else there is None: whether it is there says nothing any more.
    """
    if isinstance(value, dict):
        return {name: strangers_removed(item, ours) for name, item in value.items()}
    if not isinstance(value, list):
        return value
    left = [strangers_removed(item, ours) for item in value if not _strange(item, ours)]
    return left if left or not value else None


def _strange(item: Any, ours: Own) -> bool:
    identifier = item.get("id") if isinstance(item, dict) else None
    if not isinstance(identifier, str) or not _GROUP.search(identifier):
        return False
    return not known(identifier) or not ours.has(identifier)
