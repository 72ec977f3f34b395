"""The WSGI application: tokens, faults, api-version and limits stand before what is asked for."""

from __future__ import annotations

import json
import re
import socket
import sys
import time
import traceback
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

from stand_in_server import fits, headers, logged

from arm import groups, locks, references, roles, tokens
from arm.control import control
from arm.errors import Refused
from arm.kinds import Answer
from arm.limits import limited
from arm.paths import Request, parsed
from arm.routes import answered
from arm.world import Fault, world

Environ = dict[str, Any]
_VERSION = re.compile(r"20(1[0-9]|2[0-9])-(0[1-9]|1[0-2])-[0-3][0-9](-preview)?")
_NEWEST = "2027-01-01"


def application(environ: Environ, start_response: Any) -> list[bytes]:
    """Answers one request."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    path = environ.get("REQUEST_URI", environ["PATH_INFO"]).partition("?")[0]
    if path.startswith("/vmops/"):
        with world.lock:
            world.settle()
            answer = _of_ours(environ, path, body)
        return _send(environ, start_response, answer)
    if world.settings.latency:
        time.sleep(world.settings.latency)
    call = logged(world, environ, path, body)
    with world.lock:
        world.settle()
        answer, fault = _answered(environ, call)
    if fault is not None:
        time.sleep(fault.delay)
        if fault.drop:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)  # the answer goes nowhere
    return _send(environ, start_response, answer)


def _of_ours(environ: Environ, path: str, body: bytes) -> Answer:
    """What is the tests' own, and the tokens."""
    if path == tokens.PATH:
        resource = dict(parse_qsl(environ.get("QUERY_STRING", ""))).get("resource", "")
        return *tokens.issued(headers(environ), resource), {}
    return *control(environ["REQUEST_METHOD"], path, body), {}


def _answered(environ: Environ, call: dict[str, Any]) -> tuple[Answer, Fault | None]:
    shown: dict[str, str] = {}
    fault = None
    try:
        request = _request(environ, call)
        call["action"] = request.action
        tokens.checked(request.headers.get("authorization", ""))
        fault = world.fault(lambda one: fits(one, call))
        if fault is not None and not fault.after:
            _spoil(fault)
        _check(request)
        shown = limited(request)
        status, answer, headers = answered(request)
        if fault is not None and fault.after:
            _spoil(fault)
    except Refused as exc:
        status, answer, headers = exc.status, exc.body, exc.headers
        call["code"] = exc.code
    except Exception as exc:  # noqa: BLE001  (a gap in the emulator: the test must see it)
        traceback.print_exc(file=sys.stderr)
        call["code"] = "EmulatorFailed"
        error = {"code": call["code"], "message": repr(exc)}
        status, answer, headers = 501, {"error": error}, {}
    call["status"] = 0 if fault is not None and fault.drop else status
    call["headers"].pop("authorization", None)
    return (status, answer, {**shown, **headers}), fault


def _request(environ: Environ, call: dict[str, Any]) -> Request:
    path = unquote(call["path"])
    return Request(
        call["method"],
        path,
        {key.lower(): value for key, value in parse_qsl(call["query"])},
        call["query"],
        call["body"],
        dict(call["headers"]),
        f"{environ['wsgi.url_scheme']}://{environ['HTTP_HOST']}",
        **parsed(path),
    )


# -- what stands before it ------------------------------------------------------------------------


def _check(request: Request) -> None:
    """What ARM itself refuses, whatever is asked for."""
    _check_version(request)
    _check_body(request)
    groups.need_subscription(request)
    references.checked(request)
    roles.checked(request)
    locks.checked(request)


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
            f"The api-version '{version}' is invalid. The supported versions are '{_NEWEST}'.",
        )
    if version > _NEWEST:
        raise Refused(
            400,
            "NoRegisteredProviderFound",
            f"No registered resource provider found for API version '{version}' and type"
            f" '{'/'.join(request.types)}'. The supported api-versions are '{_NEWEST}'.",
        )


def _check_body(request: Request) -> None:
    empty = request.body is None and request.method != "PUT"
    if not empty and not isinstance(request.body, dict):
        raise Refused(
            400,
            "InvalidRequestContent",
            "The request content was invalid and could not be deserialized.",
        )


def _spoil(fault: Fault) -> None:
    """Ends a request with what a fault says, unless that only delays it."""
    if fault.status is not None or fault.drop:
        raise Refused(int(fault.status or 500), fault.code, fault.message, fault.headers)


# -- the wire -------------------------------------------------------------------------------------


def _send(environ: Environ, start_response: Any, answer: Answer) -> list[bytes]:
    status, body, headers = answer
    content = b"" if body is None else json.dumps(body).encode()
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
    return [b"" if environ["REQUEST_METHOD"] == "HEAD" else content]
