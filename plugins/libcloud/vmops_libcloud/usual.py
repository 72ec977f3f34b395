"""Where each provider's own tools read credentials and region: the environment, and files."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Final

from vmops_libcloud import openrc

__all__ = ["VARIABLES", "usual"]

VARIABLES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "digitalocean": {"key": ("DIGITALOCEAN_TOKEN", "DIGITALOCEAN_ACCESS_TOKEN")},
    "linode": {"key": ("LINODE_TOKEN", "LINODE_CLI_TOKEN")},
    "openstack": {
        setting: tuple(f"OS_{name.upper()}" for name in names)
        for setting, names in openrc.NAMES.items()
    },
    "vultr": {"key": ("VULTR_API_KEY",)},
}
"""Provider -> setting -> variables, of which the first that is set counts. Sources: the manuals of
doctl, terraform-provider-digitalocean, linode-cli, terraform-provider-linode, vultr-cli, and
python-openstackclient."""


def usual(provider: str, given: Collection[str] = (), cloud: str | None = None) -> dict[str, str]:
    """The settings that a provider's own tools would find.

    Args:
        provider: Its name.
        given: The settings that are given already.
        cloud: For OpenStack, the cloud of `clouds.yaml` that is meant.

    Raises:
        ValueError: What they find, libcloud cannot sign in with.
    """
    if provider == "openstack":
        return openrc.signin(cloud, given)
    return {
        setting: value
        for setting, names in VARIABLES.get(provider, {}).items()
        if (value := next(filter(None, map(os.environ.get, names)), ""))
    }
