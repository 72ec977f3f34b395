"""One pipeline per connection: the SDK's client, its credentials, and plain JSON beside its verbs.

The SDK's own pipeline retries, follows redirects, sleeps while it registers providers, and reads
`Retry-After` as a whole number after the request was accepted. This one does none of that: there is
one retry layer, the core's. Requests are made with paths, never with URLs that somebody gave.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from vmops_azure.errors import NotArmError, StaleTokenError, seconds
from vmops_azure.settings import AzureSettings

__all__ = ["COMPUTE", "Arm"]

T = TypeVar("T")
R = TypeVar("R")

COMPUTE: Final = "2025-11-01"
"""The api-version of Microsoft.Compute, for the SDK's verbs and our reads alike: the first one that
can deallocate by force."""

_CONNECT_TIMEOUT: Final = 5.0
_READ_TIMEOUT: Final = 20.0
_CONNECTIONS: Final = 32
_AT_ONCE: Final = 8
"""Reads in flight at once."""
_UNAUTHORIZED: Final = 401
_ERROR: Final = 400


class Arm:
    """Azure Resource Manager for one connection.

    Args:
        settings: Which cloud, endpoint and subscription.
        pay: Waits for the budget of one more call of a class.
    """

    def __init__(self, settings: AzureSettings, pay: Callable[[str], None]) -> None:
        """Import nothing yet."""
        self._settings = settings
        self._pay = pay
        self._lock = threading.Lock()
        self._client: Any = None
        self._worked = False
        self._closed: list[Any] = []
        self.subscription = f"/subscriptions/{settings.subscription}"
        self.group = f"{self.subscription}/resourceGroups/{settings.resource_group}"

    # -- requests ---------------------------------------------------------------------------------

    def verb(self, name: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  (SDK values)
        """The answer to the first request of `virtual_machines.begin_*`; nothing polls after it.

        Raises:
            NotArmError: Something answered, but not ARM.
        """

        def call(client: Any) -> Any:  # noqa: ANN401
            begin = getattr(client.virtual_machines, name)
            group = self._settings.resource_group
            options = {**self._options(), "api_version": COMPUTE, **kwargs}
            return begin(group, *args, polling=False, cls=_first, **options).result().http_response

        response = self._guarded(call)
        if not any(key.lower().startswith("x-ms-") for key in response.headers):
            raise NotArmError(
                f"{name}: the answer is not ARM's (a proxy's, or a cut one); whether ARM was"
                " reached is unknown"
            )
        return response

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        timeout: float = _READ_TIMEOUT,
    ) -> Any:  # noqa: ANN401  (an HttpResponse, imported lazily)
        """The response to one request; whatever its status, it is not raised.

        Args:
            method: GET, PUT or PATCH.
            path: Path and query. azure-core formats it as a template, so braces are refused.
            body: Sent as JSON.
            timeout: Seconds.
        """
        from azure.core.rest import HttpRequest

        if not path.startswith("/") or path.startswith("//") or "{" in path or "}" in path:
            raise ValueError("a path of our own has the wrong form")
        if method == "GET":
            self._pay("read")
        request = HttpRequest(method, path, json=body)
        options = self._options(min(timeout, _READ_TIMEOUT))
        response: Any = self._guarded(lambda client: client.send_request(request, **options))
        return response

    def json(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The JSON object that a request is answered with.

        Raises:
            HttpResponseError: ARM refused.
            NotArmError: The answer is no JSON object.
        """
        return self.body(self.request(method, path, body=body))

    def body(self, response: Any) -> dict[str, Any]:  # noqa: ANN401
        """The JSON object of a response that is no refusal."""
        if response.status_code >= _ERROR:
            raise self.refusal(response)
        try:
            found = response.json()
        except (ValueError, UnicodeError) as exc:
            raise NotArmError("the answer is no JSON") from exc
        if not isinstance(found, dict):
            raise NotArmError("the answer is no JSON object")
        return found

    def find(self, path: str) -> dict[str, Any] | None:
        """A resource, or None where ARM says that it, or its resource group, is not there."""
        response = self.request("GET", path)
        if response.status_code == 404 and _code(response) in _MISSING:  # noqa: PLR2004
            return None
        return self.body(response)

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """All items of a list, page by page; each page has its own budget."""
        while True:
            self._pay("list")
            answer = self.json("GET", path)
            if not isinstance(answer.get("value"), list):
                raise NotArmError("the answer is no list")
            yield from answer["value"]
            following = answer.get("nextLink")
            if not following:
                return
            parts = urlsplit(following)  # its host is not asked: the endpoint is ours
            path = f"{parts.path}?{parts.query}"

    @staticmethod
    def each(function: Callable[[T], R], items: list[T]) -> list[R]:
        """The results for all items, a few at once."""
        if len(items) < 2:  # noqa: PLR2004  (nothing to do side by side)
            return [function(item) for item in items]
        with ThreadPoolExecutor(min(_AT_ONCE, len(items))) as pool:
            return list(pool.map(function, items))

    def now(self) -> float:
        """ARM's own clock in epoch seconds, asked for."""
        response = self.request("GET", f"{self.subscription}?api-version=2022-12-01")
        self.body(response)
        try:
            return parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
        except ValueError as exc:
            raise NotArmError("the answer has no Date") from exc

    @staticmethod
    def refusal(response: Any) -> Exception:  # noqa: ANN401
        """The exception that the SDK would raise for a response."""
        from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
        from azure.mgmt.core.exceptions import ARMErrorFormat

        kind = HttpResponseError
        if response.status_code == _UNAUTHORIZED:
            kind = ClientAuthenticationError
        return kind(response=response, error_format=ARMErrorFormat)

    # -- the pipeline -----------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of all sockets."""
        with self._lock:
            clients, self._closed, self._client = [*self._closed, self._client], [], None
        for client in clients:
            if client is not None:
                client.close()

    @property
    def endpoint(self) -> str:
        """Where requests go: scheme, host and port."""
        if self._settings.endpoint_url:
            return self._settings.endpoint_url
        from azure.mgmt.core.tools import get_arm_endpoints

        found: str = get_arm_endpoints(self._cloud())["resource_manager"]
        return found.rstrip("/")

    def _options(self, timeout: float = _READ_TIMEOUT) -> dict[str, Any]:
        # http is for loopback only: the settings say so
        return {
            "connection_timeout": _CONNECT_TIMEOUT,
            "read_timeout": timeout,
            "enforce_https": self.endpoint.startswith("https"),
        }

    def _guarded(self, call: Callable[[Any], T]) -> T:
        """One call; if its token is refused although it worked before, the next has a new one."""
        from azure.core.exceptions import ClientAuthenticationError

        client = self._connected()
        try:
            answer = call(client)
        except ClientAuthenticationError as exc:
            if exc.response is None or not self._worked:
                raise
            self._renew(client)
            raise StaleTokenError("the access token is refused; a new one is asked for") from exc
        if getattr(answer, "status_code", 0) == _UNAUTHORIZED and self._worked:
            self._renew(client)
            raise StaleTokenError("the access token is refused; a new one is asked for")
        self._worked = True
        return answer

    def _renew(self, refused: Any) -> None:  # noqa: ANN401
        """Sign in anew, unless another thread has done so; a token that is refused next is bad."""
        with self._lock:
            if self._client is refused:
                self._closed.append(refused)  # others may be in the middle of a request
                self._client, self._worked = None, False

    def _connected(self) -> Any:  # noqa: ANN401
        client = self._client
        if client is None:
            with self._lock:
                client = self._client = self._client or self._made()
        return client

    def _made(self) -> Any:  # noqa: ANN401
        from azure.core.pipeline import policies
        from azure.core.pipeline.transport import RequestsTransport
        from azure.mgmt.compute import ComputeManagementClient
        from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy
        from azure.mgmt.core.tools import get_arm_endpoints

        credential = self._credential()
        scopes = get_arm_endpoints(self._cloud())["credential_scopes"]
        return ComputeManagementClient(
            credential,
            self._settings.subscription,
            base_url=self.endpoint,
            transport=RequestsTransport(session=_session()),
            policies=[
                policies.RequestIdPolicy(),
                policies.UserAgentPolicy("vmops"),
                policies.ProxyPolicy(),
                policies.ContentDecodePolicy(),
                ARMChallengeAuthenticationPolicy(credential, *scopes),
                policies.CustomHookPolicy(raw_response_hook=_whole_retry_after),
            ],
        )

    def _credential(self) -> Any:  # noqa: ANN401
        from azure.identity import AzureAuthorityHosts, DefaultAzureCredential

        authority = {
            "public": AzureAuthorityHosts.AZURE_PUBLIC_CLOUD,
            "usgov": AzureAuthorityHosts.AZURE_GOVERNMENT,
            "china": AzureAuthorityHosts.AZURE_CHINA,
        }[self._settings.cloud]
        return DefaultAzureCredential(authority=authority)

    def _cloud(self) -> Any:  # noqa: ANN401
        from azure.core import AzureClouds

        return {
            "public": AzureClouds.AZURE_PUBLIC_CLOUD,
            "usgov": AzureClouds.AZURE_US_GOVERNMENT,
            "china": AzureClouds.AZURE_CHINA_CLOUD,
        }[self._settings.cloud]


_MISSING: Final = frozenset({"ResourceNotFound", "ResourceGroupNotFound", "NotFound"})


def _code(response: Any) -> str:  # noqa: ANN401
    """The error code in a response; empty if it has none."""
    try:
        return str(json.loads(response.text())["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def _first(pipeline_response: T, _: object, __: object) -> T:
    """For the SDK's `cls`: the first response as it is."""
    return pipeline_response


def _session() -> Any:  # noqa: ANN401
    from requests import Session
    from requests.adapters import HTTPAdapter

    session = Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=_CONNECTIONS))
    return session


def _whole_retry_after(response: Any) -> None:  # noqa: ANN401
    """The SDK reads this header as an int, and raises after the request was accepted."""
    headers = response.http_response.headers
    after = headers.get("Retry-After")
    if after is not None and not after.isdigit():
        headers["Retry-After"] = str(ceil(seconds(after, time.time()) or 0.0))
