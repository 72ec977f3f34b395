"""Access tokens: given as a managed identity gets them, and asked for by every request."""

from __future__ import annotations

import secrets
import time
from typing import Any
from uuid import uuid4

from arm.errors import Refused
from arm.world import world

PATH = "/vmops/token"
_AUTHORITY = "https://login.microsoftonline.com/common"


def issued(headers: dict[str, str], resource: str) -> tuple[int, Any]:
    """A managed identity's token, as App Service gives it."""
    if not headers.get("x-identity-header"):
        return 400, {"statusCode": 400, "message": "X-IDENTITY-HEADER is missing."}
    token = f"emulated.{secrets.token_hex(16)}"
    lifetime = world.settings.token_lifetime
    world.tokens[token] = world.now() + lifetime
    body = {
        "access_token": token,
        # the caller's clock runs as fast as any; the cloud's may not
        "expires_on": str(int(time.time() + lifetime)),
        "resource": resource,
        "token_type": "Bearer",
        "client_id": str(uuid4()),
    }
    return 200, body


def checked(authorization: str) -> None:
    """Refuses a request without a token that is good now."""
    kind, _, token = authorization.partition(" ")
    if not authorization:
        raise _refused(
            "AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."
        )
    if kind != "Bearer" or token not in world.tokens:
        raise _refused("InvalidAuthenticationToken", "The access token is invalid.")
    if world.tokens[token] <= world.now():
        raise _refused("ExpiredAuthenticationToken", "The access token expiry UTC time is earlier.")


def _refused(code: str, message: str) -> Refused:
    challenge = (
        f'Bearer authorization_uri="{_AUTHORITY}", error="invalid_token",'
        f' error_description="{message}"'
    )
    return Refused(401, code, message, {"WWW-Authenticate": challenge})
