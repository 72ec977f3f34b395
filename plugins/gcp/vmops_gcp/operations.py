"""Operations that GCE keeps a record of: their handles, and how they stand.

A handle is an operation's name. Project and zone are those of the connection, which the core has
compared with the operation's URL before anything is asked.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

from vmops import Action, Operation
from vmops.errors import CloudError, InvalidRequest
from vmops_gcp.client import Compute, epoch
from vmops_gcp.errors import NotGceError, caused, read

__all__ = ["Operations", "Record", "begun", "misnamed", "name_of", "request_id"]

_NAME: Final = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_NAMESPACE: Final = uuid.UUID("0d6e52a4-0c3c-5d5a-8d0c-6a4be0a6b8f3")
_SKEW: Final = 3600.0
"""Seconds by which this machine's clock may be fast."""
_CLIENT: Final = "ZoneOperationsClient"


def request_id(verb: str, token: str) -> str:
    """The requestId of a verb: GCE carries out a request with the same one once.

    Google takes a valid UUID that is not zero ("requestId", Compute Engine API).
    """
    return str(uuid.uuid5(_NAMESPACE, f"{verb}/{token}"))


_KINDS: Final[Mapping[Action, frozenset[str]]] = {
    Action.PROVISION: frozenset({"insert", "start"}),  # of a VM that exists and is stopped
    Action.START: frozenset({"start"}),
    Action.STOP: frozenset({"stop"}),
    Action.RESTART: frozenset({"stop", "start", "reset"}),
    Action.DEPROVISION: frozenset({"delete"}),
}
"""Action -> what GCE calls its operations (`operationType`)."""


class Record:
    """An operation as GCE shows it.

    Args:
        shown: The protobuf message.
    """

    __slots__ = ("_errors", "begun", "done", "http_status", "kind", "name", "target", "target_id")

    def __init__(self, shown: Any) -> None:  # noqa: ANN401  (an Operation of the SDK)
        """Read what is needed.

        Raises:
            NotGceError: It lacks what GCE always says.
        """
        if not shown.name or not shown.status:
            raise NotGceError("the answer is no operation: it has no name or no status")
        self.name: str = shown.name
        self.done: bool = shown.status == _done_status()
        self.kind: str = shown.operation_type
        self.target: str = shown.target_link.rpartition("/instances/")[2]
        self.target_id: str = str(shown.target_id) if shown.target_id else ""
        self.begun = epoch(shown.insert_time) or 0.0
        self.http_status: int = shown.http_error_status_code
        self._errors = list(shown.error.errors)

    def error(self, vm: str) -> CloudError | None:
        """Why it failed; None as long as it runs, and if it succeeded."""
        if not self.done or not (self._errors or self.http_status):
            return None
        return caused(vm, self._errors or [_Nameless(self.http_status)])

    def is_about(self, operation: Operation) -> bool:
        """Whether it is what an operation's URL says: a forged one may name another VM or verb."""
        same_vm = bool(self.target_id) and self.target_id == operation.vm_id
        return same_vm and self.kind in {"", *_KINDS[operation.action]}

    def handle(self) -> dict[str, str]:
        """What a URL keeps of it; without the VM's number it is not believed later."""
        vm = {"vmId": self.target_id} if self.target_id else {}
        return {**vm, "operation": self.name, "begun": str(int(self.begun))}


class Operations:
    """GCE's records of the operations of one connection.

    Args:
        compute: The connection.
    """

    def __init__(self, compute: Compute) -> None:
        """Ask nothing yet."""
        self._compute = compute

    def get(self, name: str, timeout: float) -> Record:
        """An operation as it is now."""
        self._compute.pay("read")
        return Record(self._compute.call(_CLIENT, "get", operation=name, timeout=timeout))

    def wait(self, name: str, timeout: float) -> Record:
        """An operation when it is done, or after two minutes at most; so GCE promises.

        Args:
            name: The operation's.
            timeout: Seconds after which the request is given up.
        """
        self._compute.pay("wait")
        return Record(self._compute.call(_CLIENT, "wait", operation=name, timeout=timeout))

    def finished(self, since: float, timeout: float) -> Iterator[list[Record]]:
        """Pages of the zone's operations that are done, newest first, back to that time."""
        newest: dict[str, Any] = {"filter": "status = DONE", "order_by": "creationTimestamp desc"}
        for page in self._compute.pages(_CLIENT, timeout, **newest):
            records = [Record(item) for item in page.items if item.name and item.status]
            yield records
            if records and records[-1].begun < since:
                return

    def handle_of_request(self, id_: str) -> dict[str, str]:
        """The handle of the operation that a request with this id began; empty if GCE won't tell.

        Without it, the VM's state tells how it stands.
        """
        try:
            for page in self._compute.pages(_CLIENT, filter=f'clientOperationId = "{id_}"'):
                for item in page.items:
                    return Record(item).handle()
        except Exception as exc:
            if read(exc) is None:
                raise
        return {}


def misnamed(operation: Operation, name: str) -> CloudError | None:
    """The refusal of an operation whose URL gives a VM's number another name than GCE does.

    Args:
        operation: What the URL says; of a VM without a name of ours, its number for both.
        name: What GCE calls it; empty or its number where GCE does not tell.
    """
    number = operation.vm_id
    if operation.vm in {name, number} or name in {"", number}:
        return None
    return InvalidRequest(
        f"gcp: VM {number} is {name!r}, and the operation's URL calls it {operation.vm!r}",
        hint="wait for the URL as it was given",
    )


def name_of(operation: Operation) -> str:
    """The name of GCE's record of an operation; empty where its URL names none."""
    name = operation.handle.get("operation", "")
    return name if _NAME.fullmatch(name) else ""


def begun(operation: Operation) -> float:
    """A time at which GCE had not heard of an operation yet, epoch seconds by its own clock."""
    text = operation.handle.get("begun", "")
    known = text.isascii() and text.isdigit()
    return float(text) - 1 if known else operation.at - _SKEW


_BY_STATUS: Final = {
    403: "PERMISSIONS_ERROR",
    404: "RESOURCE_NOT_FOUND",
    409: "RESOURCE_IN_USE",
    429: "RATE_LIMIT_EXCEEDED",
}


class _Nameless:
    """An error of which there is only an HTTP status."""

    def __init__(self, status: int) -> None:
        otherwise = "UNAVAILABLE" if status >= 500 else "BAD_REQUEST"  # noqa: PLR2004
        self.code = _BY_STATUS.get(status, otherwise)
        self.message = f"the operation ended with HTTP status {status}"


def _done_status() -> int:
    from google.cloud.compute_v1 import Operation as Shown

    return int(Shown.Status.DONE)
