"""The limits that Microsoft publishes, as buckets; what is left stands in the answers' headers.

"Understand how Azure Resource Manager throttles requests" (per subscription, principal and region)
and "Compute throttling limits" (per subscription and region, and per VM).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from uuid import uuid4

from arm.errors import Refused
from arm.paths import Request
from arm.world import world


@dataclass
class Bucket:
    """So many requests at once, and so many a second."""

    size: float
    refill: float
    left: float
    at: float

    def take(self, now: float, factor: float) -> float:
        """Takes one; the seconds until there is one, or 0."""
        rate = self.refill * factor
        self.left = min(self.size, self.left + (now - self.at) * rate)
        self.at = now
        if self.left < 1:
            return (1 - self.left) / rate if rate else 0.0
        self.left -= 1
        return 0.0


_MINUTE = 60.0
ARM = {"reads": (250, 25.0), "writes": (200, 10.0), "deletes": (200, 10.0)}
# (name, size, a minute) and, for those that count each resource apart, size and a minute again
COMPUTE = {
    "PutVM": (1500, 500, 12, 4),
    "UpdateVM": (1500, 500, 12, 4),
    "DeleteVM": (1500, 500, 12, 4),
    "LowCostGet": (24000, 8000, 36, 12),
    "HighCostGet": (900, 300, 0, 0),
    "GetOperation": (15000, 5000, 45, 15),
    "GetSubscriptionInfo": (360, 120, 0, 0),
}
# (method, type or verb) to the name that a request counts for; these have no limits here
_OTHERS = {
    ("PUT", "disks"): "CreateUpdateDisks",
    ("PATCH", "disks"): "CreateUpdateDisks",
    ("DELETE", "disks"): "DeleteDisks",
    ("POST", "disks"): "HighCostDiskHydrate",
    ("PUT", "snapshots"): "HighCostSnapshotCreateHydrate",
    ("PATCH", "snapshots"): "CreateUpdateDisks",
    ("DELETE", "snapshots"): "DeleteDisks",
    ("POST", "snapshots"): "HighCostSnapshotCreateHydrate",
    ("PUT", "images"): "CreateImages",
    ("PATCH", "images"): "CreateImages",
    ("GET", "images"): "GetImages",
    ("DELETE", "images"): "DeleteImages",
    ("PUT", "proximityplacementgroups"): "PutDeletePPG",
    ("PATCH", "proximityplacementgroups"): "PutDeletePPG",
    ("DELETE", "proximityplacementgroups"): "PutDeletePPG",
    ("GET", "proximityplacementgroups"): "HighCostGet",
    ("GET", "offers"): "ListVMImageOffersFromLocation",
    ("GET", "skus"): "ListVMImageSkusFromLocation",
    ("GET", "versions"): "ListVMImagesVersionsFromLocation",
}
_FREE = (100_000, 100_000, 0, 0)


def limited(request: Request) -> dict[str, str]:
    """Takes from all buckets that a request counts for; the headers that tell what is left."""
    name = {"GET": "reads", "HEAD": "reads", "DELETE": "deletes"}.get(request.method, "writes")
    size, refill = ARM[name]
    left = _take(("arm", name, request.headers.get("authorization", "")), size, refill)
    found = {f"x-ms-ratelimit-remaining-subscription-{name}": left}
    if request.provider == "microsoft.network":
        found["x-ms-arm-service-request-id"] = str(uuid4())
    if request.provider != "microsoft.compute" or not request.types:
        return found
    kind = _compute(request)
    size, per_minute, own_size, own_minute = COMPUTE.get(kind, _FREE)
    left = _take(("compute", kind), size, per_minute / _MINUTE)
    shown = f"Microsoft.Compute/{kind}SubscriptionMaximum;{left}"
    if own_size and request.names:
        left = _take(("compute", kind, request.id.lower()), own_size, own_minute / _MINUTE)
        shown += f",Microsoft.Compute/{kind}Resource;{left}"
    return {**found, "x-ms-ratelimit-remaining-resource": shown}


def _compute(request: Request) -> str:
    last = request.verb.lower() if request.types[0] == "locations" else request.types[0]
    if (request.method, last) in _OTHERS:
        return _OTHERS[request.method, last]
    if request.method == "GET":
        return _read(request, last)
    if request.types[-1] == "extensions":
        return "UpdateVM"
    if request.method == "DELETE" or request.verb.lower() in {"deallocate", "simulateeviction"}:
        return "DeleteVM"
    return "PutVM" if request.method in {"PUT", "PATCH"} else "UpdateVM"


def _read(request: Request, last: str) -> str:
    if "operations" in request.types[-1]:
        return "GetOperation"
    if request.types[-1] == "versions":
        return "GetVMImageFromLocation"
    if request.types[0] in {"locations", "skus"}:
        return "HighCostGet" if last == "virtualmachines" else "GetSubscriptionInfo"
    return "LowCostGet" if request.names else "HighCostGet"


def _take(key: tuple[str, ...], size: float, refill: float) -> str:
    factor, now = world.settings.rate_limits, world.now()
    bucket = world.buckets.setdefault(key, Bucket(size, refill, size, now))
    if not factor:
        return str(int(size) - 1)
    wait = bucket.take(now, factor)
    if wait > 0:
        after = {"Retry-After": str(ceil(wait))}
        if key[0] == "compute":
            message = f"The server rejected the request because too many {key[1]} came."
            raise Refused(429, "OperationNotAllowed", message, after)
        message = f"Number of {key[1]} for this subscription and principal exceeded its limit."
        raise Refused(429, "SubscriptionRequestsThrottled", message, after)
    return str(int(bucket.left))
