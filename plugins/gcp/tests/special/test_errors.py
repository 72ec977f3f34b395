"""What GCE's refusals become: class, code, hint; by the reason, never by Google's class."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from gce_answers import refusal
from google.auth.exceptions import RefreshError, TransportError
from requests.exceptions import ConnectionError as ConnectionLost
from requests.exceptions import ReadTimeout
from urllib3.exceptions import MaxRetryError, NewConnectionError

from vmops.errors import (
    AuthError,
    CloudError,
    Conflict,
    InvalidRequest,
    NoCapacity,
    NotFound,
    QuotaExceeded,
    Throttled,
    Unavailable,
)
from vmops_gcp.errors import CODES, caused, read

CASES: list[tuple[int, str, type[CloudError]]] = [
    (403, "rateLimitExceeded", Throttled),
    (403, "userRateLimitExceeded", Throttled),
    (403, "quotaExceeded", QuotaExceeded),
    (403, "forbidden", AuthError),
    (403, "accessNotConfigured", AuthError),
    (429, "somethingNew", Throttled),
    (429, "", Throttled),
    (401, "authError", AuthError),
    (404, "notFound", NotFound),
    (409, "alreadyExists", Conflict),
    (412, "conditionNotMet", Conflict),
    (400, "resourceNotReady", Unavailable),
    (400, "invalid", InvalidRequest),
    (503, "backendError", Unavailable),
    (503, "somethingNew", Unavailable),
    (500, "quotaExceeded", Unavailable),
    (502, "", Unavailable),
    (408, "", Unavailable),
    (401, "", AuthError),
    (403, "", Unavailable),
    (404, "", Unavailable),
    (409, "", Unavailable),
    (400, "SERVICE_ACCOUNT_ACCESS_DENIED", AuthError),
    (409, "somethingNew", CloudError),
]


@pytest.mark.parametrize(
    ("status", "reason", "kind"), CASES, ids=[f"{c[0]}-{c[1] or 'nameless'}" for c in CASES]
)
def test_a_refusal_by_its_reason(status: int, reason: str, kind: type[CloudError]) -> None:
    """Rate limit, quota and permission are one class to Google, and three here."""
    fault = read(refusal(status, reason))
    assert fault is not None
    assert CODES.get(fault.code, CloudError) is kind
    assert fault.unsent == (reason == "resourceNotReady")


def test_the_words_are_googles_alone() -> None:
    """Its library puts the method and the URL before them."""
    fault = read(refusal(403, "forbidden", "Required 'compute.instances.create' permission"))
    assert fault is not None
    assert fault.message == "gcp: Required 'compute.instances.create' permission"


def test_metadata_that_is_quoted_is_not_told() -> None:
    """GCE quotes the value that it refuses, which may be a secret."""
    said = (
        "Invalid value for field 'resource.metadata.items[0].value': '#!/bin/sh\nPW=c4n4ry'. Long."
    )
    fault = read(refusal(400, "invalid", said))
    assert fault is not None
    assert fault.message == "gcp: Invalid value for field 'resource.metadata.items[0].value':..."


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "0.5"}, 0.5),
        (
            {
                "Retry_After": "Thu, 26 Nov 2026 00:00:09 GMT",
                "Date": "Thu, 26 Nov 2026 00:00:00 GMT",
            },
            9.0,
        ),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "nan"}, None),
        ({}, None),
    ],
)
def test_the_time_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    """A number, whole or not, or a date by the answer's own clock."""
    fault = read(refusal(503, "backendError", **headers))
    assert fault is not None
    assert fault.retry_after == seconds


def test_whether_anything_was_sent() -> None:
    """Where no connection was made, or no token was had, nothing can have been carried out."""
    refused = MaxRetryError(None, "/x", NewConnectionError(None, "refused"))  # type: ignore[arg-type]
    for error, unsent in [
        (ConnectionLost(refused), True),
        (ConnectionLost("cut in the middle"), False),
        (ReadTimeout("late"), False),
        (TransportError("metadata server is away"), True),
        (RefreshError("metadata server is away", retryable=True), True),
    ]:
        fault = read(error)
        assert fault is not None
        assert CODES[fault.code] is Unavailable
        assert fault.unsent is unsent


def test_credentials_that_are_over() -> None:
    """What no repetition mends says what to do."""
    fault = read(RefreshError("invalid_grant: revoked"))
    assert fault is not None
    assert CODES[fault.code] is AuthError
    assert "gcloud auth application-default login" in fault.hint


def test_a_bug_is_no_answer() -> None:
    """What is not Google's passes through."""
    assert read(KeyError("x")) is None


@pytest.mark.parametrize(
    ("errors", "kind"),
    [
        ([("ZONE_RESOURCE_POOL_EXHAUSTED", "full")], NoCapacity),
        ([("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "full")], NoCapacity),
        ([("QUOTA_EXCEEDED", "cpus")], QuotaExceeded),
        ([("SOMETHING_NEW", "?"), ("QUOTA_EXCEEDED", "cpus")], QuotaExceeded),
        ([("SOMETHING_NEW", "?")], CloudError),
    ],
)
def test_why_an_operation_failed(errors: list[tuple[str, str]], kind: type[CloudError]) -> None:
    """By the first of its record's errors whose code is known."""
    told: list[Any] = [SimpleNamespace(code=code, message=text) for code, text in errors]
    found = caused("web-1", told)
    assert type(found) is kind
    assert "web-1" in str(found)
