"""vmops on Google Compute Engine: crash-safe, resumable, and few calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmops import hookimpl

if TYPE_CHECKING:
    from vmops_gcp.backend import GcpBackend


@hookimpl
def vmops_backend() -> type[GcpBackend]:
    """The Backend class; imported when the backend is first used."""
    from vmops_gcp.backend import GcpBackend

    return GcpBackend
