"""Ownership labels rewritten: on a VM and on the disks that are deleted with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from vmops import VM, Tags
from vmops.errors import NotFound
from vmops_gcp.client import Compute
from vmops_gcp.errors import NotGceError, read
from vmops_gcp.operations import Operations, Record

__all__ = ["rewrite"]

_INSTANCES: Final = "InstancesClient"
_DISKS: Final = "DisksClient"
_ENOUGH: Final = 30.0
"""Seconds for which the end of a change of labels is waited for."""
_ATTEMPTS: Final = 4


def rewrite(compute: Compute, operations: Operations, vm: VM, tags: Tags) -> None:
    """Write these labels on a VM and on the disks that are deleted with it, beside the others.

    Raises:
        NotFound: The VM is gone.
        CloudError: GCE refused a change.
    """

    def change_vm(shown: Any) -> Record:  # noqa: ANN401  (an Instance of the SDK)
        body = _merged(shown, tags)
        answer = compute.call(
            _INSTANCES,
            "set_labels_unary",
            instance=vm.id,
            instances_set_labels_request_resource=body,
        )
        return Record(answer)

    def change_disk(shown: Any) -> Record:  # noqa: ANN401  (a Disk of the SDK)
        body = _merged(shown, tags)
        answer = compute.call(
            _DISKS,
            "set_labels_unary",
            resource=shown.name,
            zone_set_labels_request_resource=body,
        )
        return Record(answer)

    model = compute.get(_INSTANCES, instance=vm.id)
    if model is None:
        raise NotFound(f"gcp: VM {vm.name!r} is gone")
    look = partial(compute.get, _INSTANCES, instance=vm.id)
    begun = [_unless_changed(model, look, change_vm)]
    for disk in model.disks:
        name = disk.source.rpartition("/")[2]
        if disk.auto_delete and name:
            look = partial(compute.get, _DISKS, disk=name)
            begun.append(_unless_changed(look(), look, change_disk))
    for record in begun:
        if record is not None:
            _finish(operations, record, vm)


def _merged(shown: Any, tags: Tags) -> dict[str, Any]:  # noqa: ANN401
    """A resource's labels with ours, and the fingerprint of those that they take the place of."""
    return {
        "label_fingerprint": shown.label_fingerprint,
        "labels": {**shown.labels, **tags.to_dict()},
    }


def _unless_changed(
    shown: Any,  # noqa: ANN401
    look: Callable[[], Any],
    change: Callable[[Any], Record],
) -> Record | None:
    """The change of a resource as it is shown; None if there is none.

    Who changes labels at the same time makes GCE refuse this one: it is made again, of the new.
    """
    for attempt in range(_ATTEMPTS):
        shown = look() if attempt else shown
        if shown is None:
            return None
        try:
            return change(shown)
        except Exception as exc:
            fault = read(exc)
            if fault is None or fault.code != "conditionNotMet" or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _finish(operations: Operations, record: Record, vm: VM) -> None:
    last = record if record.done else operations.wait(record.name, _ENOUGH)
    if error := last.error(vm.name):
        raise error
    if not last.done:
        raise NotGceError(f"the labels of VM {vm.name!r} are still being changed")
