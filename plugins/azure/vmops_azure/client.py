"""Requests to Azure Resource Manager: the SDK's verbs, and plain JSON beside them.

Requests are made with paths, never with URLs that somebody gave, and each is made once: there is
one retry layer, the core's.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from vmops import http_date
from vmops_azure.errors import NotArmError, SignInError
from vmops_azure.pipeline import endpoint, made
from vmops_azure.settings import AzureSettings

__all__ = ["COMPUTE", "FORCE", "Arm", "is_arms"]

T = TypeVar("T")

COMPUTE: Final = "2024-11-01"
"""The api-version of Microsoft.Compute, for the SDK's verbs and our reads alike: the first one in
which an inline network interface can carry tags."""
FORCE: Final = "2025-11-01"
"""The first api-version that can deallocate by force; sovereign clouds get new ones later."""

_CONNECT_TIMEOUT: Final = 5.0
_READ_TIMEOUT: Final = 20.0
_UNAUTHORIZED: Final = 401
_ERROR: Final = 400


@dataclass(slots=True, eq=False)
class _Login:
    """A client, and whether its token has ever been taken."""

    client: Any
    worked: bool = False


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
        self._login: _Login | None = None
        self._past: list[_Login] = []
        self._worked = False
        self.endpoint = endpoint(settings)
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
            answered: list[Any] = []
            options = {
                **self._options(),
                "api_version": COMPUTE,
                "raw_response_hook": answered.append,
                **kwargs,
            }
            try:
                begun = begin(group, *args, polling=False, cls=_first, **options)
                return begun.result().http_response
            except (AttributeError, TypeError, ValueError) as exc:
                if not answered:
                    raise
                raise NotArmError(f"{name}: the answer cannot be read: {exc}") from exc

        response = self._guarded(call)
        if not is_arms(response):
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
        timeout: float | None = None,
    ) -> Any:  # noqa: ANN401  (an HttpResponse, imported lazily)
        """The response to one request; whatever its status, it is not raised.

        Args:
            method: GET, PUT or PATCH.
            path: Path and query. azure-core formats it as a template, so braces are refused.
            body: Sent as JSON.
            timeout: Seconds, if fewer than usual.
        """
        from azure.core.rest import HttpRequest

        if not path.startswith("/") or path.startswith("//") or "{" in path or "}" in path:
            raise ValueError("a path of our own has the wrong form")
        if method == "GET":
            self._pay("read")
        request = HttpRequest(method, path, json=body)
        options = self._options(timeout)
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

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        """A request whose answer need not tell anything but that it was accepted."""
        response = self.request(method, path, body=body)
        if response.status_code >= _ERROR:
            raise self.refusal(response)

    def find(self, path: str) -> dict[str, Any] | None:
        """A resource, or None where ARM says that it, or its resource group, is not there."""
        response = self.request("GET", path)
        if response.status_code == 404 and _code(response) in _MISSING:  # noqa: PLR2004
            return None
        return self.body(response)

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """All items of a list, page by page, each paid for; none where the group does not exist."""
        first = path
        while True:
            if "/Microsoft.Compute/" in path:
                self._pay("list")
            answer = self.find(path)
            if answer is None and path is first:
                return
            if answer is None or not isinstance(answer.get("value"), list):
                raise NotArmError("the answer is no list")
            yield from answer["value"]
            following = answer.get("nextLink")
            if not following:
                return
            parts = urlsplit(following)  # its host is not asked: the endpoint is ours
            path = f"{parts.path}?{parts.query}"

    def now(self) -> float:
        """ARM's own clock in epoch seconds, asked for."""
        response = self.request("GET", f"{self.subscription}?api-version=2022-12-01")
        self.body(response)
        now = http_date(response.headers.get("Date"))
        if now is None:
            raise NotArmError("the answer has no Date")
        return now

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
            logins, self._past, self._login = [*self._past, self._login], [], None
        for login in logins:
            if login is not None:
                login.client.close()

    def _options(self, timeout: float | None = None) -> dict[str, Any]:
        return {
            "connection_timeout": _CONNECT_TIMEOUT,
            "read_timeout": _READ_TIMEOUT if timeout is None else min(timeout, _READ_TIMEOUT),
            # http is for loopback only: the settings say so
            "enforce_https": self.endpoint.startswith("https"),
        }

    def _guarded(self, call: Callable[[Any], T]) -> T:
        """One call. One whose token is refused was not carried out: it leaves with a new one.

        Raises:
            SignInError: There is no new token, although there was one before.
        """
        from azure.core.exceptions import ClientAuthenticationError

        while True:
            login = self._connected()
            try:
                answer = call(login.client)
            except ClientAuthenticationError as exc:
                if exc.response is None and self._worked:  # azure-identity's, if nobody answers it
                    raise SignInError(f"no new access token: {exc.message}") from exc
                if not login.worked:
                    raise
            else:
                accepted = getattr(answer, "status_code", 0) != _UNAUTHORIZED
                if accepted:
                    self._worked = login.worked = True
                if accepted or not login.worked:
                    return answer
            self._sign_in_anew(login)

    def _sign_in_anew(self, refused: _Login) -> None:
        """Let the next request make a new client, unless another thread has done so."""
        with self._lock:
            if self._login is refused:
                self._past.append(refused)  # others may be in the middle of a request
                self._login = None

    def _connected(self) -> _Login:
        login = self._login
        if login is None:
            with self._lock:
                login = self._login = self._login or _Login(made(self._settings))
        return login


def is_arms(response: Any) -> bool:  # noqa: ANN401
    """Whether ARM has answered, and not a proxy: each of its answers has headers of its own."""
    return any(key.lower().startswith("x-ms-") for key in response.headers)


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
