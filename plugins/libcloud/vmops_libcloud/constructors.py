"""What each of libcloud's drivers is made with: its constructor's own names for our settings.

Read off the constructor's signature and its connection's class; what these do not tell is in a
table, and `tests/table/test_constructors.py` makes each driver with what is said here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic.alias_generators import to_camel

from vmops_libcloud import capabilities
from vmops_libcloud.usual import VARIABLES

__all__ = ["CONSTRUCTORS", "Constructor", "Special", "constructor"]

_TAKEN: Final = re.compile(r"kwargs(?:\.pop|\.get)?[(\[]\s*[\"'](\w+)[\"']")
_NUMBERS: Final = ("port", "timeout")
"""Numbers, though their default is None."""
_WHOLE: Final = ("url", "endpoint", "api_url")
"""Arguments for the URL of an API."""
_ELSEWHERE: Final = ("host", "ex_force_auth_url", *_WHOLE)
"""Arguments that make up for endpointUrl."""
_DRIVER: Final = "driver_"
_TENANT: Final = "driver_ex_tenant_name"
_ENDPOINT: Final = "endpoint_url"
_BOTH: Final = ("key", "secret")
_SET_BY_US: Final = (*_BOTH, "region", "api_version", "ex_auth_cache")
"""Arguments that are settings of their own, or none that text can be."""


@dataclass(frozen=True, slots=True)
class Special:
    """What a constructor's signature does not tell.

    Args:
        key: The argument for the setting `key`; the first, or the one of that name, by default.
        secret: The one for `secret`; the second, or the one of that name, by default.
        needs: Settings that must be given, though the signature does not say so.
        instead: The constructor's argument -> settings that need not be given where that is.
        package: What it needs besides libcloud: a module, and the distribution that brings it.
        endpoint: What there is in place of endpointUrl, which would have no effect.
        asks: What is asked by the constructor itself, before any call.
    """

    key: str = ""
    secret: str = ""
    needs: tuple[str, ...] = ()
    instead: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    package: tuple[str, str] = ("", "")
    endpoint: str = ""
    asks: str = ""


_ANYWHERE: Final = Special(needs=(_ENDPOINT,))
_RACKSPACE: Final = Special(endpoint="driver_ex_force_base_url")

CONSTRUCTORS: Final[Mapping[str, Special]] = {
    "abiquo": Special(asks="data centres, sizes and images"),
    "azure": Special(needs=("key", "driver_key_file")),
    "azure_arm": Special(asks="a token"),
    "cloudstack": _ANYWHERE,
    "eucalyptus": _ANYWHERE,
    "gce": Special(
        needs=("driver_project",),
        instead={"auth_type": _BOTH},
        endpoint="the backend gcp",
        asks="a token",
    ),
    "ktucloud": _ANYWHERE,
    "kubevirt": Special(
        needs=("driver_ca_cert",),  # without, libcloud's driver verifies no certificate
        instead={"key_file": _BOTH, "cert_file": _BOTH, "ex_token_bearer_auth": ("secret",)},
    ),
    "libvirt": Special(
        secret="secret",  # noqa: S106  (an argument's name)
        package=("libvirt", "libvirt-python"),
        endpoint="driver_uri",
    ),
    "nimbus": _ANYWHERE,
    "onapp": _ANYWHERE,
    "opennebula": _ANYWHERE,
    "openstack": Special(
        needs=(_ENDPOINT, _TENANT),
        instead={
            "ex_force_auth_token": _BOTH,
            "ex_force_auth_version": (_TENANT,),
            "ex_token_scope": (_TENANT,),
        },
    ),
    "outscale": Special(
        secret="secret",  # noqa: S106  (an argument's name)
        needs=_BOTH,
        endpoint="driver_base_uri",
    ),
    "ovh": Special(needs=("driver_ex_consumer_key",)),
    "rackspace": _RACKSPACE,
    "rackspace_first_gen": _RACKSPACE,
    "vcl": Special(needs=("driver_host",)),
    "vcloud": _ANYWHERE,
    "vsphere": Special(
        key="username",
        secret="password",  # noqa: S106  (an argument's name)
        package=("pyVmomi", "pyvmomi"),
        asks="a session",
    ),
}


@dataclass(frozen=True, slots=True)
class Constructor:
    """How a driver is made from settings.

    Args:
        provider: libcloud's name of the provider.
        key: The constructor's argument for the setting `key`.
        secret: The one for `secret`; empty where there is none.
        address: Those for `endpoint_url`; empty where the driver is told afterwards.
        further: All others that text can be: what `driver_*` may give.
        region: Whether it takes a region.
        needs: The settings that must be given.
        special: What its signature does not tell.
    """

    provider: str
    key: str
    secret: str
    address: tuple[str, ...]
    further: frozenset[str]
    region: bool
    needs: tuple[str, ...]
    special: Special
    _defaults: Mapping[str, object]

    def refused(self, given: Collection[str]) -> Iterator[str]:
        """What is wrong with the settings that are given, each with what to do."""
        if missing := self.missing(given):
            yield f"it needs {', '.join(map(self._told, missing))}"
        if "secret" in given and not self.secret:
            yield "it takes no secret"
        if "region" in given and not self.region:
            yield "it takes no region"
        if _ENDPOINT in given and self.special.endpoint:
            yield f"endpointUrl would have no effect: give {self.special.endpoint}"

    def _told(self, setting: str) -> str:
        stands_for = {"key": self.key, "secret": self.secret}.get(setting, setting)
        also = f"its {stands_for}, " if stands_for != setting else ""
        variables = (
            f"VMOPS_LIBCLOUD_{setting.upper()}",
            *VARIABLES.get(self.provider, {}).get(setting, ()),
        )
        name = to_camel(setting) if setting == _ENDPOINT else setting
        return f"{name} ({also}{' or '.join(variables)})"

    def missing(self, given: Collection[str]) -> list[str]:
        """The settings that must be given, and are not."""
        found = set(given)
        for argument, settings in self.special.instead.items():
            if _DRIVER + argument in found:
                found.update(settings)
        if any(_DRIVER + argument in found for argument in _ELSEWHERE):
            found.add(_ENDPOINT)
        return [name for name in self.needs if name not in found]

    def credentials(self, key: str, secret: str) -> dict[str, str]:
        """Its arguments for key and secret; one that it insists on may be empty."""
        both = {self.key: key, self.secret: secret}
        required = inspect.Parameter.empty
        return {n: v for n, v in both.items() if n and (v or self._defaults.get(n) is required)}

    def located(self, url: str) -> dict[str, object]:
        """Its arguments for the URL of an API."""
        parts = urlsplit(url)
        host: dict[str, object] = {"host": parts.hostname, "port": parts.port}
        host["path"] = parts.path.rstrip("/")
        return {name: found for name in self.address if (found := host.get(name, url))}

    def typed(self, arguments: Mapping[str, str]) -> dict[str, object]:
        """Arguments that are text, as what their defaults are."""
        return {name: _like(v, name, self._defaults.get(name)) for name, v in arguments.items()}


@cache
def constructor(provider: str) -> Constructor:
    """How a provider's driver is made."""
    cls, _ = capabilities.driver(provider)
    special = CONSTRUCTORS.get(provider, Special())
    chain = list(_chain(cls))
    own = _own(chain)
    key, secret = _credentials(cls, own, special)
    parameters = {one.name: one for function in reversed(chain) for one in _named(function)}
    looked_up = (name for function in chain for name in _TAKEN.findall(inspect.getsource(function)))
    takes = {*parameters, *looked_up}
    return Constructor(
        provider=provider,
        key=key,
        secret=secret,
        address=_address(own),
        further=frozenset(takes - {key, secret, *_SET_BY_US}),
        region="region" in takes,
        needs=tuple(dict.fromkeys(_needs(cls, own, key, secret, special))),
        special=special,
        _defaults={name: one.default for name, one in parameters.items()},
    )


def _chain(cls: type[Any]) -> Iterator[Any]:
    """A class's constructors, its own first, as far as one hands on what it does not know."""
    for base in cls.__mro__[:-1]:
        if function := vars(base).get("__init__"):
            yield function
            kinds = {one.kind for one in inspect.signature(function).parameters.values()}
            if inspect.Parameter.VAR_KEYWORD not in kinds:
                return


def _named(function: Any) -> list[inspect.Parameter]:  # noqa: ANN401
    found = list(inspect.signature(function).parameters.values())[1:]
    return [one for one in found if one.kind not in {one.VAR_KEYWORD, one.VAR_POSITIONAL}]


def _own(chain: Iterable[Any]) -> dict[str, inspect.Parameter]:
    """The parameters of the first constructor that has any of its own."""
    found = next(filter(None, map(_named, chain)), [])
    return {one.name: one for one in found}


def _credentials(
    cls: type[Any], own: Mapping[str, inspect.Parameter], special: Special
) -> tuple[str, str]:
    """The arguments for key and secret; no second one where a driver would take it for another."""
    first, second = [*own, "", ""][:2]
    if set(_BOTH) <= set(own):
        first, second = _BOTH
    if not (_is_required(own, second) or (_has_pair(cls) and second in _BOTH)):
        second = ""
    return special.key or first, special.secret or second


def _has_pair(cls: type[Any]) -> bool:
    """Whether a driver's connection signs in with two things."""
    from libcloud.common.base import ConnectionUserAndKey

    return issubclass(cls.connectionCls, ConnectionUserAndKey)


def _is_required(own: Mapping[str, inspect.Parameter], name: str) -> bool:
    return name in own and own[name].default is inspect.Parameter.empty


def _address(own: Mapping[str, inspect.Parameter]) -> tuple[str, ...]:
    """The arguments for the place of an API, where they are more than a host to be changed."""
    if {"host", "path"} <= own.keys():
        return tuple(name for name in ("host", "port", "path") if name in own)
    if _is_required(own, "host"):
        return tuple(name for name in ("host", "port") if name in own)
    return tuple(name for name in _WHOLE if name in own)


def _needs(
    cls: type[Any], own: Mapping[str, inspect.Parameter], key: str, secret: str, special: Special
) -> Iterator[str]:
    if _is_required(own, key) or _has_pair(cls):
        yield "key"
    if secret and (_is_required(own, secret) or _has_pair(cls)):
        yield "secret"
    for name in own:
        if _is_required(own, name) and name not in {key, secret}:
            yield _ENDPOINT if name in _address(own) else _DRIVER + name
    yield from special.needs


def _like(text: str, name: str, default: object) -> object:
    """Text as the type of what it stands in for."""
    if isinstance(default, bool):
        return text.lower() in {"true", "1"}
    return int(text) if isinstance(default, int) or name in _NUMBERS else text
