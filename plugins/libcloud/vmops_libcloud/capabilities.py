"""What each of libcloud's providers can do, read off its driver's class: no credentials, no calls.

A driver says what it can do by which methods it has, under names that differ: `start_node` of the
base API, or `ex_start`, `ex_power_on_node` and others. What a class does not tell is in `profiles`.
"""

from __future__ import annotations

import difflib
import inspect
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from vmops_libcloud import reading
from vmops_libcloud.profiles import PROFILES, Ownership, Profile

__all__ = ["VERBS", "Capabilities", "UnknownProvider", "capabilities", "driver", "providers"]

VERBS: Final[Mapping[str, tuple[str, ...]]] = {
    "list": ("list_nodes",),
    "provision": ("create_node",),
    "start": ("start_node", "ex_start_node", "ex_start", "ex_power_on_node", "ex_power_on"),
    "stop": (
        "stop_node",
        "ex_stop_node",
        "ex_stop",
        "ex_shutdown_node",
        "ex_shutdown_graceful",
        "ex_power_off_node",
        "ex_power_off",
    ),
    "restart": ("reboot_node", "ex_soft_reboot_node", "ex_hard_reboot", "ex_reset"),
    "deprovision": ("destroy_node",),
    "retag": ("ex_set_metadata", "ex_create_tags", "ex_set_node_labels"),
}
"""Verb -> the names that drivers have for it: the base API's first, then the gentlest."""

_DEEDS: Final = {
    "list": "list VMs",
    "provision": "make a VM",
    "start": "start a VM",
    "stop": "stop a VM",
    "restart": "restart a VM",
    "deprovision": "delete a VM",
    "retag": "change a VM's marks",
}
_NOTHING: Final = Profile()


class UnknownProvider(ValueError, LookupError):  # noqa: N818  (ours end so too: UnknownBackend)
    """libcloud, as it is installed, has no driver of that name."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one provider's driver can do.

    Args:
        provider: libcloud's name for it, such as "openstack".
        driver: The driver's class: that of the newest API version.
        version: That version, as the driver's constructor takes it; empty where there is but one.
        methods: Verb -> the driver's method for it. A verb that is not here is in `missing`.
        missing: Verb -> why there is no method for it, or none that is of use.
        ownership: How a VM is marked as ours in the call that makes it: by pairs, by a list of
            tags, by one tag, or by nothing but its name.
        mark: create_node's argument for the marks; `x.y` is the key y of the dict x. Empty for
            "name".
        shown: The key in `Node.extra` where `list_nodes` tells them.
        token: create_node's argument for an idempotency token; empty where there is none.
        ssh_key: The one for a public key's text ("auth": a NodeAuthSSHKey).
        user_data: The one for user data in plain text.
        password: The one for a root password that the driver insists on.
        arguments: All that create_node takes.
        required: Those of them that have no default.
        options: Verb -> what its method is to be called with besides.
        blocking: Verbs whose method waits until the operation is over.
        releases: Whether a stopped VM gives its compute back.
        budgets: "reads", "writes", "requests" or "creates" -> how many the provider grants at once,
            and in a second.
        unique: Whether the service refuses a second VM of the same name.
        parts: What remains of a create that was cut off, where it is more than one request.
        crash_safety: What holds if the caller dies in the middle of a create.
        notes: What else there is to know, as sentences.
    """

    provider: str
    driver: str
    version: str
    methods: Mapping[str, str]
    missing: Mapping[str, str]
    ownership: Ownership
    mark: str
    shown: str
    token: str
    ssh_key: str
    user_data: str
    password: str
    arguments: frozenset[str]
    required: frozenset[str]
    options: Mapping[str, Mapping[str, Any]]
    blocking: frozenset[str]
    releases: bool
    budgets: Mapping[str, tuple[float, float]]
    unique: bool
    parts: str
    crash_safety: str
    notes: tuple[str, ...]


def providers() -> tuple[str, ...]:
    """The names of all providers that libcloud has a driver for, sorted."""
    from libcloud.compute.providers import DRIVERS

    return tuple(sorted(map(str, DRIVERS)))


def driver(provider: str) -> tuple[type[Any], str]:
    """A provider's driver of the newest API version, and that version as its constructor takes it.

    Raises:
        UnknownProvider: There is none of that name; the nearest names are told.
    """
    from libcloud.compute.deprecated import DEPRECATED_DRIVERS
    from libcloud.compute.providers import get_driver

    if provider not in providers():
        gone = {str(name): its["reason"] for name, its in DEPRECATED_DRIVERS.items()}
        near = " or ".join(difflib.get_close_matches(provider, providers(), 3))
        hint = gone.get(provider) or (f"did you mean {near}?" if near else "")
        raise UnknownProvider(f"libcloud has no provider {provider!r}; {hint}".rstrip("; "))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some drivers have backslashes that Python warns of
        cls = get_driver(provider)
    versions = {text: its for text in _texts(cls.__new__) if (its := _of_version(cls, text))}
    if set(versions.values()) <= {cls}:
        return cls, ""
    newest = max(versions, key=lambda text: [int(one) for one in re.findall(r"\d+", text)])
    return versions[newest], newest


@cache
def capabilities(provider: str) -> Capabilities:
    """What a provider's driver can do.

    Raises:
        UnknownProvider: libcloud has no driver for it; the nearest names are told.
    """
    cls, version = driver(provider)
    profile = PROFILES.get(provider, _NOTHING)
    methods = {verb: name for verb in VERBS if (name := _method(cls, verb))}
    if profile.ownership != "metadata":
        methods.pop("retag", None)
    missing = dict(_missing(cls, methods, profile))
    methods = {verb: name for verb, name in methods.items() if verb not in missing}
    creates = "provision" in methods
    arguments = reading.takes(cls, "create_node") if creates else frozenset()
    return Capabilities(
        provider=provider,
        driver=cls.__name__,
        version=version,
        methods=MappingProxyType(methods),
        missing=MappingProxyType(missing),
        ownership=profile.ownership,
        mark=profile.mark,
        shown=profile.shown,
        token=profile.token,
        ssh_key=profile.ssh_key,
        user_data=profile.user_data,
        password=profile.password,
        arguments=arguments,
        required=frozenset(_needed(cls.create_node)) if creates else frozenset(),
        options=profile.options,
        blocking=frozenset(_blocking(cls, methods, profile)),
        releases=profile.releases,
        budgets=profile.budgets,
        unique=profile.unique,
        parts=profile.parts,
        crash_safety=_crash_safety(cls, methods, profile),
        notes=profile.notes
        if not profile.retired
        else (f"Gone: {profile.retired}.", *profile.notes),
    )


def _method(cls: type[Any], verb: str) -> str:
    """The first of the driver's methods for a verb that does something; empty if there is none."""
    from libcloud.compute.base import NodeDriver

    for name in VERBS[verb]:
        method = getattr(cls, name, None)
        inherited = method is getattr(NodeDriver, name, None)
        if method is not None and not inherited and reading.is_real(method) and _fits(method, verb):
            return name
    return ""


_ARGUMENTS: Final = {"list": 0, "retag": 2}


def _fits(method: Any, verb: str) -> bool:  # noqa: ANN401  (a driver's method)
    """Whether a method can be called with what its verb has: by default a node."""
    if verb in ("provision", "list"):
        return True  # judged by _missing, which says what is wrong
    needed = [None] * _ARGUMENTS.get(verb, 1)
    try:
        inspect.signature(method).bind(None, *needed)
    except TypeError:
        return False
    return True


def _missing(
    cls: type[Any], methods: Mapping[str, str], profile: Profile
) -> Iterator[tuple[str, str]]:
    """The verbs that cannot be done, and why."""
    lacking = {verb: f"libcloud's {cls.__name__} has no method to {_DEEDS[verb]}" for verb in VERBS}
    lacking = {verb: why for verb, why in lacking.items() if verb not in methods}
    lacking.update(profile.missing)
    unseen = lacking.get("list", "")
    if not unseen and (needed := _needed(cls.list_nodes)):
        unseen = f"list_nodes needs {' and '.join(needed)}, which vmops cannot know"
    if unseen:
        lacking = dict.fromkeys(VERBS, f"no VM can be looked at: {unseen}")
    if "provision" in methods and not reading.uses(cls, "create_node", "name"):
        lacking["provision"] = "create_node takes no name: what was made could not be found again"
    if "deprovision" in lacking:
        why = f"what was made could not be deleted again: {lacking['deprovision']}"
        lacking.setdefault("provision", why)
    yield from lacking.items()


def _needed(method: Any) -> list[str]:  # noqa: ANN401
    """The arguments of a method that have no default."""
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return [one.name for one in parameters if one.kind in plain and one.default is one.empty]


def _blocking(cls: type[Any], methods: Mapping[str, str], profile: Profile) -> Iterator[str]:
    """The verbs whose method waits, unless an option keeps it from that."""
    for verb, name in methods.items():
        told = any(value is False for value in profile.options.get(verb, {}).values())
        if verb != "list" and not told and reading.waits(cls, name):
            yield verb


_LOOK: Final = (
    "before a create is repeated, that is waited and looked for, so that it can make a second VM"
    " only where the first request was on its way for longer; both are deleted together then."
)


def _crash_safety(cls: type[Any], methods: Mapping[str, str], profile: Profile) -> str:
    """What is known of a create whose caller died."""
    if "provision" not in methods:
        return "Nothing is made."
    said = ["The call that makes a VM marks it with its token"]
    if profile.ownership == "name":
        said = ["A VM's name is all that marks it: its token is a part of it"]
    if profile.token:
        said[0] += ", for which the service makes no second VM."
    elif profile.unique:
        said[0] += ", and the service refuses a second VM of the same name."
    else:
        said[0] += f"; {_LOOK}"
    if reading.waits(cls, methods["provision"]):
        said.append("The driver waits, and tells the VM's id only then.")
    if profile.parts:
        said.append(
            f"A create is several requests: one that was cut off may leave {profile.parts}."
        )
    return " ".join(said)


def _of_version(cls: type[Any], version: str) -> type[Any] | None:
    """The driver of an API version: the one that libcloud would make, but it is not initialised."""
    make: Any = cls.__new__
    try:
        return type(make(cls, "", api_version=version))
    except Exception:  # noqa: BLE001  (each driver has its own for a version that it does not have)
        return None


def _texts(function: Any) -> Iterator[str]:  # noqa: ANN401
    """The texts in a function's code: among them the versions that a driver compares with."""
    constants = list(getattr(getattr(function, "__code__", None), "co_consts", ()))
    for one in constants:
        if isinstance(one, str):
            yield one
        elif isinstance(one, tuple):
            constants.extend(one)
