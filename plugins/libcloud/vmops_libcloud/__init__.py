"""vmops on whatever Apache Libcloud has a driver for: OpenStack, DigitalOcean, Linode, Vultr..."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmops import hookimpl

if TYPE_CHECKING:
    from vmops_libcloud.backend import LibcloudBackend


@hookimpl
def vmops_backend() -> type[LibcloudBackend]:
    """The Backend class; imported when the backend is first used."""
    from vmops_libcloud.backend import LibcloudBackend

    return LibcloudBackend
