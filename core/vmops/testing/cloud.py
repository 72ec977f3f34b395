"""What the author of a backend tells the kit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["CloudUnderTest", "Known"]


@dataclass(frozen=True, slots=True)
class CloudUnderTest:
    """A cloud, or its stand-in, for one test: fresh, or at least with no VM of this test in it.

    Args:
        config: For VMOps: `backend`, and settings that lead to the stand-in. JSON-serialisable,
            since other processes get it too.
        params: What provisions the cheapest VM, without `vmName`.
        shared: Whether other processes reach the same cloud with the same config.
        errors: Provider code -> makes the SDK's exception for it, one for every declared code.
        sdk: Modules of the SDK, which must not be imported before the first call.
        imports: Modules that take long to import, for new processes to begin with.
        secrets: Params that carry a secret and are accepted, by field; `{canary}` is replaced.
        timeout: Seconds any wait may take.
        live: Whether this is a real cloud: then the run needs `--vmops-live`.
    """

    config: Mapping[str, Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    shared: bool = True
    errors: Mapping[str, Callable[[], Exception]] = field(default_factory=dict)
    sdk: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    secrets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    timeout: float = 60.0
    live: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """A kit test that is known to fail, and why; the run fails when it passes.

    Args:
        reason: One sentence for the table.
        kind: `never` if the cloud cannot do it, `not-yet` if the backend cannot do it yet.
    """

    reason: str
    kind: Literal["never", "not-yet"] = "not-yet"
