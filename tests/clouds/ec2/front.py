"""What stands before moto: the lock, the clock, limits, faults and the log."""

from __future__ import annotations

import io
import json
import re
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

from ec2.control import control
from ec2.errors import Answer, Refused, refusal
from ec2.limits import limit
from ec2.world import Fault, world

Environ = dict[str, Any]
_SCOPE = re.compile(r"Credential=([^/]*)/\d+/([^/]*)/([^/]*)/")
_REQUEST = re.compile(rb"(<[Rr]equestI[dD]>)[^<]*<")
_SECRET = re.compile(r"^(Signature|AWSAccessKeyId|X-Amz-)")


@dataclass(frozen=True)
class _Call:
    service: str
    scope: str
    action: str
    agent: str
    parameters: dict[str, Any]


def _read(environ: Environ) -> bytes:
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _call(environ: Environ, body: bytes) -> _Call:
    scope = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    key, region, service = scope.groups() if scope else ("", "", "")
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        action, parameters = target.rpartition(".")[2], json.loads(body or b"{}")
    else:
        given = dict(parse_qsl(body.decode(), keep_blank_values=True))
        action = given.pop("Action", "")
        parameters = {name: value for name, value in given.items() if not _SECRET.match(name)}
    agent = environ.get("HTTP_USER_AGENT", "")
    return _Call(service, f"{key}/{region}", action, agent, parameters)


class Front:
    """The WSGI application of the whole server, over moto's."""

    def __init__(self, moto: Callable[..., Iterable[bytes]]) -> None:
        self._moto = moto

    def __call__(self, environ: Environ, start_response: Any) -> list[bytes]:
        """Answers one call."""
        body, path = _read(environ), environ["PATH_INFO"]
        if path.startswith("/vmops/"):
            with world.lock:
                world.settle()
                status, body = control(environ["REQUEST_METHOD"], path, body)
            return _send(start_response, (status, [("Content-Type", "application/json")], body))
        call = _call(environ, body)
        if world.settings.latency:
            time.sleep(world.settings.latency)
        with world.lock:
            world.settle()
            answer, fault = self._answer(call, environ)
            _log(call, answer)
            date = formatdate(world.now(), usegmt=True)
        if fault and fault.delay:
            time.sleep(fault.delay)
        if fault and not fault.status:
            return _cut(environ, start_response)
        status, headers, body = answer
        kept = [each for each in headers if each[0].lower() != "date"]
        return _send(start_response, (status, [*kept, ("Date", date)], body))

    def _answer(self, call: _Call, environ: Environ) -> tuple[Answer, Fault | None]:
        fault = world.fault(call.action, after=False)
        if fault:
            return _faulty(call, fault), fault
        try:
            limit(call.scope, call.action, call.parameters)
            answer = self._forward(environ)
        except Refused as exc:
            return refusal(call.service, exc.code, exc.message, exc.status), None
        except Exception as exc:  # noqa: BLE001  (a gap in the stand-in: the test must see it)
            traceback.print_exc(file=sys.stderr)
            return refusal(call.service, "StandInFailed", repr(exc), 501), None
        fault = world.fault(call.action, after=True)
        return (_faulty(call, fault), fault) if fault else (answer, None)

    def _forward(self, environ: Environ) -> Answer:
        begun: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            begun[:] = [int(status.partition(" ")[0]), list(headers)]

        parts = self._moto(environ, start_response)
        try:
            body = b"".join(parts)
        finally:
            close = getattr(parts, "close", None)
            if close:
                close()
        # moto leaves its placeholder in most of EC2's answers
        request = str(uuid4())
        body = _REQUEST.sub(rf"\g<1>{request}<".encode(), body, count=1)
        headers = [each for each in begun[1] if each[0].lower() != "x-amzn-requestid"]
        return begun[0], [*headers, ("x-amzn-RequestId", request)], body


def _faulty(call: _Call, fault: Fault) -> Answer:
    return refusal(call.service, fault.code, fault.message, fault.status)


def _log(call: _Call, answer: Answer) -> None:
    code = re.search(rb"<Code>([^<]+)</Code>|\"__type\": ?\"([^\"]+)\"", answer[2])
    world.calls.append(
        {
            "action": call.action,
            "service": call.service,
            "time": world.now(),
            "status": answer[0],
            "code": next(each for each in code.groups() if each).decode() if code else None,
            "agent": call.agent,
            "region": call.scope.partition("/")[2],
            "parameters": call.parameters,
        }
    )


def _cut(environ: Environ, start_response: Any) -> list[bytes]:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    start_response("500 cut", [("Content-Length", "0")])
    return []


def _send(start_response: Any, answer: Answer) -> list[bytes]:
    status, headers, body = answer
    kept = [each for each in headers if each[0].lower() != "content-length"]
    phrase = HTTPStatus(status).phrase
    start_response(f"{status} {phrase}", [*kept, ("Content-Length", str(len(body)))])
    return [body]
