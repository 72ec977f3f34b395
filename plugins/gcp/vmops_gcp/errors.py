"""What GCE's errors mean: one table of codes, and how they are read off Google's exceptions.

Classified by reason, never by class: a rate limit, a quota and a missing permission are all 403.
A request is refused with a reason (rateLimitExceeded); an operation fails with a code in capitals
(ZONE_RESOURCE_POOL_EXHAUSTED).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from vmops import Fault, http_date, never_connected, retry_after
from vmops.errors import (
    AuthError,
    CloudError,
    Conflict,
    InvalidRequest,
    NoCapacity,
    NotFound,
    NotSupported,
    Preempted,
    QuotaExceeded,
    Throttled,
    Unavailable,
)

__all__ = ["CODES", "NotGceError", "caused", "read"]

_LONGEST: Final = 500
_REQUEST: Final = re.compile(r"^[A-Z]+ https?://\S+: ")
_METADATA: Final = re.compile(r"(\bmetadata[^']*'\s*:).*", re.DOTALL)
_UNAUTHORIZED: Final = 401
_TIMEOUT: Final = 408
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_NOT_READY: Final = "resourceNotReady"
"""Another operation has the VM: this one was certainly not begun, and may be asked for again."""
_ROOM: Final = "try another zone or vmSize"
_HINTS: Final = {
    "accessNotConfigured": "gcloud services enable compute.googleapis.com",
    "credentialUnavailable": "`gcloud auth application-default login`, or set"
    " GOOGLE_APPLICATION_CREDENTIALS",
    "forbidden": "the role that vmops needs is in its how-to guide on Google Cloud",
    "quotaExceeded": "ask Google for more, or delete what is not needed",
    "PERMISSIONS_ERROR": "the role that vmops needs is in its how-to guide on Google Cloud",
    "QUOTA_EXCEEDED": "ask Google for more, or delete what is not needed",
    "SERVICE_ACCOUNT_ACCESS_DENIED": "grant iam.serviceAccounts.actAs on the service account",
    "STOCKOUT": _ROOM,
    "ZONE_RESOURCE_POOL_EXHAUSTED": _ROOM,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": _ROOM,
}


class NotGceError(Exception):
    """An answer that is no answer of GCE: HTML from a proxy, an empty body, what is cut short."""


CODES: Final[Mapping[str, type[CloudError]]] = {
    # credentials and permissions
    "accessNotConfigured": AuthError,
    "authError": AuthError,
    "billingNotEnabled": AuthError,
    "credentialUnavailable": AuthError,
    "forbidden": AuthError,
    "PERMISSIONS_ERROR": AuthError,
    "SERVICE_ACCOUNT_ACCESS_DENIED": AuthError,
    # the VM's state, or another operation's
    "alreadyExists": Conflict,
    "conditionNotMet": Conflict,
    "conflict": Conflict,
    "resourceInUseByAnotherResource": Conflict,
    "CONDITION_NOT_MET": Conflict,
    "OPERATION_CANCELED_BY_USER": Conflict,
    "RESOURCE_ALREADY_EXISTS": Conflict,
    "RESOURCE_IN_USE": Conflict,
    "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE": Conflict,
    "RESOURCE_NOT_READY": Conflict,
    "notFound": NotFound,
    "RESOURCE_NOT_FOUND": NotFound,
    # room
    "IP_SPACE_EXHAUSTED": NoCapacity,
    "IP_SPACE_EXHAUSTED_WITH_DETAILS": NoCapacity,
    "STOCKOUT": NoCapacity,
    "ZONE_RESOURCE_POOL_EXHAUSTED": NoCapacity,
    "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS": NoCapacity,
    "VM_MIN_COUNT_NOT_REACHED": NoCapacity,
    "PREEMPTED": Preempted,
    # limits of the project
    "limitExceeded": QuotaExceeded,
    "quotaExceeded": QuotaExceeded,
    "LIMIT_EXCEEDED": QuotaExceeded,
    "QUOTA_EXCEEDED": QuotaExceeded,
    # what was asked for
    "badRequest": InvalidRequest,
    "invalid": InvalidRequest,
    "invalidParameter": InvalidRequest,
    "required": InvalidRequest,
    "BAD_REQUEST": InvalidRequest,
    "INVALID_FIELD_VALUE": InvalidRequest,
    "INVALID_USAGE": InvalidRequest,
    "REQUIRED_FIELD": InvalidRequest,
    "notSupported": NotSupported,
    "UNSUPPORTED_OPERATION": NotSupported,
    # worth repeating
    "concurrentLimitExceeded": Throttled,
    "rateLimitExceeded": Throttled,
    "userRateLimitExceeded": Throttled,
    "RATE_LIMIT_EXCEEDED": Throttled,
    "RESOURCE_OPERATION_RATE_EXCEEDED": Throttled,
    "backendError": Unavailable,
    "connectionLost": Unavailable,
    "internalError": Unavailable,
    "notGce": Unavailable,
    _NOT_READY: Unavailable,
    "signInFailed": Unavailable,
    "unavailable": Unavailable,
    "INTERNAL_ERROR": Unavailable,
    "UNAVAILABLE": Unavailable,
}
"""GCE's reason or code, or ours where there is none -> our error."""


def read(error: Exception) -> Fault | None:
    """What an exception of Google's libraries says; None for one that is a bug."""
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth import exceptions as auth
    from google.protobuf.json_format import ParseError
    from requests.exceptions import RequestException

    if isinstance(error, GoogleAPICallError):
        return _refusal(error)
    if isinstance(error, auth.GoogleAuthError):
        if error.retryable or isinstance(error, auth.TransportError) or _is_cut(error):
            return Fault("signInFailed", f"gcp: no access token: {_short(error)}", unsent=True)
        hint = _HINTS["credentialUnavailable"]
        return Fault("credentialUnavailable", f"gcp: {_short(error)}", hint=hint, unsent=True)
    if isinstance(error, RequestException):
        said = f"gcp: no answer: {_short(error)}"
        return Fault("connectionLost", said, unsent=never_connected(error))
    if isinstance(error, NotGceError | ParseError):
        return Fault("notGce", f"gcp: {_short(error)}")
    return None


def caused(name: str, errors: Any) -> CloudError:  # noqa: ANN401  (errors of an Operation)
    """Why an operation on a VM failed, by the errors that its record holds: the first one known."""
    told = [(str(error.code), str(error.message)) for error in errors]
    code, message = next((one for one in told if one[0] in CODES), told[0])
    return CODES.get(code, CloudError)(
        f"gcp: VM {name!r}: {_short(message or code)}",
        provider_code=code,
        hint=_HINTS.get(code, ""),
    )


def _refusal(error: Any) -> Fault:  # noqa: ANN401  (a GoogleAPICallError, imported lazily)
    status = int(error.code or 0)
    headers = getattr(error.response, "headers", {})
    return Fault(
        code := _code(error, status),
        f"gcp: {_short(error.message)}",
        request_id=headers.get("X-Goog-Request-Id", ""),
        retry_after=retry_after(headers.get("Retry-After"), http_date(headers.get("Date"))),
        hint=_HINTS.get(code, ""),
        unsent=code == _NOT_READY,
    )


def _code(error: Any, status: int) -> str:  # noqa: ANN401
    reasons = [str(one.get("reason", "")) for one in error.errors or () if isinstance(one, dict)]
    code = next((one for one in reasons if one in CODES), reasons[0] if reasons else "")
    if status == _TOO_MANY:
        return "rateLimitExceeded"
    if status >= _SERVER_ERROR or status == _TIMEOUT:
        return code if CODES.get(code) is Unavailable else "unavailable"
    if code == "forbidden" and str(error.reason or "") == "RATE_LIMIT_EXCEEDED":
        return "rateLimitExceeded"
    if status == _UNAUTHORIZED and not code:
        return "authError"
    return code or "notGce"  # each refusal of GCE's has a reason: this is somebody else's


def _is_cut(error: BaseException) -> bool:
    """Whether a token could not be had because nobody answered."""
    from google.auth.exceptions import TransportError

    return isinstance(error.__cause__ or error.__context__, TransportError)


def _short(text: object) -> str:
    """What was said, without the method and URL that Google's library puts before it.

    What GCE quotes of metadata may be a secret, so nothing is told from there on.
    """
    plain = _METADATA.sub(r"\1...", _REQUEST.sub("", str(text), count=1))
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"
