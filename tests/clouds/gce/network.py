"""Networks, subnetworks, firewalls and addresses."""

from __future__ import annotations

import heapq
from ipaddress import ip_address, ip_network
from typing import Any

from gce import errors, names
from gce.catalogue import REGIONS
from gce.operations import Error, Plan, begin
from gce.request import Request
from gce.resource import Resource, made
from gce.world import world

_FIREWALLS: dict[str, list[dict[str, Any]]] = {
    "default-allow-icmp": [{"IPProtocol": "icmp"}],
    "default-allow-ssh": [{"IPProtocol": "tcp", "ports": ["22"]}],
    "default-allow-rdp": [{"IPProtocol": "tcp", "ports": ["3389"]}],
}
_RULE = {"priority": 1000, "direction": "INGRESS", "disabled": False}


def default(project: str) -> None:
    """The network that each new project has."""
    place = f"projects/{project}/global"
    network = _network(place, "default", auto=True)
    for name, allowed in _FIREWALLS.items():
        rule = made("firewalls", place, name, kind="compute#firewall", allowed=allowed, **_RULE)
        rule.body |= {
            "network": network.body["selfLink"],
            "sourceRanges": ["0.0.0.0/0"],
            "logConfig": {"enable": False},
        }
        world.add(rule)


def _network(place: str, name: str, *, auto: bool) -> Resource:
    network = made(
        "networks",
        place,
        name,
        kind="compute#network",
        autoCreateSubnetworks=auto,
        routingConfig={"routingMode": "REGIONAL"},
        networkFirewallPolicyEnforcementOrder="AFTER_CLASSIC_FIREWALL",
    )
    world.add(network)
    for region, (_, byte) in REGIONS.items() if auto else ():
        project = place.split("/")[1]
        _subnet(f"projects/{project}/regions/{region}", name, network, f"10.{byte}.0.0/20")
    return network


def _subnet(place: str, name: str, network: Resource, range_: str) -> Resource:
    subnet = made(
        "subnetworks",
        place,
        name,
        kind="compute#subnetwork",
        network=network.body["selfLink"],
        ipCidrRange=range_,
        gatewayAddress=range_.partition("/")[0].rpartition(".")[0] + ".1",
        region=names.url(place),
        privateIpGoogleAccess=False,
        fingerprint=names.fingerprint(name),
        purpose="PRIVATE",
        stackType="IPV4_ONLY",
    )
    world.add(subnet)
    with network.changing() as body:
        body.setdefault("subnetworks", []).append(subnet.body["selfLink"])
    return subnet


# -- methods --------------------------------------------------------------------------------------


def insert_network(request: Request) -> dict[str, Any]:
    """A network, with subnetworks everywhere unless that is not wanted."""
    name = request.new_name()
    auto = request.body.get("autoCreateSubnetworks", True)
    return _made(request, _network(request.place, name, auto=auto))


def insert_subnetwork(request: Request) -> dict[str, Any]:
    """A subnetwork."""
    name, body = request.new_name(), request.body
    network = of_request(body.get("network", ""), request.project, "resource.network")
    if not body.get("ipCidrRange"):
        raise errors.invalid("resource.ipCidrRange", "", "Required field not specified.")
    return _made(request, _subnet(request.place, name, network, body["ipCidrRange"]))


def insert_firewall(request: Request) -> dict[str, Any]:
    """A firewall rule."""
    name, body = request.new_name(), request.body
    given = body.get("network") or "global/networks/default"
    network = of_request(given, request.project, "resource.network")
    rule = made("firewalls", request.place, name, kind="compute#firewall")
    rule.body = {**rule.body, **_RULE, **body, "network": network.body["selfLink"], "name": name}
    world.add(rule)
    return _made(request, rule)


def insert_address(request: Request) -> dict[str, Any]:
    """A reserved public address."""
    name = request.new_name()
    address = made(
        "addresses",
        request.place,
        name,
        kind="compute#address",
        address=public_address(),
        status="RESERVED",
        addressType="EXTERNAL",
        networkTier="PREMIUM",
        labelFingerprint=names.fingerprint({}),
    )
    if request.params.get("region"):
        address.body["region"] = names.url(request.place)
    world.add(address)
    return _made(request, address)


def _made(request: Request, resource: Resource) -> dict[str, Any]:
    def ended(error: Error | None) -> None:
        if error is not None:
            world.remove(resource)

    seconds = world.settings.others
    plan = Plan("insert", resource.path, resource.body["id"], seconds, ended=ended)
    plan.target = resource
    return begin(plan, request.place, request)


def of_request(given: str, project: str, field: str) -> Resource:
    """The network that a field names."""
    path = names.path_of(given, project, field, rf"global/networks/{names.NAME}")
    place, kind, name = path.rsplit("/", 2)
    if (found := world.find(kind, place, name)) is None:
        raise errors.invalid(field, given, "The referenced network resource cannot be found.")
    return found


# -- addresses ------------------------------------------------------------------------------------


def public_address() -> str:
    """One that nobody has."""
    world.given += 1
    return f"34.{76 + (world.given >> 16) % 64}.{world.given >> 8 & 255}.{world.given & 255}"


def private_address(subnet: Resource) -> str:
    """The lowest free one of a subnetwork."""
    if freed := world.freed[subnet.path]:
        number = heapq.heappop(freed)
    else:
        world.taken[subnet.path] += 1
        number = world.taken[subnet.path]
    base = ip_network(subnet.body["ipCidrRange"]).network_address
    return str(base + number)


def free(subnet: Resource, address: str) -> None:
    """A private address is free again."""
    base = ip_network(subnet.body["ipCidrRange"]).network_address
    heapq.heappush(world.freed[subnet.path], int(ip_address(address)) - int(base))
