"""The limits on requests that Google sets: for a project, for a region, for a kind of request.

"Rate quotas for the Compute Engine API": 1,500 a minute for most, 750 for what is heavy. Here they
are refilled continuously.
"""

from __future__ import annotations

from dataclasses import dataclass

from gce.errors import Refused
from gce.request import Request
from gce.tokens import NUMBER
from gce.world import world

PER_MINUTE = {
    "default": 1500,
    "read": 1500,
    "list": 1500,
    "operation_read": 1500,
    "heavy_weight_read": 750,
}

_HELP = {
    "@type": "type.googleapis.com/google.rpc.Help",
    "links": [
        {
            "description": "Request a higher quota limit.",
            "url": "https://cloud.google.com/docs/quotas/help/request_increase",
        }
    ],
}


@dataclass
class Bucket:
    """So many requests at once, and so many a second."""

    size: float
    left: float
    at: float

    def take(self, now: float, factor: float) -> bool:
        """Whether there was one to take."""
        rate = self.size / 60 * factor
        self.left = min(self.size, self.left + (now - self.at) * rate)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


def kind_of(request: Request) -> str:
    """The limit that a request counts for."""
    if request.verb in {"wait", "aggregatedList"}:
        return "heavy_weight_read"
    if request.http != "GET":
        return "default"
    if request.verb == "list":
        return "list"
    return "operation_read" if request.collection.endswith("Operations") else "read"


def limited(request: Request) -> None:
    """Takes one from the bucket that a request counts for."""
    factor, now = world.settings.rate_limits, world.now()
    if not factor:
        return
    kind, scope = kind_of(request), request.region or "global"
    size = PER_MINUTE[kind]
    bucket = world.buckets.setdefault((request.project, scope, kind), Bucket(size, size, now))
    if not bucket.take(now, factor):
        raise _refused(kind, scope, size)


def _refused(kind: str, scope: str, size: int) -> Refused:
    everywhere = scope == "global"
    said = "Queries" if kind == "default" else f"{kind.replace('_', ' ').capitalize()} requests"
    name = (kind if kind == "default" else f"{kind}_requests") + (
        "" if everywhere else "_per_region"
    )
    words = "default" if kind == "default" else f"{kind}_requests".title().replace("_", "")
    limit = f"{words}PerMinutePerProject{'' if everywhere else 'PerRegion'}"
    message = (
        f"Quota exceeded for quota metric '{said}{'' if everywhere else ' per region'}' and limit"
        f" '{said} per minute{'' if everywhere else ' per region'}' of service"
        f" 'compute.googleapis.com' for consumer 'project_number:{NUMBER}'."
    )
    detail = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "RATE_LIMIT_EXCEEDED",
        "domain": "googleapis.com",
        "metadata": {
            "service": "compute.googleapis.com",
            "consumer": f"projects/{NUMBER}",
            "quota_metric": f"compute.googleapis.com/{name}",
            "quota_limit": limit,
            "quota_limit_value": str(size),
            "quota_location": scope,
        },
    }
    return Refused(
        403,
        "rateLimitExceeded",
        message,
        domain="usageLimits",
        status="PERMISSION_DENIED",
        details=[detail, _HELP],
    )
