"""Refusals, as ARM words them."""

from __future__ import annotations

from typing import Any


class Refused(Exception):  # noqa: N818  (what ARM does, not an error of this program)
    """A request is refused.

    Args:
        status: HTTP status.
        code: ARM's error code.
        message: What the error says.
        headers: Of the answer.
        more: Other members of the error, such as `target`.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers or {}
        self.body = {"error": {"code": code, **more, "message": message}}


def missing(kind: str, name: str, group: str) -> Refused:
    """There is no such resource."""
    return Refused(
        404,
        "ResourceNotFound",
        f"The Resource '{kind}/{name}' under resource group '{group}' was not found. For more"
        " details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def no_group(group: str) -> Refused:
    """There is no such resource group."""
    return Refused(404, "ResourceGroupNotFound", f"Resource group '{group}' could not be found.")
