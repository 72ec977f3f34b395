"""Errors with which operations end."""

from __future__ import annotations

from typing import Any

_HTTP = {
    "QUOTA_EXCEEDED": (403, "FORBIDDEN"),
    "ZONE_RESOURCE_POOL_EXHAUSTED": (503, "SERVICE UNAVAILABLE"),
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": (503, "SERVICE UNAVAILABLE"),
    "RESOURCE_NOT_FOUND": (404, "NOT FOUND"),
    "OPERATION_CANCELED_BY_USER": (409, "CONFLICT"),
    "RESOURCE_ALREADY_EXISTS": (409, "CONFLICT"),
    "CONDITION_NOT_MET": (412, "PRECONDITION FAILED"),
    "PERMISSIONS_ERROR": (403, "FORBIDDEN"),
    "RATE_LIMIT_EXCEEDED": (403, "FORBIDDEN"),
    "INTERNAL_ERROR": (500, "INTERNAL ERROR"),
    "TIMEOUT": (500, "INTERNAL ERROR"),
}
_HELP = "https://cloud.google.com/compute/docs/resource-error"


def http(code: str) -> tuple[int, str]:
    """The HTTP status and its text that an operation shows for an error's code."""
    return _HTTP.get(code, (400, "BAD REQUEST"))


def cancelled() -> dict[str, Any]:
    """The VM was deleted before it was made."""
    return {
        "code": "OPERATION_CANCELED_BY_USER",
        "message": "Operation was canceled by user ''.",
    }


def no_room(project: str, zone: str, machine_type: str) -> dict[str, Any]:
    """The zone has no room for such a VM."""
    message = (
        f"The zone 'projects/{project}/zones/{zone}' does not have enough resources available to"
        " fulfill the request.  '(resource type:compute)'."
    )
    said = (
        f"A {machine_type} VM instance is currently unavailable in the {zone} zone. Consider trying"
        " your request in another zone, requesting a different VM hardware configuration or at a"
        " later time. For more information, see the troubleshooting documentation."
    )
    reason = {
        "reason": "resource_availability",
        "domain": "compute.googleapis.com",
        "metadatas": {"vmType": machine_type, "attachment": "", "zone": zone, "zonesAvailable": ""},
    }
    return {
        "code": "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS",
        "message": message,
        "errorDetails": [
            {"help": {"links": [{"description": "Troubleshooting documentation", "url": _HELP}]}},
            {"localizedMessage": {"locale": "en-US", "message": said}},
            {"errorInfo": reason},
        ],
    }


def quota(metric: str, limit: float, region: str) -> dict[str, Any]:
    """A region's quota does not allow it."""
    return {
        "code": "QUOTA_EXCEEDED",
        "message": f"Quota '{metric}' exceeded.  Limit: {limit:.1f} in region {region}.",
        "errorDetails": [
            {
                "quotaInfo": {
                    "metricName": f"compute.googleapis.com/{metric.lower()}",
                    "limitName": f"{metric.replace('_', '-')}-per-project-region",
                    "dimensions": {"region": region},
                    "limit": float(limit),
                }
            }
        ],
    }
