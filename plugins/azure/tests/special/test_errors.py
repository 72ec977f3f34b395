"""What ARM's refusals become: class, code, hint; by the code, never by azure-core's class."""

from __future__ import annotations

from typing import Any

import pytest
from arm_answers import response
from azure.core.exceptions import HttpResponseError, ServiceRequestError
from azure.mgmt.core.exceptions import ARMErrorFormat

from vmops import retry_after
from vmops.errors import (
    AuthError,
    CloudError,
    Conflict,
    NoCapacity,
    QuotaExceeded,
    Throttled,
    Unavailable,
)
from vmops_azure.errors import CODES, caused, read


def refusal(status: int, code: str, message: str = "said", **headers: str) -> HttpResponseError:
    """What the SDK raises for a response."""
    said = {"error": {"code": code, "message": message}}
    return HttpResponseError(
        response=response(status, said, **headers), error_format=ARMErrorFormat
    )


CASES: list[tuple[int, str, str, type[CloudError]]] = [
    (409, "OperationNotAllowed", "exceeding approved Total Regional Cores quota", QuotaExceeded),
    (409, "OperationNotAllowed", "the VM is being deleted", Conflict),
    (429, "OperationNotAllowed", "the server rejected the request", Throttled),
    (429, "SomethingNew", "slow down", Throttled),
    (409, "SkuNotAvailable", "sold out", NoCapacity),
    (409, "PublicIPCountLimitReached", "too many", QuotaExceeded),
    (412, "PreconditionFailed", "it exists", Conflict),
    (403, "AuthorizationFailed", "no role", AuthError),
    (404, "SubscriptionNotFound", "no such", AuthError),
    (500, "InternalServerError", "oops", Unavailable),
    (503, "SomethingNew", "oops", Unavailable),
    (507, "SomethingNew", "oops", Unavailable),
    (408, "RequestTimeout", "slow", Unavailable),
    (412, "ConditionNotMet", "it exists", Conflict),
    (409, "ReferencedResourceNotProvisioned", "wait", Unavailable),
    (500, "AllocationFailed", "no room", NoCapacity),
    (409, "SomethingNew", "no", CloudError),
]


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    CASES,
    ids=[f"{c[0]}-{c[1]}-{c[3].__name__}" for c in CASES],
)
def test_a_refusal_by_its_code(
    status: int, code: str, message: str, kind: type[CloudError]
) -> None:
    """azure-core has one class for all 409; here quota, capacity and conflict are three."""
    fault = read(refusal(status, code, message))
    assert fault is not None
    assert CODES.get(fault.code, CloudError) is kind
    assert fault.request_id == "r-1"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthError), (403, AuthError), (409, Conflict), (412, Conflict), (502, Unavailable)],
)
def test_a_refusal_without_a_code(status: int, kind: type[CloudError]) -> None:
    """A gateway's page has none: the status tells."""
    fault = read(HttpResponseError(response=response(status, "<html>no</html>")))
    assert fault is not None
    assert CODES[fault.code] is kind


def test_the_time_to_wait() -> None:
    """A number, whole or not, or a date by the answer's own clock."""
    date, later = "Thu, 26 Nov 2026 10:00:00 GMT", "Thu, 26 Nov 2026 10:00:07 GMT"
    fault = read(refusal(429, "TooManyRequests", Date=date, **{"Retry-After": later}))
    assert fault is not None
    assert fault.retry_after == 7.0
    assert [retry_after(text, 0.0) for text in ("3", "0.5", "-1", None, "", "soon")] == [
        3.0,
        0.5,
        0.0,
        None,
        None,
        None,
    ]


def test_a_signature_is_not_in_an_error() -> None:
    """What requests says of a connection quotes the URL, whose query is signed."""
    text = "Max retries exceeded with url: /subscriptions/s/operations/1?p=1&s=SIGNATURE (Caused by"
    fault = read(ServiceRequestError(text))
    assert fault is not None
    assert "SIGNATURE" not in fault.message
    assert (fault.code, fault.unsent) == ("ConnectionLost", True)


def test_a_bug_is_no_answer() -> None:
    """What is not azure-core's passes through."""
    assert read(KeyError("x")) is None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "AllocationFailed", "message": "no"}, NoCapacity),
        ({"code": "Canceled", "message": "no"}, CloudError),
        (
            {
                "code": "ResourceOperationFailure",
                "message": "see details",
                "details": [{"code": "SubnetIsFull", "message": "full"}],
            },
            NoCapacity,
        ),
    ],
)
def test_why_an_operation_failed(error: dict[str, Any], kind: type[CloudError]) -> None:
    """By its record's error, or the detail of it whose code is known."""
    found = caused("web-1", error)
    assert type(found) is kind
    assert "web-1" in str(found)
