"""What `fault_proxy.py` can do wrong, to which requests, and its log of them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Literal

FOREVER = sys.maxsize
Fault = Literal[
    "reset_before",  # the connection is reset, and nothing reached the cloud
    "lost",  # carried out; then the connection is reset without an answer
    "cut",  # carried out; the answer's body ends in the middle, Content-Length unchanged
    "garbage",  # 200 with an HTML page, as from a captive portal
    "empty",  # 200 with an empty body
    "status",  # an answer of the test's own
    "rewrite",  # carried out; the answer's body is what a function of the test's makes of it
    "hang",  # no answer until the client gives up or the proxy ends
    "delay",  # carried out at once; the answer comes late
]
CARRIED_OUT: set[Fault] = {"lost", "cut", "rewrite", "delay"}
PORTAL = b"<!DOCTYPE html><html><body><h1>Hotel WiFi</h1>Please sign in.</body></html>"
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked."""

    method: str
    path: str  # with the query
    headers: Headers
    body: bytes

    def header(self, name: str) -> str:
        """A header's value, in lower case."""
        return next((v.lower() for n, v in self.headers if n.lower() == name), "")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client is told."""

    status: int
    body: bytes = b""
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Pattern:
    """Which requests: the whole method, and something in path and body."""

    method: str = ".*"
    path: str = ""
    body: str = ""

    def fits(self, request: Request) -> bool:
        """Whether this request is one of them."""
        return bool(
            re.fullmatch(self.method, request.method)
            and re.search(self.path, request.path)
            and re.search(self.body, request.body.decode("latin-1"))
        )


@dataclass(slots=True)
class Rule:
    """A fault, and which requests meet it."""

    fault: Fault
    pattern: Pattern
    carried_out: bool
    skip: int  # so many matches pass first
    left: int
    seconds: float
    answer: Answer
    rewrite: Callable[[bytes], bytes]
    met: int = 0  # so many requests met it

    def meets(self, request: Request) -> bool:
        """Whether this request meets the fault. Each one asked about counts."""
        if not self.left or not self.pattern.fits(request):
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.left, self.met = self.left - 1, self.met + 1
        return True


@dataclass(slots=True)
class Exchange:
    """One request in the log, and what became of it."""

    request: Request
    fault: Fault | None
    carried_out: bool = False  # the cloud answered it
    status: int | None = None  # what the client was told


def action(name: str) -> str:
    """A pattern for the body of one call in EC2's and STS's query protocol."""
    return rf"(^|&)Action={re.escape(name)}(&|$)"


def ec2_error(code: str, status: int = 400, message: str = "injected") -> Answer:
    """EC2's own answer to a call that it refuses or fails."""
    body = (
        f"<Response><Errors><Error><Code>{code}</Code><Message>{escape(message)}</Message>"
        "</Error></Errors><RequestID>00000000-0000-0000-0000-000000000000</RequestID></Response>"
    )
    return Answer(status, body.encode(), (("Content-Type", "text/xml;charset=UTF-8"),))
