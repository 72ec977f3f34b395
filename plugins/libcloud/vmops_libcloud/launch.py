"""The arguments of create_node: what was asked for, the marks, the guest's key and user data."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from vmops import Tags, Target
from vmops.errors import InvalidRequest
from vmops_libcloud import marks
from vmops_libcloud.choices import Choices
from vmops_libcloud.dialects import Dialect
from vmops_libcloud.params import LibcloudParams

__all__ = ["request"]


def request(
    vm: Target[LibcloudParams], token: str, choices: Choices, dialect: Dialect
) -> dict[str, Any]:
    """create_node's arguments for a VM whose params have their choices made.

    Raises:
        InvalidRequest: The driver has no place for something that was asked for.
    """
    can, params = dialect.can, vm.params
    tags = vm.tags or Tags("none", vm.name, token)
    made: dict[str, Any] = {"name": marks.named(can, vm.name, tags), **choices.arguments(params)}
    made |= can.options.get("provision", {})
    _check_twice(made, params.ex, can.provider)
    made |= dialect.adapted(params.ex)
    _put(made, can.mark, marks.written(can, tags, params.tags))
    if can.token:
        made[can.token] = token
    if can.password:
        made[can.password] = secrets.token_urlsafe(32)  # nobody is told: a key lets in, or nothing
    _add_guest(made, dialect, params)
    return made


def _check_twice(made: Mapping[str, Any], more: Mapping[str, Any], provider: str) -> None:
    """What is given by a name of ours is not given by the driver's besides."""
    if twice := sorted(made.keys() & more.keys()):
        raise InvalidRequest(
            f"{provider}: {', '.join(twice)} is what another parameter sets",
            hint="give one of the two",
        )


def _add_guest(made: dict[str, Any], dialect: Dialect, params: LibcloudParams) -> None:
    """Key and user data; a key that has no argument of its own goes into the user data."""
    can = dialect.can
    key, data = params.ssh_public_key, params.user_data.get_secret_value()
    if can.ssh_key and key and not params.admin_username:
        _put(made, can.ssh_key, _as_key(can.ssh_key, key))
    elif key or params.admin_username:
        data = params.guest_data
    if data and not can.user_data:
        what = "userData" if params.user_data.get_secret_value() else "sshPublicKey"
        raise InvalidRequest(f"{can.provider}: libcloud's driver has no place for {what}")
    if data:
        _put(made, can.user_data, data)


def _as_key(argument: str, key: str) -> Any:  # noqa: ANN401
    if argument == "auth":
        from libcloud.compute.base import NodeAuthSSHKey

        return NodeAuthSSHKey(key)
    return [key]


def _put(made: dict[str, Any], argument: str, value: Any) -> None:  # noqa: ANN401
    """Set an argument, or the key `y` of the one that is `x.y`; what was there is added to."""
    if value is None or not argument:
        return
    name, _, key = argument.partition(".")
    if key:
        inner = dict(made.get(name) or {})
        _put(inner, key, value)
        made[name] = inner
        return
    before = made.get(name)
    if isinstance(value, Mapping) and isinstance(before, Mapping):
        value = {**before, **value}
    elif isinstance(value, list) and isinstance(before, list | tuple):
        value = [*before, *value]
    elif before is not None:
        raise InvalidRequest(
            f"{argument} is given, and vmops has something to write there itself",
            hint="leave it out; userData, sshPublicKey and tags go there",
        )
    made[name] = value
