"""OpenStack: Keystone's sign-in, Nova's states, and a stop that gives the compute back (shelve)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final

from vmops import State, StopMode
from vmops.errors import CloudError
from vmops_libcloud.capabilities import Capabilities
from vmops_libcloud.dialects import Dialect, Look
from vmops_libcloud.errors import CODES, by_words
from vmops_libcloud.settings import LibcloudSettings

__all__ = ["TASKS", "VM_STATES", "OpenStack"]

TASKS: Final[Mapping[str, State]] = {
    "deleting": State.DELETING,
    "soft-deleting": State.DELETING,
    "powering-off": State.STOPPING,
    "shelving": State.STOPPING,
    "shelving_image_pending_upload": State.STOPPING,
    "shelving_image_uploading": State.STOPPING,
    "shelving_offloading": State.STOPPING,
    "block_device_mapping": State.STARTING,
    "networking": State.STARTING,
    "powering-on": State.STARTING,
    "rebooting": State.STARTING,
    "reboot_pending": State.STARTING,
    "reboot_started": State.STARTING,
    "rebooting_hard": State.STARTING,
    "reboot_pending_hard": State.STARTING,
    "reboot_started_hard": State.STARTING,
    "restoring": State.STARTING,
    "scheduling": State.STARTING,
    "spawning": State.STARTING,
    "unshelving": State.STARTING,
}
"""Tasks of Nova's that a verb begins. Source: nova/compute/task_states.py."""

VM_STATES: Final[Mapping[str, State]] = {
    "active": State.RUNNING,
    "building": State.STARTING,
    "deleted": State.ABSENT,
    "error": State.FAILED,
    "paused": State.FAILED,
    "rescued": State.RUNNING,
    "resized": State.RUNNING,
    "shelved": State.STOPPED,
    "shelved_offloaded": State.STOPPED,
    "soft-delete": State.ABSENT,
    "stopped": State.STOPPED,
    "suspended": State.FAILED,
}
"""Where no such task is under way. Source: nova/compute/vm_states.py."""

_RELEASED: Final = "shelved_offloaded"
_SHELVED: Final = ("shelved", _RELEASED)


class OpenStack(Dialect):
    """Nova, through libcloud's driver for its API 2.1."""

    must_prove = True

    def __init__(self, can: Capabilities) -> None:
        """No token yet."""
        super().__init__(can)
        self._tokens: Any = None

    @property
    def stop_modes(self) -> Sequence[StopMode]:
        """Shelve gives the compute back; a server that is only stopped keeps its place."""
        return ("release", "keep")

    def arguments(self, settings: LibcloudSettings) -> dict[str, Any]:
        """Where Keystone is, and one memory of tokens for all drivers."""
        found: dict[str, Any] = {"ex_auth_cache": self._cache()}
        if settings.endpoint_url:  # libcloud puts the version behind it
            url = re.sub(r"/v3/?$", "", settings.endpoint_url).rstrip("/")
            found["ex_force_auth_url"] = url
        if settings.region:
            found["ex_force_service_region"] = settings.region
        if settings.project_id:  # libcloud wants a name, which is replaced below
            found["ex_tenant_name"] = settings.project_id
        return found

    def prepare(self, driver: Any, settings: LibcloudSettings) -> None:  # noqa: ANN401
        """Services are found by their type; libcloud wants them called nova, in RegionOne.

        And it reads all of its price lists (2 MB) once for each flavor, to find none of OpenStack.
        """
        from libcloud.common.base import Connection
        from libcloud.pricing import PRICING_DATA

        PRICING_DATA["compute"].setdefault(driver.api_name, {})
        found: list[Any] = [one for one in vars(driver).values() if isinstance(one, Connection)]
        for connection in found:
            connection.service_name = connection.service_region = None
            if settings.project_id:
                _scope(connection.get_auth_class(), settings.project_id)

    def account(self, driver: Any) -> str:  # noqa: ANN401
        """The project that the token is for."""
        driver.connection.get_service_catalog()  # signs in
        identity = driver.connection.get_auth_class()
        headers = {"X-Subject-Token": identity.auth_token}
        shown = identity.authenticated_request("/v3/auth/tokens", headers=headers)
        return str(shown.object["token"]["project"]["id"])

    def look(self, node: Any) -> Look:  # noqa: ANN401
        """By Nova's task, else by its state; where they are not shown, by libcloud's."""
        vm_state, task = node.extra.get("vm_state"), node.extra.get("task_state")
        state = TASKS.get(task) or VM_STATES.get(vm_state)
        if state is None:
            return super().look(node)
        if state is State.FAILED:
            return Look(state, error=self.failed(node, vm_state))
        return Look(state, holds_compute=state is State.STOPPED and vm_state != _RELEASED)

    def failed(self, node: Any, shown: str) -> CloudError:  # noqa: ANN401
        """What Nova's fault says: a create for which there is no room ends so, too."""
        fault = node.extra.get("fault") or {}
        said = str(fault.get("message") or "")
        if shown != "error" or not said:
            return super().failed(node, shown)
        code = by_words(said)
        return CODES.get(code, CloudError)(
            f"openstack: VM {node.name!r}: {said}",
            provider_code=code or str(fault.get("code", "error")),
            hint="try another vmSize or location; vm_deprovision deletes it"
            if code
            else "vm_deprovision deletes it",
            remains=f"VM {node.name!r}",
        )

    def start(self, driver: Any, node: Any) -> Any:  # noqa: ANN401
        """Start, or unshelve."""
        if node.extra.get("vm_state") in _SHELVED:
            return _act(driver, node, "unshelve")
        return super().start(driver, node)

    def stop(self, driver: Any, node: Any, mode: StopMode) -> Any:  # noqa: ANN401
        """Shelve, or stop."""
        if mode == "release":
            return _act(driver, node, "shelve")
        return super().stop(driver, node, mode)

    def restart(self, driver: Any, node: Any, mode: str) -> Any:  # noqa: ANN401
        """Nova's soft reboot, or the hard one, which is all that libcloud's base API has."""
        if mode == "reboot":
            return driver.ex_soft_reboot_node(node)
        return super().restart(driver, node, mode)

    def retag(self, driver: Any, node: Any, marks: Mapping[str, str]) -> None:  # noqa: ANN401
        """By the request that adds to the metadata; libcloud has the one that replaces all of it.

        Source: "Create or Update Metadata Items", Compute API.
        """
        data = {"metadata": dict(marks)}
        driver.connection.request(f"/servers/{node.id}/metadata", method="POST", data=data)

    def placed(self, location: str) -> dict[str, Any] | None:
        """A location is an availability zone: libcloud's list has none of them."""
        return {"ex_availability_zone": location}

    def adapted(self, extras: Mapping[str, Any]) -> dict[str, Any]:
        """Security groups by name, which libcloud wants as objects."""
        found = dict(extras)
        groups = found.get("ex_security_groups")
        if isinstance(groups, str):
            groups = [one.strip() for one in groups.split(",")]
        if groups:
            found["ex_security_groups"] = [SimpleNamespace(name=name) for name in groups]
        return found

    def _cache(self) -> Any:  # noqa: ANN401  (an OpenStackAuthenticationCache)
        if self._tokens is None:
            from libcloud.common.openstack_identity import OpenStackAuthenticationCache

            class Tokens(OpenStackAuthenticationCache):
                """Tokens in memory."""

                def __init__(self) -> None:
                    self._known: dict[object, Any] = {}

                def get(self, key: object) -> Any:  # noqa: ANN401
                    return self._known.get(key)

                def put(self, key: object, context: Any) -> None:  # noqa: ANN401
                    self._known[key] = context

                def clear(self, key: object) -> None:
                    self._known.pop(key, None)

            self._tokens = Tokens()
        return self._tokens


def _scope(identity: Any, project_id: str) -> None:  # noqa: ANN401  (an identity connection)
    """Sign in to a project by its id, where libcloud has its name and domain only."""
    plain = identity._get_auth_data  # noqa: SLF001  (it has no other way)

    def scoped(*args: Any, **more: Any) -> Any:  # noqa: ANN401
        data = plain(*args, **more)
        if "project" in data["auth"].get("scope", {}):
            data["auth"]["scope"]["project"] = {"id": project_id}
        return data

    identity._get_auth_data = scoped  # noqa: SLF001


def _act(driver: Any, node: Any, action: str) -> bool:  # noqa: ANN401
    """One of Nova's actions on a server that libcloud has no method for.

    Source: "Servers - run an action", Compute API.
    """
    answer = driver.connection.request(
        f"/servers/{node.id}/action", method="POST", data={action: None}
    )
    return int(answer.status) == _ACCEPTED


_ACCEPTED: Final = 202
