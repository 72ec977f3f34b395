"""Operations: PENDING, RUNNING, then DONE with or without an error, and in the end forgotten."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from gce import errors, failures, names, tokens
from gce.request import Request
from gce.resource import Resource, copied
from gce.world import Fault, world

Error = dict[str, Any]
_HOUR = 3600.0


def _nothing(*_: Any) -> None:
    """There is nothing to do."""


@dataclass(eq=False)
class Operation(Resource):
    """One operation, which is a resource like others.

    Args:
        started: Called when it is RUNNING.
        ended: Called at its end, with the error if it failed.
        target: What it is about, if that is here.
    """

    started: Callable[[], None] = _nothing
    ended: Callable[[Error | None], None] = _nothing
    target: Resource | None = None
    done: threading.Condition = field(default_factory=lambda: threading.Condition(world.lock))

    @property
    def is_done(self) -> bool:
        """Whether it is over."""
        return bool(self.body["status"] == "DONE")

    def run(self) -> None:
        """It is RUNNING."""
        if self.body["status"] != "PENDING":
            return
        with self.changing() as body:
            body |= {"status": "RUNNING", "startTime": names.stamp(world.now())}
        self.started()

    def end(self, error: Error | None) -> None:
        """It is DONE."""
        if self.is_done:
            return
        with self.changing() as body:
            body |= {"status": "DONE", "progress": 100, "endTime": names.stamp(world.now())}
            if error is not None:
                status, phrase = failures.http(error["code"])
                body |= {"httpErrorStatusCode": status, "httpErrorMessage": phrase}
                body["error"] = {"errors": [error]}
        if self.target is not None and self.target.busy is self:
            self.target.busy = None
        self.ended(error)
        self.done.notify_all()
        world.later(world.settings.operation_lifetime, self.forget)

    def forget(self) -> None:
        """It can be found no more."""
        world.remove(self)


@dataclass
class Plan:
    """What an operation does.

    Args:
        kind: Its type, as `insert`.
        path: What it is about.
        id: That one's number.
        seconds: How long it takes.
        started: Called when it is RUNNING.
        ended: Called at its end, with the error if it failed.
        target: What it is about, if nothing else is to begin there until it ends.
        fails: The error with which it ends.
        user: Who began it.
    """

    kind: str
    path: str
    id: str
    seconds: float = 0.0
    started: Callable[[], None] = _nothing
    ended: Callable[[Error | None], None] = _nothing
    target: Resource | None = None
    fails: Error | None = None
    warnings: list[dict[str, Any]] = field(default_factory=list)
    user: str = tokens.ACCOUNT
    more: dict[str, Any] = field(default_factory=dict)


def begin(plan: Plan, place: str, request: Request | None = None) -> dict[str, Any]:
    """Lets an operation run for as long as it takes, and end as faults say; its first answer."""
    now = world.now()
    body: dict[str, Any] = {
        "kind": "compute#operation",
        "id": names.number(),
        "name": names.operation(now),
        "operationType": plan.kind,
        "targetLink": names.url(plan.path),
        "targetId": plan.id,
        "status": "PENDING",
        "user": plan.user,
        "progress": 0,
        "insertTime": names.stamp(now),
        **plan.more,
    }
    body["selfLink"] = names.url(f"{place}/operations/{body['name']}")
    _, _, scope = place.split("/", 2)
    if scope != "global":
        body[scope.partition("/")[0][:-1]] = names.url(place)
    if plan.warnings:
        body["warnings"] = plan.warnings
    operation = Operation("operations", place, body, started=plan.started, ended=plan.ended)
    operation.target = plan.target
    if plan.target is not None:
        plan.target.busy = operation
    world.add(operation)
    if request is not None and (id_ := request.query.get("requestId")):
        body["clientOperationId"] = id_
        world.requests[id_.lower()] = _mark(request), now, operation
    _run(operation, plan)
    return copied(operation.body)


def _run(operation: Operation, plan: Plan) -> None:
    fault = world.fault(lambda one: _fits(one, plan))
    error = _error(fault, plan)
    for_ever = fault is not None and fault.status == "RUNNING"
    if not plan.seconds and world.settings.inline_done and not for_ever:
        operation.run()
        operation.end(error)
        return
    world.later(plan.seconds * world.settings.pending, operation.run)
    if not for_ever:
        world.later(plan.seconds, lambda: operation.end(error))


def _fits(fault: Fault, plan: Plan) -> bool:
    return fault.operation == plan.kind and bool(re.search(fault.path, plan.path))


def _error(fault: Fault | None, plan: Plan) -> Error | None:
    if fault is None or fault.status == "RUNNING":
        return plan.fails
    return {"code": fault.code, "message": fault.message}


# -- the same request once more -------------------------------------------------------------------


def _mark(request: Request) -> str:
    return f"{request.method.id} {request.path}"


def repeated(request: Request) -> dict[str, Any] | None:
    """The first answer's operation as it is now, if this request has been made before.

    What Google does with another request of the same id is nowhere said; here it is refused, since
    answering it with the operation of something else would hide a client's mistake.
    """
    id_ = request.query.get("requestId")
    if id_ is None:
        return None
    try:
        zero = UUID(id_).int == 0
    except ValueError:
        zero = True
    if zero or len(id_) != len(str(UUID(int=0))):
        raise errors.invalid("requestId", id_, "Must be a valid UUID that is not zero.")
    mark, at, operation = world.requests.get(id_.lower(), ("", 0.0, None))
    if operation is None or world.now() - at > _HOUR:
        return None
    if mark != _mark(request):
        raise errors.invalid("requestId", id_, "It has been used for another request.")
    return copied(operation.body)


# -- what can be asked of them --------------------------------------------------------------------


def found(request: Request) -> Operation:
    """The operation that a request is about."""
    operation = world.find("operations", request.place, request.target)
    if not isinstance(operation, Operation):
        raise errors.missing(f"{request.place}/operations/{request.target}")
    return operation


def get(request: Request) -> Operation:
    """An operation as it is."""
    return found(request)


def wait(request: Request) -> Operation:
    """An operation when it is DONE, or after some time."""
    operation, age = found(request), world.age
    until = world.now() + world.settings.wait_limit
    while not operation.is_done and world.now() < until and not world.settings.wait_returns_early:
        world.wait(operation.done, until)
        if world.age != age:
            return found(request)
        world.settle()
    return operation


def delete(request: Request) -> None:
    """An operation that is over is forgotten."""
    operation = found(request)
    if not operation.is_done:
        raise errors.not_ready(operation.path)
    operation.forget()
