"""Where each provider's own tools read credentials and region: the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

__all__ = ["VARIABLES", "usual"]

VARIABLES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "digitalocean": {"key": ("DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN")},
    "linode": {"key": ("LINODE_TOKEN", "LINODE_CLI_TOKEN")},
    "openstack": {
        "key": ("OS_USERNAME",),
        "secret": ("OS_PASSWORD",),
        "region": ("OS_REGION_NAME",),
        "endpoint_url": ("OS_AUTH_URL",),
        "driver_ex_tenant_name": ("OS_PROJECT_NAME", "OS_TENANT_NAME"),
        "driver_ex_domain_name": ("OS_USER_DOMAIN_NAME",),
        "driver_ex_tenant_domain_id": ("OS_PROJECT_DOMAIN_ID",),
    },
    "vultr": {"key": ("VULTR_API_KEY",)},
}
"""Provider -> setting -> variables, of which the first that is set counts. Sources: the manuals of
doctl, terraform-provider-digitalocean, linode-cli, terraform-provider-linode, vultr-cli, and
python-openstackclient."""

_APPLICATION: Final = ("OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET")
"""OpenStack's credentials for programs, in place of a user's; they bring their project along."""

_PLACE: Final = ("region", "endpoint_url")


def usual(provider: str) -> dict[str, str]:
    """The settings that the environment has for a provider."""
    found: dict[str, str] = {
        setting: value
        for setting, names in VARIABLES.get(provider, {}).items()
        if (value := next(filter(None, map(os.environ.get, names)), ""))
    }
    if provider == "openstack" and all(map(os.environ.get, _APPLICATION)):
        key, secret = (os.environ[name] for name in _APPLICATION)
        how = {"key": key, "secret": secret, "driver_ex_force_auth_version": "3.x_appcred"}
        return how | {name: found[name] for name in found if name in _PLACE}
    return found
