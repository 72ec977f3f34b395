"""What EC2's, SSM's and STS's errors mean: one table of codes, and how they are read off boto3."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from vmops import Fault
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

__all__ = ["CODES", "NotEc2Error", "caused", "read"]

_LONGEST: Final = 500
_ID = re.compile(r"\bi-[0-9a-f]{8,17}\b")
_HINTS: Final = {
    "IncorrectSpotRequestState": "EC2 holds it stopped, or has stopped it a moment ago: try again",
    "VPCIdNotSpecified": "there is no default VPC here: give subnet",
    "InvalidAMIID.NotFound": "an AMI belongs to one region; an alias finds it in each",
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": "an account's first spot VM needs"
    " iam:CreateServiceLinkedRole for spot.amazonaws.com",
    "OperationNotPermitted": "turn off the instance's termination or stop protection first",
    "NoCredentials": "sign in with the AWS CLI, or set AWS_ACCESS_KEY_ID, or name a profile",
}


class NotEc2Error(Exception):
    """An answer that is no answer of EC2: HTML from a proxy, an empty body, ids that are missing.

    botocore takes some of these for successes.
    """


CODES: Final[Mapping[str, type[CloudError]]] = {
    # credentials and permissions
    "AccessDenied": AuthError,
    "AccessDeniedException": AuthError,
    "AuthFailure": AuthError,
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": AuthError,
    "Blocked": AuthError,
    "ExpiredToken": AuthError,
    "ExpiredTokenException": AuthError,
    "IncompleteSignature": AuthError,
    "InvalidClientTokenId": AuthError,
    "MissingAuthenticationToken": AuthError,
    "NoCredentials": AuthError,
    "OptInRequired": AuthError,
    "PendingVerification": AuthError,
    "RequestExpired": AuthError,
    "SignatureDoesNotMatch": AuthError,
    "UnauthorizedOperation": AuthError,
    "UnrecognizedClientException": AuthError,
    # the VM's state
    "IdempotentInstanceTerminated": Conflict,
    "IdempotentParameterMismatch": Conflict,
    "IncorrectInstanceState": Conflict,
    "IncorrectSpotRequestState": Conflict,
    "IncorrectState": Conflict,
    "OperationNotPermitted": Conflict,
    "InvalidInstanceID.NotFound": NotFound,
    "InvalidSpotInstanceRequestID.NotFound": NotFound,
    # room
    "InsufficientCapacity": NoCapacity,
    "InsufficientFreeAddressesInSubnet": NoCapacity,
    "InsufficientHostCapacity": NoCapacity,
    "InsufficientInstanceCapacity": NoCapacity,
    "InsufficientReservedInstanceCapacity": NoCapacity,
    "InsufficientVolumeCapacity": NoCapacity,
    "Server.InsufficientInstanceCapacity": NoCapacity,
    "SpotMaxPriceTooLow": NoCapacity,
    "Unsupported": NoCapacity,  # this type, in this zone
    # limits of the account
    "AddressLimitExceeded": QuotaExceeded,
    "Client.VolumeLimitExceeded": QuotaExceeded,
    "InstanceLimitExceeded": QuotaExceeded,
    "MaxIOPSLimitExceeded": QuotaExceeded,
    "MaxSpotInstanceCountExceeded": QuotaExceeded,
    "NetworkInterfaceLimitExceeded": QuotaExceeded,
    "VcpuLimitExceeded": QuotaExceeded,
    "VolumeLimitExceeded": QuotaExceeded,
    # what was asked for
    "Client.InvalidSnapshot.NotFound": InvalidRequest,
    "InvalidAMIID.Malformed": InvalidRequest,
    "InvalidAMIID.NotFound": InvalidRequest,
    "InvalidAMIID.Unavailable": InvalidRequest,
    "InvalidBlockDeviceMapping": InvalidRequest,
    "InvalidGroup.NotFound": InvalidRequest,
    "InvalidInstanceID.Malformed": InvalidRequest,
    "InvalidParameter": InvalidRequest,
    "InvalidParameterCombination": InvalidRequest,
    "InvalidParameterValue": InvalidRequest,
    "InvalidSubnetID.NotFound": InvalidRequest,
    "InvalidUserData.Malformed": InvalidRequest,
    "MissingParameter": InvalidRequest,
    "ParameterNotFound": InvalidRequest,
    "ParamValidation": InvalidRequest,
    "TagLimitExceeded": InvalidRequest,
    "UnknownParameter": InvalidRequest,
    "VPCIdNotSpecified": InvalidRequest,
    "ValidationError": InvalidRequest,
    "UnsupportedHibernationConfiguration": NotSupported,
    "UnsupportedOperation": NotSupported,
    # taken away
    "Server.SpotInstanceShutdown": Preempted,
    "Server.SpotInstanceTermination": Preempted,
    # worth repeating
    "EC2ThrottledException": Throttled,
    "RequestLimitExceeded": Throttled,
    "Throttling": Throttled,
    "ThrottlingException": Throttled,
    "TooManyRequestsException": Throttled,
    "500": Unavailable,
    "502": Unavailable,
    "503": Unavailable,
    "504": Unavailable,
    "ConcurrentTagAccess": Unavailable,
    "ConnectionLost": Unavailable,
    "InternalError": Unavailable,
    "InternalFailure": Unavailable,
    "InternalServerError": Unavailable,
    "NotEc2": Unavailable,
    "ServiceUnavailable": Unavailable,
    "Unavailable": Unavailable,
}
"""EC2's code, or ours where boto3 raises without one, or a StateReason's -> our error."""


def read(error: Exception) -> Fault | None:
    """What an exception of boto3 says; None for one that is not the cloud's answer."""
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    if isinstance(error, boto.ClientError):
        return _refusal(error)
    kinds: dict[str, tuple[type[Exception], ...]] = {
        "NotEc2": (NotEc2Error, ResponseParserError, boto.IncompleteReadError),
        "ConnectionLost": (boto.HTTPClientError, boto.ConnectionError),
        "ParamValidation": (boto.ParamValidationError,),
        "NoCredentials": (
            boto.NoCredentialsError,
            boto.PartialCredentialsError,
            boto.CredentialRetrievalError,
            boto.TokenRetrievalError,
            boto.NoAuthTokenError,
            boto.SSOError,
            boto.ProfileNotFound,
            boto.ConfigNotFound,
            boto.ConfigParseError,
            boto.InvalidConfigError,
        ),
    }
    for code, types in kinds.items():
        if isinstance(error, types):
            unsent = isinstance(error, (boto.EndpointConnectionError, boto.ConnectTimeoutError))
            hint = _HINTS.get(code, "")
            return Fault(code, f"aws: {_short(error)}", hint=hint, unsent=unsent)
    return None


def _refusal(error: Any) -> Fault:  # noqa: ANN401  (a ClientError, whose class is made lazily)
    said = error.response.get("Error", {})
    about = error.response.get("ResponseMetadata", {})
    code, message = str(said.get("Code", "")), str(said.get("Message", ""))
    after = about.get("HTTPHeaders", {}).get("retry-after", "")
    return Fault(
        code,
        f"aws: {error.operation_name}: {_short(message)}",
        request_id=str(about.get("RequestId", "")),
        retry_after=float(after) if after.isdigit() else None,
        vm_ids=frozenset(_ID.findall(message)),
        hint=_HINTS.get(code, ""),
    )


def caused(name: str, reason: Mapping[str, str]) -> CloudError | None:
    """Why a VM has ended or stopped, by its StateReason; None where EC2 does not say."""
    code = reason.get("Code", "")
    if not code:
        return None
    kind = CODES.get(code, CloudError)
    return kind(f"aws: VM {name!r}: {_short(reason.get('Message', code))}", provider_code=code)


def _short(text: object) -> str:
    """What was said; an encoded authorization message is long, and told to nobody."""
    plain = str(text).partition(" Encoded authorization failure message")[0]
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"
