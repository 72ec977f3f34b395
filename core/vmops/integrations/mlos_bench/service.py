"""`VMOpsService`: what mlos_bench asks of VMs and hosts, on every backend of vmops.

Sources: mlos_bench 0.6.2, `services/types/{host_provisioner,host_ops,os_ops,remote_exec,
vm_provisioner}_type.py` for the methods, `services/base_service.py` for how a service is made.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final

from mlos_bench.environments.status import Status
from mlos_bench.services.base_service import Service
from mlos_bench.services.types.host_ops_type import SupportsHostOps
from mlos_bench.services.types.host_provisioner_type import SupportsHostProvisioning
from mlos_bench.services.types.os_ops_type import SupportsOSOps
from mlos_bench.services.types.remote_exec_type import SupportsRemoteExec

from vmops.facade import DEFAULT_JOURNAL, VMOps
from vmops.integrations.mlos_bench.answers import Answer, answered
from vmops.integrations.mlos_bench.environment import Environment
from vmops.integrations.mlos_bench.options import ServiceOptions
from vmops.integrations.mlos_bench.provisioning import Provisioning
from vmops.integrations.mlos_bench.scripts import Scripts
from vmops_mlos_bench.registration import register

__all__ = ["EXPORTED", "VMOpsService"]

EXPORTED: Final = (
    "provision_host",
    "wait_host_deployment",
    "deprovision_host",
    "deallocate_host",
    "start_host",
    "stop_host",
    "restart_host",
    "wait_host_operation",
    "shutdown",
    "reboot",
    "wait_os_operation",
    "remote_exec",
    "get_remote_exec_results",
    "vm_provision",
    "wait_vm_deployment",
    "vm_start",
    "vm_stop",
    "vm_restart",
    "vm_deprovision",
    "wait_vm_operation",
)
"""The methods that mlos_bench's environments find on a mixture of services."""

_LOADER: Final = "_config_loader_service"
"""Where mlos_bench keeps who knows its config path, if there is anybody."""

register()  # for whoever makes the service by hand, where no interpreter start-up did it


class VMOpsService(
    Service, SupportsHostProvisioning, SupportsHostOps, SupportsOSOps, SupportsRemoteExec
):
    """Hosts for mlos_bench's environments: VMEnv, OSEnv and RemoteEnv, on every backend.

    Name it in a service config; `config` has `backend`, that backend's settings, defaults for
    params, and options of its own. Params of a call that vmops does not know are other people's
    tunables, and ignored. Answers are pairs of mlos_bench's Status and a dict; where it is FAILED,
    the dict's `error` says why.

    Args:
        config: The `config` of the service config.
        global_config: mlos_bench's global parameters.
        parent: The services that were loaded before.
        methods: More methods to offer.

    Raises:
        InvalidParams: The config has names or values that nobody knows.
    """

    def __init__(
        self,
        config: dict[str, Any] | None = None,
        global_config: dict[str, Any] | None = None,
        parent: Service | None = None,
        methods: dict[str, Callable[..., Any]] | list[Callable[..., Any]] | None = None,
    ) -> None:
        """Open nothing and ask no cloud yet."""
        own: dict[str, Callable[..., Any]] = {name: getattr(self, name) for name in EXPORTED}
        super().__init__(config, global_config, parent, self.merge_methods(methods, own))
        find = self._config_loader_service.resolve_path if hasattr(self, _LOADER) else str
        options, settings = ServiceOptions.split(self.config, find)
        journal = options.journal
        self.ops = VMOps(
            settings,
            status=Status,
            journal=None if journal == "none" else journal or DEFAULT_JOURNAL,
        )
        """For what mlos_bench has no method for, such as `recover` and `reap`."""
        weakref.finalize(self, self.ops.close)
        self.ops.check_config()
        self._environment = Environment(self.ops.registry, settings)
        self._provisioning = Provisioning(self.ops, options, self._environment)
        self._scripts = Scripts(self.ops, options)

    @answered
    def provision_host(self, params: dict[str, Any]) -> Answer:
        """Ask for a VM to exist and run: PENDING, SUCCEEDED if it runs already, or FAILED.

        A VM that was made with other params is dealt with as `onChange` says: `replace` returns
        once it is deleted and the new one asked for. One that is being deleted is waited for. The
        `ttl` of a VM that was there begins anew.
        """
        return self._provisioning.provision(params)

    @answered
    def wait_host_deployment(self, params: dict[str, Any], *, is_setup: bool) -> Answer:
        """Wait until the VM runs, or with `is_setup=False` until it is gone.

        SUCCEEDED brings the operation's info; FAILED and TIMED_OUT `{}`. A time-out ends nothing.
        """
        return self.ops.wait_vm_deployment(is_setup, self._environment.to_use(params))

    @answered
    def deprovision_host(self, params: dict[str, Any]) -> Answer:
        """Ask for the VM to be deleted, with all that was made for it."""
        return self.ops.vm_deprovision(self._environment.to_use(params))

    @answered
    def deallocate_host(self, params: dict[str, Any]) -> Answer:
        """Ask the VM to shut down and give its compute back."""
        return self.ops.vm_deallocate(self._environment.to_use(params))

    @answered
    def start_host(self, params: dict[str, Any]) -> Answer:
        """Ask a stopped VM to run; SUCCEEDED if it runs already."""
        return self.ops.vm_start(self._environment.to_use(params))

    @answered
    def stop_host(self, params: dict[str, Any], force: bool = False) -> Answer:  # noqa: FBT001, FBT002
        """Ask the VM to shut down; where the cloud can, its compute is kept, and so its node.

        With `force` the guest is not waited for, where the backend has a param of that name.
        """
        ours = self._environment.to_use(params)
        backend = self.ops.registry.load(self._environment.backend(params))
        if not self._environment.given("stopMode", ours) and "keep" in backend.stop_modes:
            ours["stopMode"] = "keep"
        return self.ops.vm_stop(self._forced(ours, force=force))

    @answered
    def restart_host(self, params: dict[str, Any], force: bool = False) -> Answer:  # noqa: FBT001, FBT002
        """Ask a running VM to shut down and boot again; `force` as for `stop_host`."""
        return self.ops.vm_restart(self._forced(self._environment.to_use(params), force=force))

    @answered
    def wait_host_operation(self, params: dict[str, Any]) -> Answer:
        """Wait for the operation that `asyncResultsUrl` names; PENDING without one."""
        return self.ops.wait_vm_operation(self._environment.to_use(params))

    def shutdown(self, params: dict[str, Any], force: bool = False) -> Answer:  # noqa: FBT001, FBT002
        """The same as `stop_host`: the guest is asked to shut down."""
        return self.stop_host(params, force)

    def reboot(self, params: dict[str, Any], force: bool = False) -> Answer:  # noqa: FBT001, FBT002
        """The same as `restart_host`."""
        return self.restart_host(params, force)

    def wait_os_operation(self, params: dict[str, Any]) -> Answer:
        """The same as `wait_host_operation`."""
        return self.wait_host_operation(params)

    @answered
    def remote_exec(
        self, script: Iterable[str], config: dict[str, Any], env_params: dict[str, Any]
    ) -> Answer:
        """Start a script on the VM, over SSH: PENDING with an `asyncResultsUrl`, or FAILED.

        Args:
            script: Its lines.
            config: Params that name the VM.
            env_params: Environment variables of the script.
        """
        ours = self._environment.to_use(config)
        return self._scripts.start(
            script, ours, env_params, self._environment.given("pollTimeout", ours)
        )

    @answered
    def get_remote_exec_results(self, config: dict[str, Any]) -> Answer:
        """Wait for the script that `asyncResultsUrl` names; PENDING without one.

        SUCCEEDED, and FAILED by an exit code, bring `stdout`, `stderr`, `exitCode`, `startTime`,
        `endTime` and `durationSeconds`. One that is TIMED_OUT is ended, so that it does not go on
        beside the next trial's.
        """
        return self._scripts.wait(config, self._environment.to_use(config))

    def vm_provision(self, params: dict[str, Any]) -> Answer:
        """`provision_host`, by its older name."""
        return self.provision_host(params)

    def wait_vm_deployment(self, is_setup: bool, params: dict[str, Any]) -> Answer:  # noqa: FBT001
        """`wait_host_deployment`, by its older name."""
        return self.wait_host_deployment(params, is_setup=is_setup)

    def vm_start(self, params: dict[str, Any]) -> Answer:
        """`start_host`, by its older name."""
        return self.start_host(params)

    def vm_stop(self, params: dict[str, Any]) -> Answer:
        """`stop_host`, by its older name."""
        return self.stop_host(params)

    def vm_restart(self, params: dict[str, Any]) -> Answer:
        """`restart_host`, by its older name."""
        return self.restart_host(params)

    def vm_deprovision(self, params: dict[str, Any]) -> Answer:
        """`deprovision_host`, by its older name."""
        return self.deprovision_host(params)

    def wait_vm_operation(self, params: dict[str, Any]) -> Answer:
        """`wait_host_operation`, by its older name."""
        return self.wait_host_operation(params)

    def _forced(self, ours: dict[str, Any], *, force: bool) -> dict[str, Any]:
        """The params, with `force` where it is asked for and the backend has such a thing."""
        return self._environment.to_use({**ours, "force": True}) if force else ours
