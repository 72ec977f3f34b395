"""What is special about a provider beyond what a table could say: states, sign-in, kinds of stop.

A provider without a dialect of its own is spoken to as libcloud speaks to all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from vmops import State, StopMode
from vmops.errors import CloudError, NotSupported
from vmops_libcloud.capabilities import Capabilities
from vmops_libcloud.settings import LibcloudSettings

__all__ = ["Dialect", "Look", "dialect"]

_STATES: Final[Mapping[str, State]] = {
    "error": State.FAILED,
    "migrating": State.RUNNING,
    "normal": State.RUNNING,
    "paused": State.FAILED,
    "pending": State.STARTING,
    "rebooting": State.STARTING,
    "reconfiguring": State.STARTING,
    "running": State.RUNNING,
    "starting": State.STARTING,
    "stopped": State.STOPPED,
    "stopping": State.STOPPING,
    "suspended": State.FAILED,
    "terminated": State.ABSENT,
    "unknown": State.STARTING,
    "updating": State.STARTING,
}
"""libcloud's states of a node -> ours. What is paused or suspended can neither be started nor
stopped, only resumed or deleted: for all verbs but one it is as good as failed."""
_OWN_STATES: Final[Mapping[str, State]] = {
    "deleting": State.DELETING,
    "shutting-down": State.DELETING,
}
"""Providers' own words for what libcloud has no state for: EC2's is unknown to it."""
_ASLEEP: Final = ("paused", "suspended")


@dataclass(frozen=True, slots=True)
class Look:
    """What a node's state means.

    Args:
        state: Ours.
        holds_compute: Whether it holds, and bills, its compute though it is stopped.
        error: Why it has failed.
    """

    state: State
    holds_compute: bool = False
    error: CloudError | None = None


class Dialect:
    """One provider, as libcloud speaks to all of them.

    Args:
        can: What its driver can do.
    """

    horizon: float = 45.0
    """Seconds for which a new VM may be missing in the list after its create was sent: 30 that a
    request may take before it is given up, and some until what arrives then is shown."""
    must_prove: bool = False
    """Whether credentials that do not tell whose they are, are none."""

    def __init__(self, can: Capabilities) -> None:
        """Nothing has been asked yet."""
        self.can = can

    def arguments(self, settings: LibcloudSettings) -> dict[str, Any]:
        """What the driver is made with, besides key and secret."""
        return {"region": settings.region} if settings.region else {}

    def prepare(self, driver: Any, settings: LibcloudSettings) -> None:  # noqa: ANN401
        """Change a driver that was made."""
        if settings.endpoint_url:
            parts = urlsplit(settings.endpoint_url)
            connection = driver.connection
            connection.host, connection.request_path = parts.hostname, parts.path.rstrip("/")
            connection.secure = int(parts.scheme == "https")
            connection.port = parts.port or (443 if connection.secure else 80)

    def account(self, driver: Any) -> str:  # noqa: ANN401
        """Who these credentials are to the provider; empty where it does not tell."""
        asked = _IDENTITIES.get(self.can.provider)
        if asked is None:
            return ""
        found = driver.connection.request(asked[0]).object
        for key in asked[1:]:
            found = found[key]
        return str(found) if "@" not in str(found) else digest(str(found))

    def look(self, node: Any) -> Look:  # noqa: ANN401  (a Node)
        """What a node's state means."""
        shown = str(node.state)
        own = node.extra.get("status")
        state = _OWN_STATES.get(own) if isinstance(own, str) else None
        state = state or _STATES.get(shown, State.STARTING)
        if state is State.FAILED:
            return Look(state, error=self.failed(node, shown))
        return Look(state, holds_compute=state is State.STOPPED and not self.can.releases)

    def failed(self, node: Any, shown: str) -> CloudError:  # noqa: ANN401
        """Why a node has failed."""
        remains = f"VM {node.name!r}"
        if shown in _ASLEEP:
            return NotSupported(
                f"{self.can.provider}: VM {node.name!r} is {shown}, which vmops does not handle",
                provider_code=shown,
                hint="resume it with the provider's own tools, or vm_deprovision",
                remains=remains,
            )
        return CloudError(
            f"{self.can.provider}: VM {node.name!r} is in state {shown}",
            provider_code=shown,
            hint="vm_deprovision deletes it",
            remains=remains,
        )

    @property
    def stop_modes(self) -> Sequence[StopMode]:
        """How a VM can be stopped."""
        return ("release",) if self.can.releases else ("keep",)

    def start(self, driver: Any, node: Any) -> Any:  # noqa: ANN401
        """Ask a node to run; returns what the driver does."""
        return self.plain("start", driver, node)

    def stop(self, driver: Any, node: Any, mode: StopMode) -> Any:  # noqa: ANN401, ARG002
        """Ask a node to stop."""
        return self.plain("stop", driver, node)

    def restart(self, driver: Any, node: Any, mode: str) -> Any:  # noqa: ANN401, ARG002
        """Ask a node to boot again."""
        return self.plain("restart", driver, node)

    def plain(self, verb: str, driver: Any, node: Any) -> Any:  # noqa: ANN401
        """Do with a node what the driver has for a verb."""
        return getattr(driver, self.can.methods[verb])(node, **self.can.options.get(verb, {}))

    def retag(self, driver: Any, node: Any, marks: Mapping[str, str]) -> None:  # noqa: ANN401
        """Change a node's marks, and nothing else that is written there."""
        together = {**node.extra.get(self.can.shown, {}), **marks}
        getattr(driver, self.can.methods["retag"])(node, together)

    def created(self, driver: Any, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401
        """The node that the driver makes with these arguments."""
        return driver.create_node(**arguments)

    def placed(self, location: str) -> dict[str, Any] | None:  # noqa: ARG002
        """create_node's arguments for a location; None where it is looked up in a list."""
        return None

    def adapted(self, extras: Mapping[str, Any]) -> dict[str, Any]:
        """What was given for create_node by its own names, as it wants it."""
        return dict(extras)


def digest(text: str) -> str:
    """What stands for a text that is not to be told."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_IDENTITIES: Final = {
    "digitalocean": ("/v2/account", "account", "uuid"),
    "linode": ("/v4/account", "euuid"),
    "vultr": ("/v2/account", "account", "email"),
}
"""Provider -> what is asked, and where in the answer the identity is. Sources: the API references
of DigitalOcean, Linode and Vultr."""


def dialect(can: Capabilities) -> Dialect:
    """How to speak to a provider."""
    from vmops_libcloud.openstack import OpenStack

    return OpenStack(can) if can.provider == "openstack" else Dialect(can)
