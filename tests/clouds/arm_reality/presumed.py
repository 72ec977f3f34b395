"""What a recording takes for granted: resources that it uses and never made."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

from arm_reality.cassette import Exchange
from arm_reality.scope import is_operation, kind, known

LOCATION = "eastus"
_GROUP = re.compile(r"/subscriptions/[^/]+/resourceGroups/[^/]+", re.IGNORECASE)
_ID = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/(/?[^/]+){3,5}", re.IGNORECASE
)
# The server's own part of a recorded resource, which no client sends.
_READ_ONLY = {
    "diskState", "etag", "exactVersion", "id", "instanceView", "provisioningState", "resourceGuid",
    "resources", "timeCreated", "uniqueId", "vmId",
}  # fmt: skip
_OS_DISK = {"createOption": "FromImage", "managedDisk": {"storageAccountType": "Standard_LRS"}}
_IMAGE = {
    "publisher": "Canonical",
    "offer": "UbuntuServer",
    "sku": "18.04-LTS",
    "version": "latest",
}
_EMPTY_DISK = {"creationData": {"createOption": "Empty"}, "diskSizeGB": 32}
# For what is used but never shown. `{group}` stands for the path of the resource group.
_SUBNET = "{group}/providers/Microsoft.Network/virtualNetworks/presumed/subnets/presumed"
_NIC = "{group}/providers/Microsoft.Network/networkInterfaces/presumed"
BODIES: dict[str, dict[str, Any]] = {
    "disks": {"properties": _EMPTY_DISK},
    "networkinterfaces": {
        "properties": {
            "ipConfigurations": [{"name": "first", "properties": {"subnet": {"id": _SUBNET}}}]
        }
    },
    "subnets": {"properties": {"addressPrefix": "10.0.0.0/24"}},
    "virtualmachines": {
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D2_v2"},
            "storageProfile": {"imageReference": _IMAGE, "osDisk": _OS_DISK},
            "osProfile": {"computerName": "vm", "adminUsername": "u", "adminPassword": "Aa1!zyx_"},
            "networkProfile": {"networkInterfaces": [{"id": _NIC}]},
        }
    },
    "virtualnetworks": {"properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}},
}
_Call = Callable[[str, str, Any], int]


class Presumed:
    """Makes what is missing, just before it is needed. `call` sends and waits for the end."""

    def __init__(self, exchanges: tuple[Exchange, ...], call: _Call) -> None:
        self._call = call
        self._shown = _shown(exchanges)
        self._version = {
            kind(item.path)[:2]: item.query.get("api-version", "") for item in exchanges
        }
        self._settled: set[str] = set()
        self.made: list[str] = []

    def groups(self, exchanges: tuple[Exchange, ...]) -> None:
        """The resource groups that the recording works in."""
        bodies = [item.body for item in exchanges if isinstance(item.body, dict)]
        places = [body["location"] for body in bodies if isinstance(body.get("location"), str)]
        used = {_group(item.path) for item in exchanges if item.status != 404}
        made = {
            item.path.lower() for item in exchanges if (item.method, item.status) == ("PUT", 201)
        }
        for path in sorted({path.lower(): path for path in used if path}.values()):
            if path.lower() not in made:
                body = {"location": next(iter(places), LOCATION)}
                self._call("PUT", f"{path}?api-version=2022-09-01", body)

    def before(self, item: Exchange) -> None:
        """All that an exchange needs, if it went well."""
        if item.status >= 300 or is_operation(item.path):
            return
        target = _resource(item.path)
        if item.method == "PUT":
            self._settled.add(item.path.lower())
            target = _parent(target) if target.lower() == item.path.lower() else target
        if target:
            self._ensure(target)
        for identifier in _references(item.body):
            self._ensure(identifier)

    def _ensure(self, path: str) -> None:
        """Once: what the recording has deleted is not made again."""
        if path.lower() in self._settled or not known(path):
            return
        self._settled.add(path.lower())
        version = self._version.get(kind(path)[:2]) or "2021-02-01"
        uri = f"{path}?api-version={version}"
        if self._call("GET", uri, None) == 200:
            return
        if parent := _parent(path):
            self._ensure(parent)
        body = self._body(path)
        for identifier in _references(body):
            self._ensure(identifier)
        self._call("PUT", uri, body)
        self.made.append(path)

    def _body(self, path: str) -> dict[str, Any]:
        if (shown := self._shown.get(path.lower())) is not None:
            body: dict[str, Any] = _writable(shown)
            return body
        group = "/".join(path.split("/")[:5])
        body = _placed(copy.deepcopy(BODIES.get(kind(path)[-1], {"properties": {}})), group)
        return {"location": LOCATION, **body}


def _group(path: str) -> str:
    match = _GROUP.match(path)
    return match[0] if match else ""


def _shown(exchanges: tuple[Exchange, ...]) -> dict[str, Any]:
    """What the recording's first look at each resource saw."""
    found: dict[str, Any] = {}
    for item in exchanges:
        seen = item.answer if item.method == "GET" and item.status == 200 else None
        if isinstance(seen, dict) and isinstance(seen.get("id"), str):
            found.setdefault(item.path.lower(), seen)
    return found


def _resource(path: str) -> str:
    """The resource that a path is of or below: verbs, views and lists belong to their owner."""
    head, found, tail = path.rpartition("/providers/")
    parts = tail.split("/")
    whole = parts if len(parts) % 2 else parts[:-1]
    if not found or len(whole) < 3 or whole[1].lower() == "locations":
        return ""
    return f"{head}{found}{'/'.join(whole)}"


def _parent(path: str) -> str:
    """What a nested resource is in; nothing for one that stands in its group."""
    tail = path.rpartition("/providers/")[2]
    return path.rsplit("/", 2)[0] if tail.count("/") > 2 else ""


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _references(item)
    elif isinstance(value, str) and _ID.fullmatch(value):
        yield _resource(value)


def _writable(value: Any, *, top: bool = True) -> Any:
    """A recorded resource as a client would send it: references stay, the server's part goes."""
    if isinstance(value, list):
        return [_writable(item, top=False) for item in value]
    if not isinstance(value, dict):
        return value
    drop = _READ_ONLY if top or "properties" in value else _READ_ONLY - {"id"}
    if value.get("createOption") == "FromImage":
        value = {**value, "managedDisk": {"storageAccountType": "Standard_LRS"}}
    return {name: _writable(item, top=False) for name, item in value.items() if name not in drop}


def _placed(value: Any, group: str) -> Any:
    if isinstance(value, dict):
        return {name: _placed(item, group) for name, item in value.items()}
    if isinstance(value, list):
        return [_placed(item, group) for item in value]
    return value.replace("{group}", group) if isinstance(value, str) else value
