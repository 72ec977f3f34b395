"""Ownership labels rewritten: on a VM and on its boot disk."""

from __future__ import annotations

from typing import Any, Final

from vmops import VM, Tags
from vmops.errors import NotFound
from vmops_gcp.client import Compute
from vmops_gcp.errors import NotGceError
from vmops_gcp.operations import Operations, Record

__all__ = ["rewrite"]

_INSTANCES: Final = "InstancesClient"
_DISKS: Final = "DisksClient"
_ENOUGH: Final = 30.0
"""Seconds for which the end of a change of labels is waited for."""


def rewrite(compute: Compute, operations: Operations, vm: VM, tags: Tags) -> None:
    """Write these labels on a VM and on the disks that are deleted with it, beside the others.

    Raises:
        NotFound: The VM is gone.
        CloudError: GCE refused a change.
    """
    model = compute.get(_INSTANCES, instance=vm.id)
    if model is None:
        raise NotFound(f"gcp: VM {vm.name!r} is gone")
    begun = [_changed(compute, _INSTANCES, "instance", vm.id, model, tags)]
    for disk in model.disks:
        name = disk.source.rpartition("/")[2]
        shown = compute.get(_DISKS, disk=name) if disk.auto_delete and name else None
        if shown is not None:
            begun.append(_changed(compute, _DISKS, "disk", name, shown, tags))
    for record in begun:
        last = record if record.done else operations.wait(record.name, _ENOUGH)
        if error := last.error(vm.name):
            raise error
        if not last.done:
            raise NotGceError(f"the labels of VM {vm.name!r} are still being changed")


def _changed(  # noqa: PLR0913, PLR0917  (one resource, and how it is called)
    compute: Compute,
    client: str,
    kind: str,
    name: str,
    shown: Any,  # noqa: ANN401  (an Instance or a Disk of the SDK)
    tags: Tags,
) -> Record:
    """The operation that merges labels into a resource's own, which must not have changed since."""
    body = {
        "label_fingerprint": shown.label_fingerprint,
        "labels": {**shown.labels, **tags.to_dict()},
    }
    if kind == "instance":
        asked: dict[str, Any] = {"instance": name, "instances_set_labels_request_resource": body}
    else:
        asked = {"resource": name, "zone_set_labels_request_resource": body}
    return Record(compute.call(client, "set_labels_unary", **asked))
