"""DescribeInstances: which, in what order, page by page."""

from __future__ import annotations

import base64
import binascii
from itertools import groupby
from typing import Any

from ec2.errors import Refused
from ec2.filters import check, select
from ec2.machine import Machine
from ec2.record import BEYOND, GETTERS, record
from ec2.verbs import known
from ec2.world import Home, world


def _most(asked: Any) -> int | None:
    if asked is None:
        return None
    if not 5 <= int(asked) <= 1000:
        raise Refused(
            "InvalidParameterValue",
            f"Value ( {asked} ) for parameter maxResults is invalid. "
            "Expecting a value between 5 and 1000.",
        )
    return int(asked)


def _after(token: str | None) -> int:
    if not token:
        return -1
    try:
        return int(base64.b64decode(token, validate=True))
    except (binascii.Error, ValueError):
        raise Refused("InvalidNextToken", f"Invalid value '{token}' for nextToken.") from None


def describe(backend: Any, params: dict[str, Any]) -> dict[str, Any]:
    """A page of reservations.

    Pages count instances, and a reservation may go on on the next page: the hardest case that EC2's
    documents allow. A token tells the last instance seen, so that no change in between loses one.
    """
    home: Home = world.home(backend)
    ids, filters = params.get("InstanceIds") or [], params.get("Filters") or []
    most, after = _most(params.get("MaxResults")), _after(params.get("NextToken"))
    if ids and most is not None:
        raise Refused(
            "InvalidParameterCombination",
            "The parameter instancesSet cannot be used with the parameter maxResults",
        )
    check(filters)
    machines = known(home, ids) if ids else [m for m in home.machines.values() if m.visible]
    found = select(machines, filters, GETTERS, BEYOND)
    found = sorted((m for m in found if m.sequence > after), key=lambda m: m.sequence)
    page = found[:most]
    token = None
    if len(found) > len(page):
        token = base64.b64encode(str(page[-1].sequence).encode()).decode()
    return {"Reservations": _reservations(backend, page), "NextToken": token}


def _reservations(backend: Any, page: list[Machine]) -> list[dict[str, Any]]:
    return [
        {
            "ReservationId": reservation,
            "OwnerId": backend.account_id,
            "Groups": [],
            "Instances": [record(m, state=m.told_state) for m in machines],
        }
        for reservation, machines in groupby(page, key=lambda m: m.reservation_id)
    ]
