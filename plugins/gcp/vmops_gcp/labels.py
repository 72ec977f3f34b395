"""Ownership labels rewritten: on a VM and on the disks that are deleted with it."""

from __future__ import annotations

from typing import Any, Final

from vmops import VM, Tags
from vmops.errors import Conflict, NotFound
from vmops_gcp.client import Compute
from vmops_gcp.errors import NotGceError, read
from vmops_gcp.operations import Operations, Record

__all__ = ["rewrite"]

_ENOUGH: Final = 30.0
"""Seconds for which the end of a change of labels is waited for."""
_ATTEMPTS: Final = 4
_BODIES: Final = {
    "InstancesClient": ("instance", "instance", "instances_set_labels_request_resource"),
    "DisksClient": ("disk", "resource", "zone_set_labels_request_resource"),
}
"""Client -> how its get and its setLabels call the resource, and the new labels."""


def rewrite(compute: Compute, operations: Operations, vm: VM, tags: Tags) -> None:
    """Write these labels on a VM and on the disks that are deleted with it, beside the others.

    Raises:
        NotFound: The VM is gone.
        Conflict: It is not the one that was described any more: another install has taken it over.
        CloudError: GCE refused a change.
    """
    model = compute.get("InstancesClient", instance=vm.id)
    if model is None:
        raise NotFound(f"gcp: VM {vm.name!r} is gone")
    begun = {
        ("InstancesClient", vm.id): _changed(compute, "InstancesClient", vm.id, model, vm, tags)
    }
    for disk in model.disks:
        zonal, _, name = disk.source.rpartition("/disks/")
        if disk.auto_delete and name and "/regions/" not in zonal:
            shown = compute.get("DisksClient", disk=name)
            begun["DisksClient", name] = _changed(compute, "DisksClient", name, shown, vm, tags)
    for (client, name), record in begun.items():
        if record is not None and not _finished(operations, record, vm):
            _confirm(compute, client, name, vm, tags)


def _changed(  # noqa: PLR0913, PLR0917  (a resource, and what is to become of it)
    compute: Compute,
    client: str,
    name: str,
    shown: Any,  # noqa: ANN401  (an Instance or Disk of the SDK)
    vm: VM,
    tags: Tags,
) -> Record | None:
    """The operation that merges labels into those of a resource; None if there is none.

    Who changes labels at the same time makes GCE refuse this one: it is made again, of the new.
    """
    got, put, body = _BODIES[client]
    for attempt in range(_ATTEMPTS):
        if attempt:
            shown = compute.get(client, **{got: name})
        if shown is None:
            return None
        _check(shown, vm)
        asked: dict[str, Any] = {put: name, body: _merged(shown, tags)}
        try:
            return Record(compute.call(client, "set_labels_unary", **asked))
        except Exception as exc:
            fault = read(exc)
            if fault is None or fault.code != "conditionNotMet" or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _check(shown: Any, vm: VM) -> None:  # noqa: ANN401  (an Instance or Disk of the SDK)
    """Nobody else has taken the VM over since it was described."""
    found = Tags.from_dict(shown.labels)
    if found is None or vm.tags is None:
        return
    if (found.owner, found.token) != (vm.tags.owner, vm.tags.token):
        raise Conflict(
            f"gcp: {shown.name!r} belongs to vmops install {found.owner!r} by now",
            hint="leave it to that one",
        )


def _merged(shown: Any, tags: Tags) -> dict[str, Any]:  # noqa: ANN401
    """A resource's labels with ours, and the fingerprint of those that they take the place of."""
    return {
        "label_fingerprint": shown.label_fingerprint,
        "labels": {**shown.labels, **tags.to_dict()},
    }


def _finished(operations: Operations, record: Record, vm: VM) -> bool:
    """Whether a change of labels is over; False where GCE has forgotten it meanwhile."""
    try:
        last = record if record.done else operations.wait(record.name, _ENOUGH)
    except Exception as exc:
        fault = read(exc)
        if fault is None or fault.code != "notFound":
            raise
        return False
    if error := last.error(vm.name):
        raise error
    if not last.done:
        raise NotGceError(f"the labels of VM {vm.name!r} are still being changed")
    return True


def _confirm(compute: Compute, client: str, name: str, vm: VM, tags: Tags) -> None:
    """The labels are written, as the resource itself shows; one that is gone needs none."""
    got, _, _ = _BODIES[client]
    shown = compute.get(client, **{got: name})
    if shown is not None and Tags.from_dict(shown.labels) != tags:
        raise NotGceError(f"the labels of VM {vm.name!r} may not have been changed")
