"""What ARM's errors mean: one table of codes, and how they are read off azure-core's exceptions.

Classified by code, never by class: azure-core raises one class for every 409, be it a VM that
exists, a quota, or a size that is sold out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from vmops import Fault, http_date, retry_after
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

__all__ = [
    "CODES",
    "NotArmError",
    "SignInError",
    "caused",
    "read",
]

_LONGEST: Final = 500
_QUERY: Final = re.compile(r"(?<=\S)\?[^\s\"'<>)]{8,}")
_TIMEOUT: Final = 408
_PRECONDITION: Final = 412
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_QUOTA_CODES: Final = frozenset({"OperationNotAllowed", "ResourceQuotaExceeded", "QuotaExceeded"})
_HINTS: Final = {
    "AllocationFailed": "try another vmSize, zone or location",
    "AuthorizationFailed": "the role that vmops needs is in its how-to guide on Azure",
    "CredentialUnavailable": "`az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and"
    " AZURE_CLIENT_SECRET",
    "MarketplacePurchaseEligibilityFailed": "accept the image's terms: az vm image terms accept",
    "MissingSubscriptionRegistration": "az provider register --namespace Microsoft.Compute (and"
    " Microsoft.Network)",
    "OverconstrainedAllocationRequest": "try another vmSize, zone or location",
    "QuotaExceeded": "ask Azure for more, or delete what is not needed",
    "ResourceGroupNotFound": "make the group (az group create), or leave out resourceGroup",
    "ScopeLocked": "take the lock off the resource or its group first",
    "SkuNotAvailable": "`az vm list-skus --location LOCATION` shows what can be had there",
    "SubscriptionNotFound": "these credentials do not see that subscription",
    "ZonalAllocationFailed": "try another zone, vmSize or location",
}


class NotArmError(Exception):
    """An answer that is no answer of ARM: HTML from a proxy, an empty body, what is cut short."""


class SignInError(Exception):
    """There is no new token at the moment, although there was one before."""


CODES: Final[Mapping[str, type[CloudError]]] = {
    # credentials and permissions
    "AuthenticationFailed": AuthError,
    "AuthenticationFailedInvalidHeader": AuthError,
    "AuthenticationFailedMissingToken": AuthError,
    "AuthorizationFailed": AuthError,
    "CredentialUnavailable": AuthError,
    "DisallowedOperation": AuthError,
    "ExpiredAuthenticationToken": AuthError,
    "InvalidAuthenticationToken": AuthError,
    "InvalidAuthenticationTokenTenant": AuthError,
    "LinkedAuthorizationFailed": AuthError,
    "ReadOnlyDisabledSubscription": AuthError,
    "RequestDisallowedByPolicy": AuthError,
    "SubscriptionNotFound": AuthError,
    # the VM's state, or another operation's
    "AnotherOperationInProgress": Conflict,
    "AttachDiskWhileBeingDetached": Conflict,
    "Conflict": Conflict,
    "ConflictingUserInput": Conflict,
    "InvalidResourceLocation": Conflict,
    "OperationNotAllowed": Conflict,
    "OperationPreempted": Conflict,
    "PreconditionFailed": Conflict,
    "PropertyChangeNotAllowed": Conflict,
    "ResourceGroupBeingDeleted": Conflict,
    "ScopeLocked": Conflict,
    "NotFound": NotFound,
    "ResourceGroupNotFound": NotFound,
    "ResourceNotFound": NotFound,
    # room
    "AllocationFailed": NoCapacity,
    "OverconstrainedAllocationRequest": NoCapacity,
    "OverconstrainedZonalAllocationRequest": NoCapacity,
    "SkuNotAvailable": NoCapacity,
    "SubnetIsFull": NoCapacity,
    "ZonalAllocationFailed": NoCapacity,
    # limits of the subscription
    "PublicIPCountLimitReached": QuotaExceeded,
    "QuotaExceeded": QuotaExceeded,
    "ResourceQuotaExceeded": QuotaExceeded,
    # what was asked for
    "BadRequest": InvalidRequest,
    "ImageNotFound": InvalidRequest,
    "InvalidApiVersionParameter": InvalidRequest,
    "InvalidImageReference": InvalidRequest,
    "InvalidParameter": InvalidRequest,
    "InvalidRequestContent": InvalidRequest,
    "InvalidRequestFormat": InvalidRequest,
    "InvalidResourceGroup": InvalidRequest,
    "InvalidResourceReference": InvalidRequest,
    "LinkedInvalidPropertyId": InvalidRequest,
    "LocationNotAvailableForResourceType": InvalidRequest,
    "MarketplacePurchaseEligibilityFailed": InvalidRequest,
    "MissingSubscriptionRegistration": InvalidRequest,
    "NoRegisteredProviderFound": InvalidRequest,
    "NoRegisteredProviderFoundForLocation": InvalidRequest,
    "OSProvisioningClientError": InvalidRequest,
    "ParamValidation": InvalidRequest,
    "PlatformImageNotFound": InvalidRequest,
    "NotSupported": NotSupported,
    "VMSizeDoesntSupportHibernation": NotSupported,
    # worth repeating
    "SubscriptionRequestsThrottled": Throttled,
    "TooManyRequests": Throttled,
    "500": Unavailable,
    "502": Unavailable,
    "503": Unavailable,
    "504": Unavailable,
    "ConnectionLost": Unavailable,
    "GatewayTimeout": Unavailable,
    "InternalServerError": Unavailable,
    "NotArm": Unavailable,
    "ReferencedResourceNotProvisioned": Unavailable,
    "RetryableError": Unavailable,
    "ServerTimeout": Unavailable,
    "ServiceUnavailable": Unavailable,
    "SignInFailed": Unavailable,
}
"""ARM's code, or ours where azure-core raises without one -> our error."""


def read(error: Exception) -> Fault | None:
    """What an exception of azure-core or azure-identity says; None for one that is a bug."""
    from azure.core import exceptions as core

    if isinstance(error, core.HttpResponseError) and error.response is not None:
        if isinstance(error, core.DecodeError):
            return Fault("NotArm", f"azure: the answer is not ARM's: {_short(error.message)}")
        return _refusal(error)
    kinds: dict[str, tuple[type[Exception], ...]] = {
        "NotArm": (NotArmError, core.DecodeError, core.IncompleteReadError),
        "SignInFailed": (SignInError,),
        "CredentialUnavailable": (core.ClientAuthenticationError,),  # azure-identity's own
        "ConnectionLost": (core.ServiceRequestError, core.ServiceResponseError),
        "ParamValidation": (core.SerializationError,),
    }
    for code, types in kinds.items():
        if isinstance(error, types):
            unsent = isinstance(error, (SignInError, core.ServiceRequestError))
            hint = _HINTS.get(code, "")
            return Fault(code, f"azure: {_short(error)}", hint=hint, unsent=unsent)
    return None


def caused(name: str, error: Mapping[str, Any]) -> CloudError:
    """Why an operation on a VM failed, by the error that its record holds."""
    code, message = _deepest(error)
    code = _class_of(code, message)
    return CODES.get(code, CloudError)(
        f"azure: VM {name!r}: {_short(message or code)}",
        provider_code=code,
        hint=_HINTS.get(code, ""),
    )


def _refusal(error: Any) -> Fault:  # noqa: ANN401  (an HttpResponseError, imported lazily)
    status, headers = error.status_code, error.response.headers
    said = error.error
    told = {"code": said.code, "message": said.message} if said is not None else {}
    code, message = str(told.get("code") or ""), str(told.get("message") or "")
    if status == _TOO_MANY:
        code = "TooManyRequests"  # whatever the provider calls it
    elif status == _PRECONDITION:
        code = "PreconditionFailed"
    elif (status >= _SERVER_ERROR or status == _TIMEOUT) and code not in CODES:
        code = str(status) if str(status) in CODES else "ServiceUnavailable"
    else:
        code = _class_of(code or _NAMELESS.get(status, str(status)), message)
    return Fault(
        code,
        f"azure: {_short(message or f'HTTP {status}')}",
        request_id=headers.get("x-ms-request-id") or headers.get("x-ms-correlation-request-id", ""),
        retry_after=retry_after(headers.get("Retry-After"), http_date(headers.get("Date"))),
        hint=_HINTS.get(code, ""),
    )


_NAMELESS: Final = {
    401: "AuthenticationFailed",
    403: "AuthorizationFailed",
    404: "NotFound",
    409: "Conflict",
}


def _class_of(code: str, message: str) -> str:
    """The code that decides: OperationNotAllowed is a quota, too, and only its words tell."""
    return "QuotaExceeded" if code in _QUOTA_CODES and "quota" in message.lower() else code


def _deepest(error: Mapping[str, Any]) -> tuple[str, str]:
    """The code and message of an error, or of a detail if only that one's code is known."""
    code, message = str(error.get("code") or ""), str(error.get("message") or "")
    if code not in CODES:
        for detail in error.get("details") or ():
            inner = _deepest(detail) if isinstance(detail, dict) else ("", "")
            if inner[0] in CODES:
                return inner
    return code, message


def _short(text: object) -> str:
    """What was said, without the queries of URLs in it: an operation's is signed."""
    plain = _QUERY.sub("?...", str(text))
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"
