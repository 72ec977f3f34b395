"""Answers of GCE as Google's library makes exceptions of them."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["refusal"]


def refusal(status: int, reason: str, message: str = "said", **headers: str) -> Any:
    """The GoogleAPICallError of an answer with this status and reason; empty is no reason."""
    from google.api_core.exceptions import from_http_response
    from requests import Request, Response

    response = Response()
    response.status_code = status
    response.headers.update({key.replace("_", "-"): value for key, value in headers.items()})
    errors = [{"message": message, "domain": "global", "reason": reason}] if reason else []
    said = {"error": {"code": status, "message": message, "errors": errors}}
    response._content = json.dumps(said).encode()
    response.request = Request("POST", "https://compute.googleapis.com/compute/v1/x").prepare()
    return from_http_response(response)
