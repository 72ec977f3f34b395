"""Operations that ARM keeps a record of: their handles, and how they stand.

A handle is the path and query of the operation's URL, byte for byte, and never its host: the bearer
token goes to the configured endpoint alone ("Track asynchronous operations", Azure Resource Manager
documentation; RFC 9110 for Retry-After).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from vmops import Failed, Operation, Pending, Progress, retry_after
from vmops_azure.client import Arm, is_arms
from vmops_azure.errors import NotArmError, caused

__all__ = ["DONE", "Operations"]

DONE: Final = object()
"""What `Operations.poll` says of an operation that has succeeded."""

_RECORD: Final = "operation"
_LOCATION: Final = "location"
_AFTER: Final = "after"
_LONGEST: Final = 12 * 1024
"""Characters of a handle in its URL; the whole of a URL has to stay below 16 KiB."""
_KINDS: Final = r"(operations|operationStatuses|operationResults|asyncOperations)"
_PATH: Final = (
    r"{}/(resourceGroups/[-\w.()]+/)?providers/Microsoft\.Compute/([-\w.]+/)*" + _KINDS + r"/[-\w]+"
)
_QUERY: Final = re.compile(r"[\w.~%!$&'()*+,;=:@/?-]*", re.ASCII)
_SLOWER: Final = 120.0
"""Seconds after which an operation is asked about less often, and how often then: Compute allows 45
polls of one operation at once and 15 a minute ("Compute throttling limits")."""
_SLOW: Final = 5.0


class Operations:
    """ARM's records of the operations of one connection.

    Args:
        arm: The connection.
    """

    def __init__(self, arm: Arm) -> None:
        """Ask nothing yet."""
        self._arm = arm
        self._path = re.compile(_PATH.format(re.escape(arm.subscription)), re.ASCII | re.IGNORECASE)
        self._moved: dict[str, str] = {}

    def handle(self, response: Any) -> dict[str, str]:  # noqa: ANN401  (an azure-core response)
        """What a verb's response says of its operation; empty where it must be judged by its VM."""
        headers = response.headers
        for key, name in ((_RECORD, "Azure-AsyncOperation"), (_LOCATION, "Location")):
            path = self._of(headers.get(name))
            if path and len(quote(path, safe="/:,@")) <= _LONGEST:
                after = headers.get("Retry-After")
                return {key: path, **({_AFTER: after} if after else {})}
        return {}

    def _of(self, url: str | None) -> str:
        """Path and query of an operation's URL; empty if it is none of this endpoint's."""
        if not url:
            return ""
        parts, ours = urlsplit(url), urlsplit(self._arm.endpoint)
        if (parts.scheme, parts.netloc.lower()) != (ours.scheme, ours.netloc.lower()):
            return ""
        path = url[len(f"{parts.scheme}://{parts.netloc}") :]
        return path if self._is_ours(path) else ""

    def _is_ours(self, path: str) -> bool:
        """Whether it is an operation on VMs of our subscription, and nothing that can be expanded.

        A handle may come from anywhere: it can select one of our own operations, and no more.
        """
        place, _, query = path.partition("?")
        if "/." in place:  # `..` would lead elsewhere
            return False
        return bool(self._path.fullmatch(place) and _QUERY.fullmatch(query))

    def of(self, operation: Operation) -> bool:
        """Whether ARM keeps a record of an operation, as far as its URL tells."""
        return self._is_ours(self._named(operation.handle)[1])

    @staticmethod
    def early_by(operation: Operation, now: float) -> float:
        """Seconds until ARM wants to be asked about an operation, as it said when accepting it."""
        after = operation.handle.get(_AFTER, "")
        digits = after.isascii() and after.isdigit()
        return operation.at + int(after) - now if digits else 0.0

    def poll(self, operation: Operation, now: float, timeout: float) -> Progress | object | None:
        """How an operation stands; DONE if it has succeeded, None if its VM must tell.

        Raises:
            HttpResponseError: ARM gave no answer about it, or is asked too often.
            NotArmError: Something answered, but not ARM.
        """
        key, path = self._named(operation.handle)
        response = self._arm.request("GET", self._moved.get(operation.id, path), timeout=timeout)
        status = response.status_code
        if status in {403, 404}:  # forgotten, or not for us to see
            return None
        hint = retry_after(response.headers.get("Retry-After"), now)
        if hint is None and now - operation.at > _SLOWER:
            hint = _SLOW
        if key == _LOCATION:
            return self._at_location(operation, response, hint)
        return _recorded(operation, self._arm.body(response), hint)

    def forget(self, operation: Operation) -> None:
        """An operation is over."""
        self._moved.pop(operation.id, None)

    def _at_location(
        self,
        operation: Operation,
        response: Any,  # noqa: ANN401
        hint: float | None,
    ) -> Progress | object | None:
        """202 as long as it runs; what ends it otherwise than well, its VM tells."""
        status = response.status_code
        if status == 202:  # noqa: PLR2004
            if moved := self._of(response.headers.get("Location")):
                self._moved[operation.id] = moved
            return Pending(hint)
        if status in {200, 201, 204}:
            if not is_arms(response):
                raise NotArmError("the answer about an operation is not ARM's")
            return DONE
        if status in {401, 408, 429} or status >= 500:  # noqa: PLR2004
            raise self._arm.refusal(response)
        return None

    @staticmethod
    def _named(handle: Mapping[str, str]) -> tuple[str, str]:
        key = _RECORD if _RECORD in handle else _LOCATION
        return key, handle.get(key, "")


def _recorded(
    operation: Operation, record: Mapping[str, Any], hint: float | None
) -> Progress | object:
    """Only succeeded, failed and canceled are final; ARM may call the rest what it likes."""
    status = record.get("status")
    if not isinstance(status, str):
        raise NotArmError("the record of an operation has no status")
    match status.lower():
        case "succeeded":
            return DONE
        case "failed" | "canceled" | "cancelled":
            error = record.get("error") or {"code": status, "message": f"the operation {status}"}
            return Failed(caused(operation.vm, error))
    return Pending(hint)
