"""OpenStack's credentials as its own tools have them: a cloud of a file, and variables over it.

libcloud signs in with less than these tools: by names of users and projects, and the id of the
project's domain. What it cannot do is refused, with what to give in its place.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any, Final

from vmops_libcloud.clouds_yaml import cloud

__all__ = ["NAMES", "signin"]

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "endpoint_url": ("auth_url",),
    "key": ("username",),
    "secret": ("password",),
    "project_id": ("project_id", "tenant_id"),
    "driver_ex_tenant_name": ("project_name", "tenant_name"),
    "driver_ex_domain_name": ("user_domain_name",),
    "driver_ex_tenant_domain_id": ("project_domain_id",),
    "region": ("region_name",),
    "ca_file": ("cacert",),
}
"""Setting -> its names in `clouds.yaml`, of which the first that is given counts; in capitals, and
after `OS_`, they are variables. Source: python-openstackclient's manual."""

_APPLICATION: Final = ("application_credential_id", "application_credential_secret")
"""Credentials for programs, in place of a user's; they bring their project along."""
_BY_PASSWORD: Final = ("", "password", "v3password")
_BY_APPLICATION: Final = "v3applicationcredential"
_PLACE: Final = ("region", "endpoint_url", "ca_file")
_FURTHER: Final = (
    *("auth_type", "user_domain_id", "project_domain_name", "user_id"),
    *("domain_name", "domain_id", "default_domain", "trust_id", "system_scope"),
    *("identity_api_version", "interface", "endpoint_type", "application_credential_name"),
    *("token", "passcode"),
)
_READ: Final = frozenset(
    {*_FURTHER, *_APPLICATION, *(one for names in NAMES.values() for one in names)}
)
_DEFAULT: Final = "default"
"""The id of the domain that each Keystone has, whose name is Default."""
_TENANT, _DOMAIN = "driver_ex_tenant_name", "driver_ex_tenant_domain_id"


def signin(name: str | None, given: Collection[str]) -> dict[str, str]:
    """The settings that a cloud of `clouds.yaml` and the environment have.

    Args:
        name: The cloud; by default what `OS_CLOUD` names, and then variables count more than it, as
            with python-openstackclient. One that is named is taken as it is.
        given: The settings that are given already, and need not be found.

    Raises:
        ValueError: libcloud cannot sign in so, or there is no such cloud.
    """
    named = name or os.environ.get("OS_CLOUD")
    values = dict(_flat(cloud(named))) if named else {}
    if not name:
        values |= {one: v for one in _READ if (v := os.environ.get(f"OS_{one.upper()}"))}
    values = _with_domains(values)
    found = _found(values)
    problems = [text for setting, text in _refused(values, found) if setting not in given]
    if problems:
        where = f"cloud {named!r}" if named else "OS_* variables"
        raise ValueError(f"{where}: {'; '.join(problems)}")
    return found


def _flat(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is said of a cloud, without its levels; lists of regions have one only."""
    auth = said.get("auth") or {}
    for name, value in {**said, **(auth if isinstance(auth, Mapping) else {})}.items():
        if isinstance(value, str | int | float | date) and value != "":  # a password may be a date
            text = str(value).lower() if isinstance(value, bool) else str(value)
            yield str(name).replace("-", "_"), text
    regions = said.get("regions")
    if isinstance(regions, list) and "region_name" not in said:
        names = [one.get("name", "") if isinstance(one, Mapping) else one for one in regions]
        yield "region_name" if len(names) == 1 else "regions", ", ".join(map(str, names))


def _with_domains(values: Mapping[str, str]) -> dict[str, str]:
    """A domain for both, user and project, becomes one of each."""
    found = dict(values)
    for what in ("name", "id"):
        for whose in ("user", "project"):
            if f"domain_{what}" in values and not any(
                f"{whose}_domain_{one}" in values for one in ("name", "id")
            ):
                found[f"{whose}_domain_{what}"] = values[f"domain_{what}"]
    if found.get("project_domain_name", "").lower() == _DEFAULT:
        found.setdefault("project_domain_id", _DEFAULT)
    if found.get("user_domain_id") == _DEFAULT:
        found.setdefault("user_domain_name", "Default")
    return found


def _found(values: Mapping[str, str]) -> dict[str, str]:
    """The settings that libcloud has a word for."""
    found = {
        setting: value
        for setting, names in NAMES.items()
        if (value := next(filter(None, map(values.get, names)), ""))
    }
    kind = values.get("auth_type", "")
    if kind == _BY_APPLICATION or (not kind and all(one in values for one in _APPLICATION)):
        how = {"driver_ex_force_auth_version": "3.x_appcred"}
        pair = zip(("key", "secret"), map(values.get, _APPLICATION), strict=True)
        how |= {setting: value for setting, value in pair if value}
        return how | {name: found[name] for name in found if name in _PLACE}
    return found


def _refused(values: Mapping[str, str], found: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What libcloud cannot do, each with the setting that makes up for it."""
    kind = values.get("auth_type", "")
    if kind not in {*_BY_PASSWORD, _BY_APPLICATION}:
        yield "key", f"auth_type {kind!r}: libcloud has password and {_BY_APPLICATION} only"
    for name in ("trust_id", "system_scope", "application_credential_name", "token", "passcode"):
        if name in values and "driver_ex_force_auth_version" not in found:
            yield "key", f"libcloud cannot sign in with {name}: give a password and a project"
    if values.get("identity_api_version", "3").partition(".")[0] not in {"3", "v3"}:
        yield "driver_ex_force_auth_version", "identity_api_version: vmops signs in with 3 only"
    if "regions" in values:
        yield "region", f"give region, one of {values['regions']}"
    if "profile" in values and "endpoint_url" not in found:
        yield "endpoint_url", "a vendor's profile is not read: give auth_url"
    if "driver_ex_force_auth_version" not in found:
        yield from _unnamed(values, found)
    yield from _transport(values)


def _unnamed(values: Mapping[str, str], found: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What is told by an id, and libcloud has by name only; or the other way round."""
    if "user_id" in values and "key" not in found:
        yield "key", "libcloud knows a user by name only: give username (OS_USERNAME)"
    if "user_domain_id" in values and "driver_ex_domain_name" not in found:
        text = "libcloud knows the user's domain by name only: give user_domain_name"
        yield "driver_ex_domain_name", f"{text} (OS_USER_DOMAIN_NAME)"
    if _DOMAIN not in found and "project_domain_name" in values and "project_id" not in found:
        text = "libcloud knows the project's domain by id only: give project_domain_id"
        yield _DOMAIN, f"{text} (OS_PROJECT_DOMAIN_ID; `openstack domain list` tells it)"
    if values.get("default_domain", _DEFAULT) != _DEFAULT:
        yield "driver_ex_domain_name", "default_domain is not read: give user_domain_name"


def _transport(values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What is said of how to connect, that would be ignored."""
    for name in ("cert", "key", "compute_endpoint_override"):
        if name in values:
            yield "", f"{name} is not read: libcloud has no place for it"
    if values.get("verify") == "false" or values.get("insecure") == "true":
        yield "", "certificates are always verified: give the authority's as cacert"
    which = values.get("interface") or values.get("endpoint_type") or "public"
    if which.removesuffix("URL") != "public":
        yield "driver_ex_force_base_url", f"interface {which!r}: libcloud takes the public one only"
