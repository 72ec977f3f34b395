"""What libcloud's exceptions mean: one table of codes, and how they are read.

libcloud has one class for most refusals, and drivers raise plain exceptions besides: what counts is
the status of the answer, then the provider's own words. Where a call had changed something by the
time it went wrong, its outcome is unknown, whatever the last answer said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPException
from typing import Final

from vmops import Action, Fault, http_date, never_connected, retry_after
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
    TransientError,
    Unavailable,
)
from vmops_libcloud.wire import Exchange

__all__ = [
    "CODES",
    "CallError",
    "SpoiltAnswerError",
    "as_error",
    "by_words",
    "is_expired",
    "may_have_begun",
    "read",
    "untold",
]


class SpoiltAnswerError(Exception):
    """An answer that is none of the provider's: HTML from a proxy, an empty body, a cut one."""


class CallError(Exception):
    """What a driver's method raised, and what had left by then.

    Args:
        cause: What it raised.
        exchanges: The requests of this call; None where nobody saw them.
    """

    def __init__(self, cause: Exception, exchanges: Sequence[Exchange] | None) -> None:
        """Keep both."""
        self.cause = cause
        self.exchanges = exchanges
        super().__init__(type(cause).__name__)


CODES: Final[Mapping[str, type[CloudError]]] = {
    "400": InvalidRequest,
    "401": AuthError,
    "403": AuthError,
    "404": NotFound,
    "408": Unavailable,
    "409": Conflict,
    "413": InvalidRequest,
    "422": InvalidRequest,
    "423": Conflict,
    "429": Throttled,
    "500": Unavailable,
    "501": NotSupported,
    "502": Unavailable,
    "503": Unavailable,
    "504": Unavailable,
    "certificate": AuthError,
    "connectionLost": Unavailable,
    "credentials": AuthError,
    "noCapacity": NoCapacity,
    "notImplemented": NotSupported,
    "outcomeUnknown": Unavailable,
    "quota": QuotaExceeded,
    "refused": InvalidRequest,
    "spoiltAnswer": Unavailable,
}
"""An answer's status; or ours, where the words or the way it failed say more -> our error."""

_CAPACITY: Final = re.compile(
    r"no valid host|sold out|out of (stock|capacity)|no (more )?capacity|insufficient .*capacity"
    r"|not enough (hosts|capacity|resources)",
    re.IGNORECASE,
)
_QUOTA: Final = re.compile(
    r"quota|\blimits? (was |is |been )?(exceeded|reached)|exceed\w* .*\blimit"
    r"|maximum (number|amount)",
    re.IGNORECASE,
)
_BUSY: Final = re.compile(r"\bbusy\b|pending event", re.IGNORECASE)
"""Linode's and DigitalOcean's words for a VM that has another operation: a 400 and a 422."""
_HINTS: Final = {
    "401": "check the credentials",
    "403": "these credentials may not do that",
    "certificate": "caFile names the certificates (PEM) of a private authority",
    "credentials": "check the credentials",
    "noCapacity": "try another vmSize or location",
    "quota": "ask the provider for more, or delete what is not needed",
}
_REQUEST_IDS: Final = ("x-openstack-request-id", "x-compute-request-id", "x-request-id")
_NO_ENDPOINT: Final = re.compile("could not find specified endpoint", re.IGNORECASE)
_PLAIN: Final = re.compile(r"(?:HTTP )?([45]\d\d)\b")
_QUOTED: Final = re.compile(r"(\bValue:).*", re.DOTALL)
_LONGEST: Final = 500
_UNTOLD: Final = frozenset(
    {"408", "500", "502", "504", "connectionLost", "outcomeUnknown", "spoiltAnswer"}
)
"""Codes after which a request may have been carried out, or be on its way still."""
_BAD: Final = 400
_UNAUTHORIZED: Final = 401
_TOO_LARGE: Final = 413
_SERVER_ERROR: Final = 500
_WORDS_COUNT: Final = (400, 403, 409, 413, 422)
"""Statuses of refusals that may be a quota's or for want of room."""


def read(error: Exception, name: str = "libcloud") -> Fault | None:
    """What an exception says; None for one that is a bug.

    Args:
        error: libcloud's own, or one with what had left by then.
        name: The provider's, for the message.
    """
    if isinstance(error, CallError):
        cause, exchanges = error.cause, error.exchanges
    else:
        cause, exchanges = error, None
    seen = exchanges or ()
    code = _code(cause, exchanges)
    if not code:
        return None
    if code != "outcomeUnknown" and any(one.changed for one in seen):
        code = "outcomeUnknown"
    headers = seen[-1].headers if seen else getattr(cause, "headers", None) or {}
    return Fault(
        code,
        f"{name}: {_short(cause)}",
        request_id=next((headers[one] for one in _REQUEST_IDS if one in headers), ""),
        retry_after=retry_after(headers.get("retry-after"), http_date(headers.get("date"))),
        hint=_HINTS.get(code, "") or _hint(cause),
        unsent=exchanges is not None and not _left(cause, seen),
    )


def _hint(cause: Exception) -> str:
    """What to do about what libcloud itself refuses."""
    return "there may be no such region: check region" if _NO_ENDPOINT.search(_said(cause)) else ""


def as_error(error: Exception, name: str) -> CloudError | None:
    """What an exception says as an error of ours; None for one that is a bug."""
    fault = read(error, name)
    if fault is None:
        return None
    kind = CODES.get(fault.code, CloudError)
    return kind(
        fault.message, provider_code=fault.code, request_id=fault.request_id, hint=fault.hint
    )


def may_have_begun(error: Exception, action: Action) -> bool:
    """Whether something may come of a call all the same, so that only its VM can tell.

    A create whose request has left is looked for in any case: nothing may be made twice.
    """
    fault = read(error)
    creates = action is Action.PROVISION
    if fault is None:  # a bug
        return creates
    if fault.unsent or not issubclass(CODES.get(fault.code, CloudError), TransientError):
        return False
    return creates or fault.code in _UNTOLD


def untold(answer: object, exchanges: Sequence[Exchange], lack: str) -> CallError:
    """What to raise where a driver returns as if nothing were wrong, but not what it should.

    Some return what the service has refused.
    """
    from libcloud.common.types import LibcloudError

    if isinstance(answer, Mapping) and answer.get("Errors"):  # Outscale's, whose requests go unseen
        return CallError(LibcloudError(str(answer["Errors"])), exchanges or None)
    refused = bool(exchanges) and exchanges[-1].status >= _BAD
    said = f"{answer}" if refused else f"the answer {lack}"
    return CallError(SpoiltAnswerError(said), exchanges)


def by_words(said: str) -> str:
    """Our code for a refusal that speaks of a quota or of want of room; empty for others."""
    return "noCapacity" if _CAPACITY.search(said) else "quota" if _QUOTA.search(said) else ""


def is_expired(error: CallError) -> bool:
    """Whether a call was refused for its token before it changed anything."""
    seen = error.exchanges
    if not seen or any(one.changed for one in seen):
        return False
    return seen[-1].status == _UNAUTHORIZED and not seen[-1].signs_in


def _code(cause: Exception, exchanges: Sequence[Exchange] | None) -> str:
    """One of CODES, or a status that is not in it; empty for a bug."""
    last = exchanges[-1] if exchanges else None
    if last is not None and last.status >= _BAD:
        return _of_status(last.status, _said(cause), last.headers)
    if code := next((code for code, kinds in _kinds() if isinstance(cause, kinds)), ""):
        return code
    if status := _status(cause):
        return _of_status(status, _said(cause), getattr(cause, "headers", None) or {})
    return _of_kind(cause, exchanges)


def _kinds() -> Iterator[tuple[str, tuple[type[Exception], ...]]]:
    """Exceptions that say all by their class."""
    from libcloud.common.types import InvalidCredsError, MalformedResponseError
    from requests.exceptions import RequestException, SSLError, TooManyRedirects

    yield "spoiltAnswer", (SpoiltAnswerError, MalformedResponseError, TooManyRedirects)
    yield "credentials", (InvalidCredsError,)
    yield "certificate", (SSLError,)
    yield "connectionLost", (RequestException, OSError, HTTPException)
    yield "notImplemented", (NotImplementedError,)


def _of_kind(cause: Exception, exchanges: Sequence[Exchange] | None) -> str:
    """What is left: a driver's own refusal, or an answer in which it did not find its way."""
    from libcloud.common.types import LibcloudError

    if isinstance(cause, LibcloudError) or type(cause) is Exception:
        return by_words(_said(cause)) or "refused"
    if exchanges == [] and isinstance(cause, ValueError):
        return "refused"
    looked_up = LookupError | TypeError | ValueError | AttributeError
    return "spoiltAnswer" if exchanges and isinstance(cause, looked_up) else ""


def _status(cause: Exception) -> int:
    """The status that an exception tells; 0 if it tells none."""
    told = getattr(cause, "code", None) or getattr(cause, "http_code", None)
    if isinstance(told, int):
        return int(told)
    found = _PLAIN.match(str(cause)) if type(cause) is Exception else None
    return int(found[1]) if found else 0


def _of_status(status: int, said: str, headers: Mapping[str, str]) -> str:
    if status == _TOO_LARGE and "retry-after" in headers:
        return "429"
    if status >= _SERVER_ERROR and str(status) not in CODES:
        return "500"
    if status in _WORDS_COUNT:
        if headers.get("content-type", "").startswith("text/html"):
            return "spoiltAnswer"  # a proxy's
        if word := by_words(said):
            return word
        if _BUSY.search(said):
            return "409"
    return str(status)


def _left(cause: Exception, seen: Sequence[Exchange]) -> bool:
    """Whether a request that changes something may have left."""
    asked = [one for one in seen if not one.only_reads]
    if asked and asked[-1] is seen[-1] and not seen[-1].status and never_connected(cause):
        asked.pop()
    return bool(asked)


def _short(cause: Exception) -> str:
    """What was said, without what a provider quotes: that may be a secret."""
    plain = _QUOTED.sub(r"\1 ...", _said(cause)) or type(cause).__name__
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"


def _said(cause: Exception) -> str:
    """The words of an exception; DigitalOcean's may hold a dict, which str() cannot tell."""
    told = (getattr(cause, name, None) for name in ("value", "message"))
    return str(next((one for one in told if one is not None), cause))
