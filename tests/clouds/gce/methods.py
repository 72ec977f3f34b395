"""What is done for each method of the API that is served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gce import (
    aggregated,
    changes,
    disks,
    errors,
    images,
    labels,
    launching,
    lists,
    network,
    offers,
    operations,
    power,
    removal,
)
from gce.request import Request
from gce.world import world

_PUBLIC = {"images", "imageFamilyViews", "licenses"}
"""What Google's own projects show to everybody."""
Handler = Callable[[Request], Any]


def _get(request: Request) -> Any:
    return request.found()


_HANDLERS: dict[str, Handler] = {
    "instances.insert": launching.insert,
    "instances.get": _get,
    "instances.list": lists.listed,
    "instances.aggregatedList": aggregated.listed,
    "instances.start": power.start,
    "instances.stop": power.stop,
    "instances.reset": power.reset,
    "instances.suspend": power.suspend,
    "instances.resume": power.resume,
    "instances.delete": power.delete,
    "instances.setLabels": labels.set_labels,
    "instances.setMetadata": changes.set_metadata,
    "instances.setTags": changes.set_tags,
    "instances.setScheduling": changes.set_scheduling,
    "instances.setDeletionProtection": changes.set_deletion_protection,
    "instances.setMachineType": changes.set_machine_type,
    "instances.getSerialPortOutput": changes.serial_port,
    "disks.insert": disks.insert,
    "disks.createSnapshot": images.of_disk,
    "disks.resize": disks.resize,
    "disks.setLabels": labels.set_labels,
    "images.insert": images.insert,
    "images.getFromFamily": images.from_family,
    "imageFamilyViews.get": images.view,
    "licenses.get": images.license_of,
    "images.setLabels": labels.set_labels,
    "snapshots.insert": images.insert,
    "snapshots.setLabels": labels.set_labels,
    "networks.insert": network.insert_network,
    "subnetworks.insert": network.insert_subnetwork,
    "firewalls.insert": network.insert_firewall,
    "addresses.insert": network.insert_address,
    "addresses.setLabels": labels.set_labels,
    "machineTypes.get": offers.get,
    "machineTypes.list": offers.listed,
    "diskTypes.get": offers.get,
    "diskTypes.list": offers.listed,
    "zones.get": offers.zone,
    "zones.list": offers.zones,
    "regions.get": offers.region,
    "regions.list": offers.regions,
    "projects.get": offers.project,
    "globalOperations.aggregatedList": aggregated.listed,
}
for _kind in ("disks", "images", "snapshots", "networks", "subnetworks", "firewalls", "addresses"):
    _HANDLERS |= {
        f"{_kind}.get": _get,
        f"{_kind}.list": lists.listed,
        f"{_kind}.delete": removal.delete,
    }
for _kind in ("zoneOperations", "regionOperations", "globalOperations"):
    _HANDLERS |= {
        f"{_kind}.get": operations.get,
        f"{_kind}.list": lists.listed,
        f"{_kind}.wait": operations.wait,
        f"{_kind}.delete": operations.delete,
    }
for _kind in ("disks", "addresses", "subnetworks", "machineTypes", "diskTypes"):
    _HANDLERS[f"{_kind}.aggregatedList"] = aggregated.listed


def handler(request: Request) -> Handler:
    """What does it; a project, zone or region that there is not is refused."""
    found = _HANDLERS.get(request.method.id)
    if found is None:
        message = f"The emulator does not serve compute.{request.method.id}"
        raise errors.Refused(501, "notImplemented", message)
    known = request.project in world.settings.projects
    if not known and not (request.collection in _PUBLIC and request.http == "GET"):
        raise errors.missing(f"projects/{request.project}")
    offers.need_zone(request)
    return found
