"""The replay's HTTP: one connection, a token, and no opinion about what comes back."""

from __future__ import annotations

import http.client
import json
import re
from typing import Any
from urllib.parse import quote, urlsplit

_SUBSCRIPTION = re.compile(r"(\bsubscriptions/)[^/?\"]+", re.IGNORECASE)
_AUDIENCE = "resource=https://management.azure.com/&api-version=2019-08-01"


class Wire:
    """Sends what was recorded to the cloud at a URL, with its subscription for the recorded one."""

    def __init__(self, endpoint: str, environment: dict[str, str]) -> None:
        self._at = urlsplit(endpoint)
        self._environment = environment
        self._connection = self._connect()
        self._token = self._fetched()

    def send(self, method: str, target: str, body: Any) -> tuple[int, dict[str, str], Any]:
        """Status, headers in lower case, and JSON (text, if it is none; None for nothing)."""
        if not urlsplit(target).netloc:
            target = self._mine(target)
            body = json.loads(self._mine(json.dumps(body)))
        status, headers, answer = self._sent(method, target, body)
        if status == 401:
            self._token = self._fetched()
            status, headers, answer = self._sent(method, target, body)
        return status, headers, answer

    def close(self) -> None:
        """No connection stays open."""
        self._connection.close()

    def _sent(self, method: str, target: str, body: Any) -> tuple[int, dict[str, str], Any]:
        parts = urlsplit(target)
        # an operation's URL goes back byte for byte, a recorded one may need quoting
        path = parts.path if parts.netloc else quote(parts.path, safe="/$:()'@!*,;=+%")
        query = parts.query if parts.netloc else quote(parts.query, safe="&=$/?:@!*,;+%'()-._~")
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        for _ in range(2):  # a connection kept alive for too long is gone
            try:
                self._connection.request(method, path + "?" * bool(query) + query, data, headers)
                response = self._connection.getresponse()
                text = response.read().decode()
                break
            except (http.client.HTTPException, OSError):
                self._connection.close()
                self._connection = self._connect()
        else:
            return 0, {}, {"error": {"code": "no answer"}}
        given = {name.lower(): value for name, value in response.getheaders()}
        try:
            return response.status, given, json.loads(text) if text else None
        except ValueError:
            return response.status, given, text

    def _mine(self, text: str) -> str:
        own = self._environment.get("AZURE_SUBSCRIPTION_ID")
        return _SUBSCRIPTION.sub(rf"\g<1>{own}", text) if own else text

    def _connect(self) -> http.client.HTTPConnection:
        assert self._at.hostname is not None
        return http.client.HTTPConnection(self._at.hostname, self._at.port, timeout=30)

    def _fetched(self) -> str:
        """A token, from the endpoint for managed identities; any word where there is none."""
        if "IDENTITY_ENDPOINT" not in self._environment:
            return "testing"
        at = urlsplit(self._environment["IDENTITY_ENDPOINT"])
        headers = {"X-IDENTITY-HEADER": self._environment.get("IDENTITY_HEADER", "")}
        connection = self._connect()
        connection.request("GET", f"{at.path}?{_AUDIENCE}", headers=headers)
        token: str = json.loads(connection.getresponse().read())["access_token"]
        connection.close()
        return token
