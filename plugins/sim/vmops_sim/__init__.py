"""vmops' simulated cloud: slow, failing, forgetful on demand, and the same for the same seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmops import hookimpl

if TYPE_CHECKING:
    from vmops_sim.backend import SimBackend


@hookimpl
def vmops_backend() -> type[SimBackend]:
    """The Backend class; imported when the backend is first used."""
    from vmops_sim.backend import SimBackend

    return SimBackend
