"""Operations under way: accepted with a URL, polled there, and gone some time after their end."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from arm.errors import Refused
from arm.paths import Request
from arm.world import Fault, Resource, world

_VERSIONS = {"microsoft.compute": "2025-11-01", "microsoft.network": "2024-05-01"}


@dataclass(eq=False)
class Operation:
    """One operation.

    Args:
        kind: Whose seconds it takes, in the settings; faults name it, too.
        request: What began it.
        resource: What it is about.
        done: Called at its end, with the error if it failed.
        output: What a poll tells when it has succeeded, or what then says so.
    """

    kind: str
    request: Request
    resource: Resource
    done: Callable[[dict[str, Any] | None], None]
    output: Any = None
    id: str = field(default_factory=lambda: str(uuid4()))
    status: str = "InProgress"
    error: dict[str, Any] | None = None
    began: float = 0.0
    ended: float = 0.0
    query: str = ""

    def end(self, status: str, error: dict[str, Any] | None) -> None:
        """It is over, unless it was before."""
        if self.status != "InProgress":
            return
        self.status, self.error, self.ended = status, error, world.now()
        self.done(error)


def begin(operation: Operation, *, fails: dict[str, Any] | None = None) -> Operation:
    """Lets it run for as long as the settings say, and end as faults say."""
    operation.began = world.now()
    world.operations[operation.id] = operation
    seconds = getattr(world.settings, operation.kind)
    if operation.kind == "create":
        seconds += random.random() * world.settings.jitter
    fault = world.fault(lambda one: one.operation == operation.kind)
    if fault is not None and fault.status == "InProgress":
        return operation  # for ever
    status, error = _outcome(fault, fails)
    world.later(seconds, lambda: operation.end(status, error))
    return operation


def _outcome(fault: Fault | None, fails: dict[str, Any] | None) -> tuple[str, Any]:
    if fault is not None:
        return str(fault.status), {"code": fault.code, "message": fault.message}
    return ("Failed", fails) if fails else ("Succeeded", None)


def headers(operation: Operation, wanted: str) -> dict[str, str]:
    """The headers of the answer that accepts it.

    Args:
        operation: What was begun.
        wanted: Letters: A for Azure-AsyncOperation, L for Location, N for azure-asyncnotification.
    """
    found: dict[str, str] = {}
    url = _url(operation)
    alone = world.settings.location_only
    if "A" in wanted and not alone:
        found["Azure-AsyncOperation"] = url
    if "L" in wanted or alone:
        found["Location"] = _monitored(url, operation)
    if "N" in wanted:
        found["azure-asyncnotification"] = "Enabled"
    if world.settings.retry_after is not None:
        found["Retry-After"] = str(world.settings.retry_after)
    return found


def _monitored(url: str, operation: Operation) -> str:
    """Compute marks the same URL, all others have another one."""
    if operation.request.provider == "microsoft.compute":
        return url.replace("?p=", "?monitor=true&p=", 1)
    return url.replace("/operations/", "/operationResults/", 1)


def _url(operation: Operation) -> str:
    """Signed, as ARM's are: more than a kilobyte, which has to come back byte for byte."""
    request, provider = operation.request, operation.request.provider
    host = world.settings.operation_host or request.base
    names = {"microsoft.compute": "Microsoft.Compute", "microsoft.network": "Microsoft.Network"}
    disk = operation.request.types[:1] in {("disks",), ("snapshots",)}
    kind = "DiskOperations" if disk else "operations"
    location = operation.resource.hidden.get("location") or "westeurope"
    secret = hashlib.sha512(operation.id.encode()).hexdigest()
    query = (
        f"p={uuid4()}&api-version={_VERSIONS.get(provider, '2022-09-01')}"
        f"&t={int(operation.began * 10_000_000)}&c=MIIH{secret * 7}"
        f"&s={secret[:86]}_-~.{secret[:40]}%2B&h={secret[20:62]}%3D"
    )
    operation.query = query
    place = f"/subscriptions/{request.subscription}"
    if not provider:
        return f"{host}{place}/operationresults/{operation.id}?{query}"
    place += f"/providers/{names.get(provider, provider)}/locations/{location}"
    return f"{host}{place}/{kind}/{operation.id}?{query}"


def polled(request: Request) -> tuple[int, Any, dict[str, str]]:
    """What an operation's URL answers."""
    operation: Operation | None = world.operations.get(request.names[-1])
    lifetime = world.settings.operation_lifetime
    forgotten = (
        operation is not None
        and operation.status != "InProgress"
        and (world.now() > operation.ended + lifetime)
    )
    if operation is None or forgotten or not _is_of(operation, request):
        raise Refused(404, "NotFound", f"The entity was not found: {request.names[-1]}")
    monitor = request.query.get("monitor") == "true" or "results" in request.types[-1]
    if request.raw_query.replace("monitor=true&", "", 1) != operation.query:
        raise Refused(403, "AuthorizationFailed", "The signature of the operation does not match.")
    after = world.settings.poll_retry_after
    hint = {} if after is None or operation.status != "InProgress" else {"Retry-After": str(after)}
    if not monitor:
        return 200, _record(operation), hint
    if operation.status == "InProgress":
        return 202, None, {**hint, "Location": f"{request.base}{request.path}?{request.raw_query}"}
    if operation.error is not None:
        return 409, {"error": operation.error}, {}
    output = operation.output
    return 200, output() if callable(output) else output, {}


def _is_of(operation: Operation, request: Request) -> bool:
    return operation.request.subscription.lower() == request.subscription.lower()


def _record(operation: Operation) -> dict[str, Any]:
    record: dict[str, Any] = {"status": operation.status}
    if operation.request.provider == "microsoft.compute":
        record = {"startTime": stamp(operation.began), **record, "name": operation.id}
        if operation.ended:
            record["endTime"] = stamp(operation.ended)
        if operation.output is not None and operation.status == "Succeeded":
            output = operation.output
            record["properties"] = {"output": output() if callable(output) else output}
    if operation.error is not None:
        record["error"] = operation.error
    return record


def stamp(at: float) -> str:
    """A time as Compute writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "1+00:00"
