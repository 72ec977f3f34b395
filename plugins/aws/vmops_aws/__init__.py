"""vmops on Amazon EC2: one client per connection, many VMs per call, one URL per operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmops import hookimpl

if TYPE_CHECKING:
    from vmops_aws.backend import AwsBackend


@hookimpl
def vmops_backend() -> type[AwsBackend]:
    """The Backend class; imported when the backend is first used."""
    from vmops_aws.backend import AwsBackend

    return AwsBackend
