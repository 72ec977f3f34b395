"""The WSGI application: tokens, faults, api-version and limits stand before what is asked for."""

from __future__ import annotations

import json
import re
import secrets
import sys
import time
import traceback
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

from arm import disks, groups, machines, network  # noqa: F401  (kinds are known once imported)
from arm.control import control
from arm.errors import Refused
from arm.kinds import KINDS, Answer
from arm.limits import limited
from arm.operations import polled
from arm.paths import Request, parsed
from arm.world import Fault, world

Environ = dict[str, Any]
_VERSION = re.compile(r"20(1[0-9]|2[0-9])-(0[1-9]|1[0-2])-[0-3][0-9](-preview)?")
_NEWEST = "2027-01-01"
_OPERATION = re.compile(r"/(Disk)?Operation(s|Results|Statuses)/[^/]+$", re.IGNORECASE)
TOKENS = "/vmops/token"


def application(environ: Environ, start_response: Any) -> list[bytes]:
    """Answers one request."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    path = environ.get("REQUEST_URI", environ["PATH_INFO"]).partition("?")[0]
    if path.startswith("/vmops/"):
        with world.lock:
            world.settle()
            status, answer = _token(environ) if path == TOKENS else _control(environ, path, body)
        return _send(start_response, status, answer, {})
    if world.settings.latency:
        time.sleep(world.settings.latency)
    with world.lock:
        world.settle()
        status, answer, headers = _answered(environ, path, body)
    return _send(start_response, status, answer, headers)


def _control(environ: Environ, path: str, body: bytes) -> tuple[int, Any]:
    return control(environ["REQUEST_METHOD"], path, body)


def _answered(environ: Environ, path: str, body: bytes) -> Answer:
    call = _logged(environ, path, body)
    shown: dict[str, str] = {}
    try:
        _check_token(call["headers"].get("authorization", ""))
        request = Request(
            environ["REQUEST_METHOD"],
            path,
            {key.lower(): value for key, value in parse_qsl(call["query"])},
            call["query"],
            call["body"],
            call["headers"],
            f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}",
            **parsed(path),
        )
        call["action"] = request.action
        fault = world.fault(lambda one: _fits(one, call))
        if fault is not None and not fault.after:
            raise _refusal(fault)
        _check_version(request)
        shown = limited(request)
        status, answer, headers = _asked(request)
        if fault is not None:
            raise _refusal(fault)
    except Refused as exc:
        status, answer, headers = exc.status, exc.body, exc.headers
        call["code"] = exc.code
    except Exception as exc:  # noqa: BLE001  (a gap in the emulator: the test must see it)
        traceback.print_exc(file=sys.stderr)
        status, answer, headers = (
            501,
            {"error": {"code": "EmulatorFailed", "message": repr(exc)}},
            {},
        )
        call["code"] = "EmulatorFailed"
    call["status"] = status
    call["headers"] = {k: v for k, v in call["headers"].items() if k != "authorization"}
    return status, answer, {**shown, **headers}


def _asked(request: Request) -> Answer:
    """Whoever answers a request."""
    if _OPERATION.search(request.path) and request.types[:1] == ("locations",):
        return polled(request)
    if "/providers/microsoft.resources/tags" in request.path.lower():
        return groups.tags(request)
    if not request.provider:
        return _scoped(request)
    if not request.types:
        return groups.provider(request)
    if request.key.startswith("microsoft.compute/locations"):
        return disks.in_location(request)
    if request.key == "microsoft.compute/skus":
        return disks.skus(request)
    kind = KINDS.get(request.key)
    if kind is None:
        raise _unknown(request)
    if len(request.names) < len(request.types):
        return _collection(request)
    return _by_method(kind, request)


def _by_method(kind: Any, request: Request) -> Answer:
    if request.method == "POST":
        answer: Answer = kind.act(kind.need(request), request)
        return answer
    verbs = {"PUT": kind.put, "PATCH": kind.change, "GET": kind.get, "DELETE": kind.remove}
    if request.method not in verbs:
        raise Refused(405, "MethodNotAllowed", f"{request.method} is not allowed here.")
    found: Answer = verbs[request.method](request)
    return found


def _collection(request: Request) -> Answer:
    """A list of a group's or of all resources of a kind, or of those in another one."""
    kind = KINDS[request.key]
    if request.group:
        kind.need_group(request)
    return kind.listed(request, request.path.rpartition("/")[0] if request.names else request.scope)


def _scoped(request: Request) -> Answer:
    tail = request.path.rstrip("/").rpartition("/")[2].lower()
    if not request.group:
        return groups.subscriptions(request)
    kind = KINDS["groups"]
    if request.method == "DELETE":
        return groups.group_deleted(request)
    if request.method == "HEAD":
        kind.need(request)
        return 204, None, {}
    if tail == "resources":
        return groups.resources(request)
    return _by_method(kind, request)


def _unknown(request: Request) -> Refused:
    # a list in something, such as .../virtualNetworks/x/subnets, has a verb and no type of its own
    return Refused(
        404,
        "InvalidResourceType",
        f"The resource type '{'/'.join(request.types)}' could not be found in the namespace"
        f" '{request.provider}' for api version '{request.query.get('api-version')}'.",
    )


# -- what stands before it ------------------------------------------------------------------------


def _token(environ: Environ) -> tuple[int, Any]:
    """A managed identity's token, as App Service gives it."""
    if not environ.get("HTTP_X_IDENTITY_HEADER"):
        return 400, {"statusCode": 400, "message": "X-IDENTITY-HEADER is missing."}
    token = f"emulated.{secrets.token_hex(16)}"
    world.tokens[token] = world.now() + world.settings.token_lifetime
    resource = dict(parse_qsl(environ.get("QUERY_STRING", ""))).get("resource", "")
    expires = str(int(time.time() + world.settings.token_lifetime))
    body = {"access_token": token, "expires_on": expires, "resource": resource}
    return 200, {**body, "token_type": "Bearer", "client_id": str(uuid4())}


def _check_token(authorization: str) -> None:
    kind, _, token = authorization.partition(" ")
    if kind != "Bearer" or token not in world.tokens:
        code, error = "InvalidAuthenticationToken", "invalid_token"
        if not authorization:
            code = "AuthenticationFailed"
    elif world.tokens[token] < world.now():
        code, error = "ExpiredAuthenticationToken", "invalid_token"
    else:
        return
    authority = "https://login.microsoftonline.com/common"
    challenge = f'Bearer authorization_uri="{authority}", error="{error}"'
    message = "The access token is missing, unknown or expired."
    raise Refused(401, code, message, {"WWW-Authenticate": challenge})


def _check_version(request: Request) -> None:
    version = request.query.get("api-version")
    if not version:
        raise Refused(
            400,
            "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.",
        )
    if not _VERSION.fullmatch(version):
        raise Refused(
            400,
            "InvalidApiVersionParameter",
            f"The api-version '{version}' is invalid. The supported versions are '...'.",
        )
    if version > _NEWEST:
        raise Refused(
            400,
            "NoRegisteredProviderFound",
            f"No registered resource provider found for API version '{version}' and type"
            f" '{'/'.join(request.types)}'.",
        )


def _fits(fault: Fault, call: dict[str, Any]) -> bool:
    return (
        not fault.operation
        and bool(re.fullmatch(fault.method, call["method"]))
        and bool(re.search(fault.path, f"{call['path']}?{call['query']}"))
    )


def _refusal(fault: Fault) -> Refused:
    return Refused(int(fault.status), fault.code, fault.message, fault.headers)


def _logged(environ: Environ, path: str, body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body) if body else None
    except ValueError:
        content = None
    headers = {
        key[5:].replace("_", "-").lower(): value
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    call = {
        "method": environ["REQUEST_METHOD"],
        "path": path,
        "query": environ.get("QUERY_STRING", ""),
        "action": environ["REQUEST_METHOD"],
        "status": 0,
        "code": None,
        "time": world.now(),
        "body": content,
        "headers": headers,
    }
    world.calls.append(call)
    return call


def _send(start_response: Any, status: int, answer: Any, headers: dict[str, str]) -> list[bytes]:
    content = b"" if answer is None else json.dumps(answer).encode()
    correlation = str(uuid4())
    own = {
        "Cache-Control": "no-cache",
        "Pragma": "no-cache",
        "Expires": "-1",
        "Date": formatdate(world.now(), usegmt=True),
        "x-ms-request-id": str(uuid4()),
        "x-ms-correlation-request-id": correlation,
        "x-ms-routing-request-id": f"WESTEUROPE:{correlation}",
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "X-Content-Type-Options": "nosniff",
        "Content-Length": str(len(content)),
    }
    if content:
        own["Content-Type"] = "application/json; charset=utf-8"
    phrase = HTTPStatus(status).phrase
    start_response(f"{status} {phrase}", list({**own, **headers}.items()))
    return [content]
