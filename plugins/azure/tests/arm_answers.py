"""Responses of azure-core made by hand, for errors that no server need be asked for."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import requests
from azure.core.rest import HttpRequest
from azure.core.rest._requests_basic import RestRequestsTransportResponse
from urllib3 import HTTPResponse

__all__ = ["response"]


def response(status: int, body: Any, **headers: str) -> Any:
    """A response as the SDK's transport returns it."""
    text = body if isinstance(body, str) else json.dumps(body)
    kind = "text/html" if isinstance(body, str) else "application/json"
    inner = requests.Response()
    inner.status_code = status
    inner.raw = HTTPResponse(BytesIO(text.encode()), preload_content=False)
    inner.headers.update({"Content-Type": kind, "x-ms-request-id": "r-1", **headers})
    request = HttpRequest("GET", "http://127.0.0.1/")
    made = RestRequestsTransportResponse(request=request, internal_response=inner)
    made.read()
    return made
