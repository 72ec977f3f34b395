"""The network cards of a VM, and their addresses."""

from __future__ import annotations

from typing import Any

from gce import errors, names, network
from gce.request import Request
from gce.resource import Resource
from gce.world import world

_SUBNET = rf"regions/{names.NAME}/subnetworks/{names.NAME}"


def plan(request: Request) -> list[dict[str, Any]]:
    """The cards as the VM shows them; they get their addresses later."""
    asked = request.body.get("networkInterfaces") or []
    if not asked:
        why = "At least one network interface is required."
        raise errors.invalid("resource.networkInterfaces", "", why)
    return [_card(request, one, index) for index, one in enumerate(asked)]


def _card(request: Request, asked: dict[str, Any], index: int) -> dict[str, Any]:
    at = f"resource.networkInterfaces[{index}]"
    subnet = _subnet(request, asked, at)
    card: dict[str, Any] = {
        "kind": "compute#networkInterface",
        "network": subnet.body["network"],
        "subnetwork": subnet.body["selfLink"],
        "name": f"nic{index}",
        "fingerprint": names.fingerprint([at, subnet.path]),
        "stackType": asked.get("stackType", "IPV4_ONLY"),
    }
    if asked.get("networkIP"):
        card["networkIP"] = asked["networkIP"]
    for field in ("nicType", "aliasIpRanges"):
        if asked.get(field):
            card[field] = asked[field]
    if accesses := asked.get("accessConfigs"):
        card["accessConfigs"] = [_access(request, one, at) for one in accesses]
    return card


def _access(request: Request, asked: dict[str, Any], at: str) -> dict[str, Any]:
    access = {
        "kind": "compute#accessConfig",
        "type": asked.get("type", "ONE_TO_ONE_NAT"),
        "name": asked.get("name") or "external-nat",
        "networkTier": asked.get("networkTier", "PREMIUM"),
    }
    if given := asked.get("natIP"):
        address = _reserved(request, given)
        if address is None or address.body["status"] == "IN_USE":
            why = "The specified external IP address was not found or is in use."
            raise errors.invalid(f"{at}.accessConfigs[0].natIP", given, why)
        access["natIP"] = given
    return access


def _reserved(request: Request, address: str) -> Resource | None:
    place = f"projects/{request.project}/regions/{request.region}"
    some = world.resources["addresses", place].values()
    return next((one for one in some if one.body["address"] == address), None)


def _subnet(request: Request, asked: dict[str, Any], at: str) -> Resource:
    if given := asked.get("subnetwork"):
        field = f"{at}.subnetwork"
        path = names.path_of(given, request.project, field, _SUBNET)
        place, kind, name = path.rsplit("/", 2)
        found = world.find(kind, place, name)
        if found is None:
            why = "The referenced subnetwork resource cannot be found."
            raise errors.invalid(field, given, why)
        if names.last(place) != request.region:
            why = "The subnetwork is not in the region of the instance."
            raise errors.invalid(field, given, why)
        return found
    given = asked.get("network") or "global/networks/default"
    owner = network.of_request(given, request.project, f"{at}.network")
    place = f"projects/{request.project}/regions/{request.region}"
    for one in world.resources["subnetworks", place].values():
        if one.body["network"] == owner.body["selfLink"]:
            if owner.body["autoCreateSubnetworks"]:
                return one
            why = "Subnetwork should be specified for custom subnetmode network"
            raise errors.invalid(f"{at}.subnetwork", "", why)
    why = f"No subnetwork was found for network in region {request.region}."
    raise errors.invalid(f"{at}.network", given, why)


# -- addresses ------------------------------------------------------------------------------------


def give(vm: Resource) -> None:
    """Private addresses, which stay, and public ones unless they are reserved."""
    with vm.changing() as body:
        for card in body["networkInterfaces"]:
            subnet = _of(card["subnetwork"])
            if "networkIP" not in card and subnet is not None:
                card["networkIP"] = network.private_address(subnet)
                vm.hidden.setdefault("given", set()).add(card["networkIP"])
            for access in card.get("accessConfigs", ()):
                if "natIP" in access:
                    _used(vm, access["natIP"])
                else:
                    access["natIP"] = network.public_address()
                    vm.hidden.setdefault("passing", set()).add(access["natIP"])


def take(vm: Resource) -> None:
    """Public addresses are gone, but those that are reserved."""
    passing = vm.hidden.get("passing", set())
    with vm.changing() as body:
        for card in body["networkInterfaces"]:
            for access in card.get("accessConfigs", ()):
                if access.get("natIP") in passing:
                    passing.discard(access.pop("natIP"))


def free(vm: Resource) -> None:
    """All addresses are free."""
    take(vm)
    for card in vm.body["networkInterfaces"]:
        if card.get("networkIP") in vm.hidden.get("given", ()):
            subnet = _of(card["subnetwork"])
            if subnet is not None:
                network.free(subnet, card["networkIP"])
        for access in card.get("accessConfigs", ()):
            _used(None, access.get("natIP", ""))


def _used(vm: Resource | None, given: str) -> None:
    for one in list(world.every()):
        if one.kind == "addresses" and one.body["address"] == given:
            with one.changing() as body:
                body["status"] = "RESERVED" if vm is None else "IN_USE"
                body.pop("users", None)
                if vm is not None:
                    body["users"] = [vm.body["selfLink"]]


def _of(url: str) -> Resource | None:
    place, kind, name = url.removeprefix(names.ROOT).rsplit("/", 2)
    return world.find(kind, place, name)
