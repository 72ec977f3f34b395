"""What a refusal becomes: by the status of the answer and the provider's words, never by class."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from libcloud.common.exceptions import exception_from_message
from libcloud.common.types import (
    InvalidCredsError,
    LibcloudError,
    MalformedResponseError,
    ProviderError,
)
from requests.exceptions import ConnectionError as ConnectionLost
from requests.exceptions import ReadTimeout, TooManyRedirects
from urllib3.exceptions import MaxRetryError, NewConnectionError

from vmops.errors import (
    AuthError,
    CloudError,
    Conflict,
    InvalidRequest,
    NoCapacity,
    NotFound,
    NotSupported,
    QuotaExceeded,
    Throttled,
    Unavailable,
)
from vmops_libcloud.errors import CODES, CallError, as_error, is_expired, read
from vmops_libcloud.wire import Exchange

JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html; charset=UTF-8"}
Refusals = list[tuple[int, str, type[CloudError]]]

REFUSALS: Refusals = [
    (400, "Invalid input", InvalidRequest),
    (401, "The request you have made requires authentication.", AuthError),
    (402, "no money", CloudError),
    (403, "Policy doesn't allow servers:create to be performed.", AuthError),
    (403, "Quota exceeded for cores: Requested 1, but already used 20 of 20 cores", QuotaExceeded),
    (422, "creating this will exceed your droplet limit", QuotaExceeded),
    (400, "Maximum number of VMs reached", QuotaExceeded),
    (404, "Instance could not be found", NotFound),
    (404, "no quota record", NotFound),
    (409, "Cannot 'os-stop' instance while it is in task_state powering-off", Conflict),
    (400, "No valid host was found. There are not enough hosts available.", NoCapacity),
    (409, "plan is sold out in that region", NoCapacity),
    (413, "Request entity too large", InvalidRequest),
    (422, "size is not available", InvalidRequest),
    (423, "locked", Conflict),
    (429, "slow down", Throttled),
    (500, "quota service is down", Unavailable),
    (501, "not here", NotSupported),
    (503, "down", Unavailable),
    (599, "strange", Unavailable),
]


@pytest.mark.parametrize(
    ("status", "said", "kind"), REFUSALS, ids=[f"{r[0]}-{r[1][:12]}" for r in REFUSALS]
)
@pytest.mark.parametrize("raised", ["http", "provider", "plain", "unseen"])
def test_a_refusal(raised: str, status: int, said: str, kind: type[CloudError]) -> None:
    """In whichever of libcloud's ways it is raised, and whether its answer was seen or not."""
    cause: Exception = exception_from_message(status, f"{status} X {said}")
    if raised == "provider":
        cause = ProviderError(said, status)
    elif raised == "plain":
        cause = Exception(f"{status} X {said}")
    error: Exception = CallError(cause, [Exchange("POST", status=status, headers=JSON)])
    fault = read(cause if raised == "unseen" else error)
    assert fault is not None
    assert CODES.get(fault.code, CloudError) is kind
    assert fault.unsent is False


KINDS: list[tuple[Exception, type[CloudError]]] = [
    (InvalidCredsError(), AuthError),
    (MalformedResponseError("Failed to parse JSON", "<html>"), Unavailable),
    (TooManyRedirects("exceeded 0"), Unavailable),
    (ReadTimeout("late"), Unavailable),
    (ssl.SSLError("bad"), Unavailable),
    (NotImplementedError(), NotSupported),
    (LibcloudError("Could not find specified endpoint"), InvalidRequest),
]


@pytest.mark.parametrize(("cause", "kind"), KINDS, ids=[type(c).__name__ for c, _ in KINDS])
def test_what_has_no_status(cause: Exception, kind: type[CloudError]) -> None:
    """By its class, where that says all."""
    assert type(as_error(CallError(cause, [Exchange("GET")]), "x")) is kind


@pytest.mark.parametrize(
    "cause", [KeyError("server"), TypeError("string indices"), ValueError("soon"), AttributeError()]
)
def test_an_answer_in_which_the_driver_lost_its_way(cause: Exception) -> None:
    """Of a good status, and yet not the provider's: its outcome is unknown."""
    exchanges = [Exchange("POST", status=200)]
    error = as_error(CallError(cause, exchanges), "x")
    assert isinstance(error, Unavailable)
    assert as_error(CallError(cause, [Exchange("GET", status=200)]), "x") is not None


def test_a_bug_is_no_answer() -> None:
    """What is raised with nothing sent is not the cloud's, unless it is a driver's own refusal."""
    for bug in (KeyError("x"), TypeError("x"), AttributeError("x"), ZeroDivisionError()):
        assert read(bug) is None
        assert read(CallError(bug, [])) is None
    assert type(as_error(CallError(ValueError("Invalid region"), []), "x")) is InvalidRequest


def test_a_proxy_is_not_the_provider() -> None:
    """A refusal in HTML is somebody else's; 401 apart, which Keystone's middleware writes so."""
    for status, kind in ((403, Unavailable), (409, Unavailable), (401, AuthError)):
        exchange = Exchange("POST", status=status, headers=HTML)
        cause = exception_from_message(status, "<html>no</html>")
        assert type(as_error(CallError(cause, [exchange]), "x")) is kind


@pytest.mark.parametrize("status", [401, 403, 404, 409, 429, 0])
def test_what_follows_a_change(status: int) -> None:
    """Once something was changed, no later refusal can tell that nothing was."""
    cause = exception_from_message(status, "no") if status else ReadTimeout("late")
    seen = [Exchange("POST", status=202), Exchange("GET", status=status, headers=JSON)]
    fault = read(CallError(cause, seen))
    assert fault is not None
    assert fault.code == "outcomeUnknown"
    assert not is_expired(CallError(cause, seen))


def test_a_sign_in_is_no_change() -> None:
    """A token that was had, then a refusal: it is definite, and a token may have ended."""
    seen = [Exchange("POST", signs_in=True, status=201), Exchange("POST", status=401)]
    error = CallError(exception_from_message(401, "no"), seen)
    fault = read(error)
    assert fault is not None
    assert fault.code == "401"
    assert is_expired(error)
    refused = CallError(InvalidCredsError(), [Exchange("POST", signs_in=True, status=401)])
    assert not is_expired(refused)


def test_whether_anything_was_sent() -> None:
    """Where no connection was made, or only a token asked for, nothing was carried out."""
    refused = ConnectionLost(MaxRetryError(None, "/", NewConnectionError(None, "no")))  # type: ignore[arg-type]
    post, lost = Exchange("POST"), ConnectionLost("cut")
    cases: list[tuple[Exception, list[Exchange], bool]] = [
        (refused, [post], True),
        (lost, [post], False),
        (lost, [Exchange("GET")], True),
        (lost, [Exchange("POST", signs_in=True)], True),
        (refused, [post, post], False),
    ]
    for cause, seen, unsent in cases:
        fault = read(CallError(cause, seen))
        assert fault is not None
        assert fault.unsent is unsent, (cause, seen)
    unseen = read(lost)
    assert unseen is not None
    assert not unseen.unsent


def test_what_else_an_answer_tells() -> None:
    """The request's id, and how long to wait, also as a date."""
    headers = {
        "x-openstack-request-id": "req-1",
        "retry-after": "Thu, 26 Nov 2026 00:00:09 GMT",
        "date": "Thu, 26 Nov 2026 00:00:00 GMT",
    }
    cause = exception_from_message(503, "busy")
    fault = read(CallError(cause, [Exchange("GET", status=503, headers=headers)]), "nova")
    assert fault is not None
    assert (fault.request_id, fault.retry_after, fault.message) == ("req-1", 9.0, "nova: busy")


def test_user_data_that_is_quoted_is_not_told() -> None:
    """Nova quotes the value that it refuses, which may be a secret."""
    said = "Invalid input for field/attribute user_data. Value: c4n4ry. 'c4n4ry' is too long"
    cause: Any = exception_from_message(400, f"400 Bad Request {said}")
    fault = read(CallError(cause, [Exchange("POST", status=400)]))
    assert fault is not None
    assert "user_data" in fault.message
    assert "c4n4ry" not in fault.message
