"""Refusals, as Google's APIs word them."""

from __future__ import annotations

from typing import Any


class Refused(Exception):  # noqa: N818  (what the API does, not an error of this program)
    """A request is refused.

    Args:
        status: HTTP status.
        reason: Of the first error; `reason` is what clients should look at.
        message: What the error says.
        domain: Of the first error.
        headers: Of the answer.
        said: What the first error says, if that is something else.
        where: Other members of the first error, such as `location`.
        more: Other members, such as `status` and `details`.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        /,
        *,
        domain: str = "global",
        headers: dict[str, str] | None = None,
        said: str = "",
        where: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status, self.reason, self.headers = status, reason, headers or {}
        first = {"message": said or message, "domain": domain, "reason": reason, **(where or {})}
        self.body = {"error": {"code": status, "message": message, "errors": [first], **more}}


def missing(path: str) -> Refused:
    """There is no such resource."""
    return Refused(404, "notFound", f"The resource '{path}' was not found")


def invalid(field: str, value: object, why: str) -> Refused:
    """A field has a value that it cannot have."""
    return Refused(400, "invalid", f"Invalid value for field '{field}': '{value}'. {why}")


def required(field: str) -> Refused:
    """A field that has to be there is not."""
    return Refused(400, "required", f"Required field '{field}' not specified")


def not_ready(path: str) -> Refused:
    """Something else is under way."""
    return Refused(400, "resourceNotReady", f"The resource '{path}' is not ready")


def in_use(path: str, by: str) -> Refused:
    """Another resource needs it."""
    message = f"The {_kind(path)} resource '{path}' is already being used by '{by}'"
    return Refused(400, "resourceInUseByAnotherResource", message)


def exists(path: str) -> Refused:
    """There is one of this name."""
    return Refused(409, "alreadyExists", f"The resource '{path}' already exists")


def badly_formed(message: str) -> Refused:
    """A request that the API cannot even read."""
    violation = {"description": message}
    detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
    return Refused(400, "badRequest", message, status="INVALID_ARGUMENT", details=[detail])


def _kind(path: str) -> str:
    return path.split("/")[-2].removesuffix("es" if path.split("/")[-2] == "addresses" else "s")
