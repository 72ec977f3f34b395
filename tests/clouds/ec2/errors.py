"""Refusals, and how each protocol says them."""

from __future__ import annotations

import json
from uuid import uuid4
from xml.sax.saxutils import escape


class Refused(Exception):  # noqa: N818  (what AWS does, not an error of this program)
    """A call that EC2 answers with an error, and that changes nothing."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status


Answer = tuple[int, list[tuple[str, str]], bytes]


def refusal(service: str, code: str, message: str, status: int) -> Answer:
    """The HTTP answer that says so in the service's protocol."""
    request = str(uuid4())
    kind = "text/xml;charset=UTF-8"
    if service == "ssm":
        kind = "application/x-amz-json-1.1"
        body = json.dumps({"__type": code, "message": message})
    elif service == "ec2":
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>'
            f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
            f"</Error></Errors><RequestID>{request}</RequestID></Response>"
        )
    else:
        at_fault = "Sender" if status < 500 else "Receiver"
        body = (
            f"<ErrorResponse><Error><Type>{at_fault}</Type><Code>{escape(code)}</Code>"
            f"<Message>{escape(message)}</Message></Error><RequestId>{request}</RequestId>"
            "</ErrorResponse>"
        )
    return status, [("Content-Type", kind), ("x-amzn-RequestId", request)], body.encode()
