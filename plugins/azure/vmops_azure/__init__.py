"""vmops on Microsoft Azure: one client per connection, no thread per operation, resumable URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmops import hookimpl

if TYPE_CHECKING:
    from vmops_azure.backend import AzureBackend


@hookimpl
def vmops_backend() -> type[AzureBackend]:
    """The Backend class; imported when the backend is first used."""
    from vmops_azure.backend import AzureBackend

    return AzureBackend
