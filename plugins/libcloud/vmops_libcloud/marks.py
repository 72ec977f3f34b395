"""Ownership marks: written in the call that makes a VM, and read off the list of VMs."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from vmops import Tags
from vmops.errors import InvalidRequest
from vmops_libcloud.capabilities import Capabilities

__all__ = ["named", "read", "written"]

_PREFIX: Final = "vmops-"
_NOT_IN_LISTS: Final = "vmops-vm"
"""What the VM's own name says already: providers' tags are short."""
_LONGEST_NAME: Final = 63
_CODE: Final = re.compile(r"(?P<vm>.+)-(?P<code>[a-z2-7]{40})")
_NOBODY: Final = bytes(8)


def named(can: Capabilities, name: str, tags: Tags) -> str:
    """The name that a VM is made under: its own, with the marks in it where nothing else has them.

    Raises:
        InvalidRequest: It would be too long, or has no room for when the VM may be deleted.
    """
    if can.ownership != "name":
        return name
    if tags.expires:
        raise InvalidRequest(
            f"{can.provider}: only its name marks {name!r} as ours, and has no room for a ttl",
            hint="leave ttl out, and delete the VM yourself",
        )
    marked = f"{name}-{_encoded(tags)}"
    if len(marked) > _LONGEST_NAME:
        most = _LONGEST_NAME - len(marked) + len(name)
        raise InvalidRequest(
            f"{can.provider}: {name!r} is too long for a VM that only its name marks as ours",
            hint=f"choose a vmName of {most} characters at most",
        )
    return marked


def written(can: Capabilities, tags: Tags, more: Mapping[str, str]) -> Any:  # noqa: ANN401
    """The marks, and more tags, as the driver's create_node wants them; None for none.

    Raises:
        InvalidRequest: There are more tags, and no place for any.
    """
    pairs = tags.to_dict()
    if can.ownership == "metadata":
        return {**more, **pairs}
    texts = [f"{key}:{value}" if value else key for key, value in more.items()]
    texts += [f"{key}:{value}" for key, value in pairs.items() if value and key != _NOT_IN_LISTS]
    if can.ownership == "tags":
        return texts
    if can.ownership == "tag":
        return " ".join(texts)
    if more:
        raise InvalidRequest(f"{can.provider}: libcloud's driver has no place for tags")
    return None


def read(can: Capabilities, node: Any) -> tuple[str, Tags | None]:  # noqa: ANN401  (a Node)
    """A node's name and marks; without marks it is not ours."""
    if can.ownership == "name":
        found = _CODE.fullmatch(node.name)
        tags = _decoded(found["vm"], found["code"]) if found else None
        return (tags.vm, tags) if tags else (node.name, None)
    shown = node.extra.get(can.shown)
    if can.ownership == "metadata":
        tags = Tags.from_dict(shown) if isinstance(shown, Mapping) else None
        return (tags.vm if tags else node.name), tags
    if can.ownership == "tag":
        shown = str(shown or "").split(" ")
    pairs = dict(_pairs(shown if isinstance(shown, list | tuple) else ()))
    return node.name, Tags.from_dict(
        {"vmops-expires": "0", "vmops-sequence": "0"} | pairs | {_NOT_IN_LISTS: node.name}
    )


def _pairs(texts: Iterable[object]) -> Iterable[tuple[str, str]]:
    for text in texts:
        key, colon, value = str(text).partition(":")
        if colon and key.startswith(_PREFIX):
            yield key, value


def _encoded(tags: Tags) -> str:
    """Install and token in 40 letters and digits: all that a name has room for."""
    owner = _NOBODY if tags.owner == "none" else bytes.fromhex(tags.owner)
    body = owner + bytes.fromhex(tags.token)
    return base64.b32encode(body + _check(tags.vm, body)).decode().lower()


def _decoded(vm: str, code: str) -> Tags | None:
    raw = base64.b32decode(code.upper())
    body, check = raw[:24], raw[24:]
    if check != _check(vm, body):
        return None  # somebody's own name, which happens to look like ours
    owner = "none" if body[:8] == _NOBODY else body[:8].hex()
    return Tags(owner, vm, body[8:].hex())


def _check(vm: str, body: bytes) -> bytes:
    return hashlib.sha256(vm.encode() + body).digest()[:1]
