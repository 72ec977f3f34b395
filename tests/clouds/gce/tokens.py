"""The metadata server, from which google-auth has its tokens, and the check of these tokens."""

from __future__ import annotations

import re
import secrets
from typing import Any

from gce.errors import Refused
from gce.world import world

ACCOUNT = "vmops@vmops-test.iam.gserviceaccount.com"
NUMBER = "123456789012"
_PREFIX = "/computeMetadata/v1/"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TOKEN = re.compile(rf"instance/service-accounts/(default|{re.escape(ACCOUNT)})/token")
_KEPT = 300.0
"""Seconds that a token must have left to be given once more."""

Answer = tuple[int, Any, dict[str, str]]


def metadata(path: str, headers: dict[str, str], query: dict[str, str]) -> Answer:
    """What the metadata server of a VM answers: text, or JSON as a dictionary."""
    own = {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM", "X-XSS-Protection": "0"}
    if path == "/":
        return 200, "computeMetadata/\n", own
    if headers.get("metadata-flavor", "").lower() != "google":
        return 403, "Missing Metadata-Flavor:Google header.\n", own
    name = path.removeprefix(_PREFIX).strip("/")
    found = issued() if _TOKEN.fullmatch(name) else _answers(query).get(name)
    if found is None:
        return 404, "The requested URL was not found on this server.\n", own
    return 200, found, own


def _answers(query: dict[str, str]) -> dict[str, Any]:
    account = {"aliases": ["default"], "email": ACCOUNT, "scopes": [_SCOPE]}
    zone = f"projects/{NUMBER}/zones/europe-west1-b"
    base = "instance/service-accounts"
    found: dict[str, Any] = {
        "": "instance/\nproject/\nuniverse/\n",
        "project/project-id": world.settings.projects[0],
        "project/numeric-project-id": NUMBER,
        "instance/zone": zone,
        "instance/id": "1234567890123456789",
        "instance/name": "vmops",
        "universe/universe-domain": "googleapis.com",
    }
    for name in ("default", ACCOUNT):
        recursive = query.get("recursive", "").lower() == "true"
        found |= {
            f"{base}/{name}": account if recursive else "aliases\nemail\nscopes\ntoken\n",
            f"{base}/{name}/email": ACCOUNT,
            f"{base}/{name}/scopes": _SCOPE + "\n",
        }
    return found


def issued() -> dict[str, Any]:
    """A token: the one that was given before, as long as it is good for some minutes."""
    now = world.now()
    for token, until in world.tokens.items():
        if until - now > _KEPT:
            return _shown(token, until - now)
    token = f"ya29.c.{secrets.token_urlsafe(48)}"
    world.tokens[token] = now + world.settings.token_lifetime
    return _shown(token, world.settings.token_lifetime)


def _shown(token: str, left: float) -> dict[str, Any]:
    return {"access_token": token, "expires_in": int(left), "token_type": "Bearer"}


def checked(authorization: str, method: str) -> None:
    """Refuses a request without a token that is good now."""
    kind, _, token = authorization.partition(" ")
    if kind != "Bearer" or not token:
        raise _refused(
            "CREDENTIALS_MISSING",
            "Request is missing required authentication credential.",
            "Login Required.",
            "required",
            'Bearer realm="https://accounts.google.com/"',
            method,
        )
    if world.tokens.get(token, 0.0) <= world.now():
        raise _refused(
            "ACCESS_TOKEN_EXPIRED" if token in world.tokens else "ACCESS_TOKEN_TYPE_UNSUPPORTED",
            "Request had invalid authentication credentials.",
            "Invalid Credentials",
            "authError",
            'Bearer realm="https://accounts.google.com/", error="invalid_token"',
            method,
        )


def _refused(  # noqa: PLR0917
    why: str, message: str, said: str, reason: str, challenge: str, method: str
) -> Refused:
    message += (
        " Expected OAuth 2 access token, login cookie or other valid authentication credential."
        " See https://developers.google.com/identity/sign-in/web/devconsole-project."
    )
    resource, _, verb = method.rpartition(".")
    full = f"compute.v1.{resource[:1].upper()}{resource[1:]}Service.{verb[:1].upper()}{verb[1:]}"
    detail = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": why,
        "domain": "googleapis.com",
        "metadata": {"method": full, "service": "compute.googleapis.com"},
    }
    return Refused(
        401,
        reason,
        message,
        said=said,
        where={"location": "Authorization", "locationType": "header"},
        headers={"WWW-Authenticate": challenge},
        status="UNAUTHENTICATED",
        details=[detail],
    )
