"""Virtual machines: made, run, changed and deleted, each by an operation with a record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from arm import checks, launching, power
from arm.errors import Refused
from arm.kinds import Answer, Kind
from arm.operations import Operation, begin, stamp
from arm.paths import Request
from arm.power import conflict, no_room
from arm.views import instance_view
from arm.world import Resource, world


class Machine(Kind):
    """A virtual machine."""

    type = "Microsoft.Compute/virtualMachines"
    seconds = "create"
    create = (201, "AN", "Creating")
    update = (200, "AN", "Updating")
    patch = (200, "AN", "Updating")
    delete = (202, "ALN")
    etags = False

    def check(self, request: Request, old: Resource | None) -> None:
        """See `checks`."""
        checks.created(request, old)
        if old is not None:
            self.may_change(old, request)

    def may_change(self, resource: Resource, request: Request) -> None:
        """Not while it is being deleted, and not everything."""
        if resource.state == "Deleting":
            raise conflict(resource, "it is being deleted")
        checks.changed(request, resource)

    def shape(self, resource: Resource, request: Request) -> None:
        """Secrets are not shown again; the id, the disks and all else that ARM adds are."""
        properties = resource.properties
        guest = properties.get("osProfile")
        if guest is not None:
            guest.pop("adminPassword", None)
            guest.pop("customData", None)
            guest.setdefault("secrets", [])
            guest["allowExtensionOperations"] = True
            guest["requireGuestProvisionSignal"] = True
            launching.dress_guest(guest, request, windows=launching.is_windows(properties))
        if (identity := resource.body.get("identity")) is not None:
            who = resource.hidden.setdefault("principal", str(uuid4()))
            identity.update(principalId=who, tenantId=str(UUID(int=1)))
        image = properties.get("storageProfile", {}).get("imageReference")
        if image is not None and "publisher" in image:
            image.setdefault("exactVersion", "1.0.0")
        if request.since("2021-11-01"):
            properties["timeCreated"] = stamp(resource.since)
        properties["vmId"] = resource.hidden.setdefault("vmId", str(uuid4()))
        resource.hidden.setdefault("power", "")
        resource.hidden["asked"] = dict(properties.get("storageProfile", {}).get("osDisk") or {})
        launching.equip(resource, request)
        launching.dress(properties, request)

    def failure(self, resource: Resource) -> dict[str, Any] | None:
        """There may be no room for its size."""
        if resource.state == "Creating":
            return no_room(resource)
        return None

    def made(self, resource: Resource, error: dict[str, Any] | None) -> None:
        """It runs, if it could be made."""
        if resource.state not in {"Creating", "Updating"}:
            return
        first = resource.state == "Creating"
        resource.state = "Failed" if error else "Succeeded"
        resource.hidden["error"] = error
        if first:
            resource.hidden["power"] = "" if error else "running"

    def view(self, resource: Resource, request: Request) -> dict[str, Any]:
        """With its extensions, and its instance view where that is asked for."""
        shown = super().view(resource, request)
        properties, expanded = shown["properties"], request.query.get("$expand", "").lower()
        if "userdata" not in expanded:
            properties.pop("userData", None)
        if resource.state == "Creating":  # its disks are not named yet
            storage = properties["storageProfile"]
            for disk in [storage["osDisk"], *storage["dataDisks"]]:
                disk["managedDisk"].pop("id", None)
            for disk in storage["dataDisks"]:
                disk.pop("name", None)
            asked = resource.hidden["asked"]
            if "name" not in asked:
                storage["osDisk"].pop("name", None)
            if not asked:
                storage["osDisk"].pop("diskSizeGB", None)
        if "instanceview" in expanded:
            properties["instanceView"] = instance_view(resource)
        if extensions := list(world.below(EXTENSIONS.key, resource.id)):
            shown["resources"] = [EXTENSIONS.view(one, request) for one in extensions]
        return shown

    def in_list(self, resource: Resource, request: Request) -> dict[str, Any]:
        """With `statusOnly`, little more than how it stands."""
        if request.query.get("statusonly", "").lower() != "true":
            shown = self.view(resource, request)
            if "resources" in shown:
                shown["resources"] = [{"id": one["id"]} for one in shown["resources"]]
            return shown
        return {
            "name": resource.name,
            "id": resource.id,
            "type": self.type,
            "location": resource.body["location"],
            "properties": {
                "vmId": resource.properties["vmId"],
                "provisioningState": resource.state,
                "instanceView": instance_view(resource),
            },
        }

    def visible(self, resource: Resource) -> bool:
        """Not at once, if the settings say so."""
        return world.now() - resource.since >= world.settings.invisible

    def act(self, resource: Resource, request: Request) -> Answer:
        """A verb, or what there is below a VM."""
        verb = request.verb.lower()
        if request.method == "GET":
            return self._below(resource, request, verb)
        if verb in power.ACTS:
            return power.begun(resource, request, verb)
        if verb == "generalize":
            resource.hidden["generalized"] = True
            return 200, None, {}
        if verb == "simulateeviction":
            self.evict(resource)
            return 204, None, {}
        if verb in _REFUSED:
            code, message = _REFUSED[verb]
            raise Refused(409, code, message)
        return super().act(resource, request)

    def _below(self, resource: Resource, request: Request, verb: str) -> Answer:
        if verb == "instanceview":
            return 200, instance_view(resource), {}
        if verb == "vmsizes":
            return 200, {"value": [_SIZE]}, {}
        return super().act(resource, request)

    def deleting(
        self,
        request: Request,
        resource: Resource,
        done: Callable[[dict[str, Any] | None], None],
    ) -> Operation:
        """Whatever else is under way ends with it."""
        power.preempt(resource)
        return begin(Operation("delete", request, resource, done))

    def gone(self, resource: Resource) -> None:
        """See `launching.strip`."""
        launching.strip(resource)
        for one in list(world.below(EXTENSIONS.key, resource.id)):
            world.remove(one)

    def evict(self, vm: Resource) -> None:
        """A spot VM is taken away, as its policy says."""
        if vm.properties.get("priority") != "Spot":
            raise Refused(409, "OperationNotAllowed", f"VM '{vm.name}' is no spot VM.")
        power.preempt(vm)
        if vm.properties.get("evictionPolicy") == "Delete":
            world.remove(vm)
            self.gone(vm)
        else:
            vm.state = "Succeeded"
            vm.hidden["power"] = "deallocated"


class Extension(Kind):
    """Something that runs in a VM."""

    type = "Microsoft.Compute/virtualMachines/extensions"
    seconds = "restart"
    create = (201, "AN", "Creating")
    update = (200, "AN", "Updating")
    patch = (200, "AN", "Updating")
    etags = False

    def shape(self, resource: Resource, request: Request) -> None:
        """Its secrets are not shown."""
        resource.properties.pop("protectedSettings", None)


EXTENSIONS = Extension()


_REFUSED = {
    "converttomanageddisks": (
        "OperationNotAllowed",
        "VM already is using managed disks.",
    ),
    "performmaintenance": (
        "OperationNotAllowed",
        "Maintenance is not scheduled for this virtual machine.",
    ),
    "reimage": (
        "OperationNotAllowed",
        "The Reimage operation is only supported for VMs with ephemeral OS disks.",
    ),
}


_SIZE = {
    "name": "Standard_D2s_v5",
    "numberOfCores": 2,
    "osDiskSizeInMB": 1047552,
    "resourceDiskSizeInMB": 16384,
    "memoryInMB": 8192,
    "maxDataDiskCount": 4,
}
