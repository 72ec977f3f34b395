"""vmops' embedded default backend: real QEMU VMs on this machine, no daemon, no root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmops import hookimpl

if TYPE_CHECKING:
    from vmops_local.backend import LocalBackend


@hookimpl
def vmops_backend() -> type[LocalBackend]:
    """The Backend class; imported when the backend is first used."""
    from vmops_local.backend import LocalBackend

    return LocalBackend
