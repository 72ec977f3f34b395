"""The WSGI application: tokens, faults, the document and limits stand before what is asked for."""

from __future__ import annotations

import json
import socket
import sys
import time
import traceback
import zlib
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from stand_in_server import fits, headers, logged

from gce import answers, limits, methods, operations, permissions, tokens
from gce.control import control
from gce.discovery import document
from gce.errors import Refused
from gce.request import Request
from gce.world import Fault, world

Environ = dict[str, Any]
Answer = tuple[int, Any, dict[str, str]]
_JSON = "application/json; charset=UTF-8"


def application(environ: Environ, start_response: Any) -> list[bytes]:
    """Answers one request."""
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    path = str(environ.get("REQUEST_URI", environ["PATH_INFO"])).partition("?")[0]
    if path.startswith(("/vmops/", "/computeMetadata")) or path == "/":
        with world.lock:
            world.settle()
            answer = _of_ours(environ, path, body)
        return _send(environ, start_response, answer)
    if world.settings.latency:
        time.sleep(world.settings.latency)
    call = logged(world, environ, path, body)
    with world.lock:
        world.settle()
        answer, fault = _answered(call)
    if fault is not None:
        time.sleep(fault.delay)
        if fault.drop:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)  # the answer goes nowhere
    return _send(environ, start_response, answer)


def _of_ours(environ: Environ, path: str, body: bytes) -> Answer:
    """What is the tests' own, and the metadata server."""
    if path.startswith("/vmops/"):
        return *control(environ["REQUEST_METHOD"], path, body), {}
    query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
    return tokens.metadata(path, headers(environ), query)


def _answered(call: dict[str, Any]) -> tuple[Answer, Fault | None]:
    fault = None
    answer: Answer
    try:
        request, fault = _request(call)
        if fault is not None and not fault.after:
            _spoil(fault)
        limits.limited(request)
        answer = 200, _done(request), {}
        if fault is not None and fault.after:
            _spoil(fault)
    except Refused as exc:
        answer = exc.status, exc.body, exc.headers
        call["code"] = exc.reason
    except Exception as exc:  # noqa: BLE001  (a gap in the emulator: the test must see it)
        traceback.print_exc(file=sys.stderr)
        call["code"] = "emulatorFailed"
        answer = 501, Refused(501, call["code"], repr(exc)).body, {}
    call["status"] = 0 if fault is not None and fault.drop else answer[0]
    call["headers"].pop("authorization", None)
    return answer, fault


def _request(call: dict[str, Any]) -> tuple[Request, Fault | None]:
    """The request, once it is known to be one, and the fault that it meets."""
    method, params = document().find(call["method"], call["path"])
    call["action"] = method.id
    tokens.checked(call["headers"].get("authorization", ""), method.id)
    fault = world.fault(lambda one: fits(one, call))
    query = method.query(parse_qsl(call["query"], keep_blank_values=True), document().common)
    if query.get("fields") or query.get("alt", "json") != "json":
        raise Refused(501, "notImplemented", "The emulator serves whole answers in JSON alone")
    request = Request(
        method,
        params,
        query,
        document().check_body(method, call["body"]),
        call["method"],
        call["path"],
        call["headers"],
        call["query"],
    )
    return request, fault


def _done(request: Request) -> str:
    """Does what is asked for; the text of the answer."""
    permissions.checked(request)
    operation = operations.repeated(request) if request.http != "GET" else None
    if operation is None:
        return answers.text(request, methods.handler(request)(request))
    return answers.text(request, operation)


_REASONS = {
    400: "invalid",
    401: "authError",
    403: "forbidden",
    404: "notFound",
    409: "alreadyExists",
    412: "conditionNotMet",
    429: "rateLimitExceeded",
    500: "internalError",
}


def _spoil(fault: Fault) -> None:
    """Ends a request with what a fault says, unless that only delays it."""
    if fault.status is None and not fault.drop:
        return
    status = int(fault.status or 503)
    reason = fault.code or _REASONS.get(status, "backendError")
    domain = "usageLimits" if "LimitExceeded" in reason else "global"
    raise Refused(status, reason, fault.message, domain=domain, headers=fault.headers)


# -- the wire -------------------------------------------------------------------------------------


def _send(environ: Environ, start_response: Any, answer: Answer) -> list[bytes]:
    status, body, headers = answer
    ours = not isinstance(body, str)
    content = (json.dumps(body) if ours else body).encode()
    plain = not ours and "Metadata-Flavor" in headers
    own = {
        "Content-Type": "application/text" if plain else _JSON,
        "Vary": "Origin, X-Origin, Referer",
        "Date": formatdate(world.now(), usegmt=True),
        "Server": "ESF",
        "Cache-Control": "private",
        "X-XSS-Protection": "0",
        "X-Frame-Options": "SAMEORIGIN",
        "X-Content-Type-Options": "nosniff",
        "Content-Length": str(len(content)),
    }
    if status == HTTPStatus.OK and environ["REQUEST_METHOD"] == "GET":
        own["ETag"] = f'"{zlib.crc32(content):08x}{len(content):08x}"'
    phrase = HTTPStatus(status).phrase
    start_response(f"{status} {phrase}", list({**own, **headers}.items()))
    return [content]
