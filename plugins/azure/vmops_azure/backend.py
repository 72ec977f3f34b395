"""The `azure` backend: Azure Resource Manager as the core wants it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from vmops import (
    VM,
    Backend,
    Bucket,
    Check,
    Fault,
    Handle,
    Limit,
    Operation,
    Progress,
    Ref,
    StopMode,
    Tags,
    Target,
)
from vmops.errors import InvalidRequest, NotFound
from vmops_azure import images, labels, launch
from vmops_azure.checkup import checks
from vmops_azure.client import FORCE, Arm
from vmops_azure.errors import CODES, NotArmError, read
from vmops_azure.machines import Machines
from vmops_azure.network import Network
from vmops_azure.operations import Operations
from vmops_azure.settings import AzureParams, AzureSettings
from vmops_azure.waiting import Waiting

__all__ = ["AzureBackend"]

_NO_NETWORK: Final = frozenset(
    {
        "InvalidResourceReference",
        "LinkedInvalidPropertyId",
        "ResourceGroupNotFound",
        "ResourceNotFound",
    }
)
_WRITES: Final = Limit(Bucket(200, 10))
_LIMITS: Final = {
    "provision": _WRITES,
    "start": _WRITES,
    "stop": _WRITES,
    "restart": _WRITES,
    "deprovision": Limit(Bucket(200, 10)),
}
_OWN_LIMITS: Final = {
    # 25 reads a second are allowed, 250 at once; some are left for whoever else works here
    "read": Limit(Bucket(5, 20)),
    "list": Limit(Bucket(300, 5)),
}
"""As published: "Understand how Azure Resource Manager throttles requests" (per subscription,
principal and region), "Compute throttling limits" (lists: 900, and 300 a minute)."""


class AzureBackend(Backend[AzureSettings, AzureParams]):
    """Virtual machines on Microsoft Azure, with the credentials that azure-identity finds."""

    name = "azure"
    vm_name = r"[A-Za-z0-9]([-A-Za-z0-9._]{0,62}[A-Za-z0-9_])?"
    error_codes = CODES
    horizon = 15.0
    poll_timeout = 600.0
    confirms_restart = False
    limits = _LIMITS
    own_limits = _OWN_LIMITS

    def __init__(self, settings: AzureSettings) -> None:
        """Import no SDK and ask nothing yet."""
        super().__init__(settings)
        self.poll_interval = settings.tick
        self._arm = Arm(settings, self.pay)
        self._network = Network(self._arm, settings, self._sleep)
        self._machines = Machines(self._arm)
        self._operations = Operations(self._arm)
        self._waiting = Waiting(self._machines, self._operations)

    @classmethod
    def doctor(cls, settings: AzureSettings) -> Iterable[Check]:
        """Whether the SDK is here, and what these credentials may see."""
        return checks(settings)

    def account(self) -> str:
        """The subscription. Every request names it, so every answer proves that it was meant."""
        return self.settings.subscription

    def cloud_time(self) -> float:
        """ARM's clock."""
        return self._arm.now()

    def describe(self, refs: Sequence[Ref] | None) -> Iterable[VM]:
        """The VMs by name, or by a list of all in the resource group."""
        return self._machines.ours() if refs is None else self._machines.describe(refs)

    def resolve(self, params: AzureParams) -> AzureParams:
        """An alias becomes a URN; the subnet exists, and is made if it is our own."""
        if params.location is None:
            raise InvalidRequest(
                "azure: location is missing", hint="give location=westeurope or the like"
            )
        image = images.resolved(params.image, params.vm_size)
        if launch.is_windows(image) and not params.admin_password.get_secret_value():
            raise InvalidRequest("azure: Windows needs a password", hint="give adminPassword")
        subnet = (
            self._network.named(params.subnet)
            if params.subnet
            else self._network.subnet(params.location)
        )
        return params.model_copy(update={"image": image, "subnet": subnet})

    def provision(self, vm: Target[AzureParams], token: str) -> Handle:
        """PUT the VM, unless one of that name exists already; one of this token is the same one."""
        body = launch.request(vm)
        only_new = {"If-None-Match": "*"}
        try:
            response = self._arm.verb("begin_create_or_update", vm.name, body, headers=only_new)
        except Exception as exc:
            fault = read(exc)
            if fault is not None and fault.code in _NO_NETWORK:
                self._network.forget()
            if fault is not None and fault.code == "PreconditionFailed":
                for found in self._machines.describe([Ref(vm.name)]):
                    if found.tags is not None and found.tags.token == token:
                        return {"vmId": found.id}
            raise
        id_ = str(self._arm.body(response).get("properties", {}).get("vmId", "")).lower()
        if not id_:
            raise NotArmError("the answer to a create does not tell the new VM's id")
        self._machines.made(id_, vm.name)
        return {"vmId": id_, **self._operations.handle(response)}

    def start(self, vm: Target[AzureParams], token: str) -> Handle:  # noqa: ARG002
        """POST start."""
        return self._sent("begin_start", vm)

    def stop(self, vm: Target[AzureParams], token: str, mode: StopMode) -> Handle:  # noqa: ARG002
        """POST deallocate, which releases the compute; or powerOff, which keeps it."""
        if mode == "keep":
            return self._sent("begin_power_off", vm, **_if(vm.params.force, "skip_shutdown"))
        if vm.params.force:
            return self._sent("begin_deallocate", vm, force_deallocate=True, api_version=FORCE)
        return self._sent("begin_deallocate", vm)

    def restart(self, vm: Target[AzureParams], token: str) -> Handle:  # noqa: ARG002
        """POST restart."""
        return self._sent("begin_restart", vm)

    def deprovision(self, vm: Target[AzureParams], token: str) -> Handle:  # noqa: ARG002
        """DELETE the VM; what was made with it goes with it."""
        if not self._machines.has_its_name(vm.vm):
            raise NotFound(f"azure: VM {vm.name!r} is gone, or another one has its name by now")
        return self._sent("begin_delete", vm, **_if(vm.params.force, "force_deletion"))

    def poll(self, operations: Sequence[Operation], timeout: float) -> Mapping[str, Progress]:
        """What ARM's records of the operations say."""
        return self._waiting.progress(operations, self.clock.now(), timeout)

    def retag(self, vm: VM, tags: Tags) -> None:
        """Merge the tags into those of the VM, its disk, its interface and its address."""
        labels.rewrite(self._arm, vm, tags)

    def explain(self, error: Exception) -> Fault | None:
        """What an exception of azure-core or azure-identity says."""
        return read(error)

    def close(self) -> None:
        """Close the client's sockets."""
        self._arm.close()

    def _sleep(self, seconds: float) -> None:
        self.clock.sleep(seconds)  # whichever clock there is by then

    def _sent(self, verb: str, vm: Target[AzureParams], **options: Any) -> Handle:  # noqa: ANN401
        name = self._machines.name_of(vm.vm)
        return self._operations.handle(self._arm.verb(verb, name, **options))


def _if(wanted: bool, option: str) -> dict[str, bool]:  # noqa: FBT001
    """An option, left out where it is not wanted: the API's own default holds then."""
    return {option: True} if wanted else {}
