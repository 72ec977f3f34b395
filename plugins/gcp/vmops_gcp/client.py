"""Requests to the Compute Engine API, through Google's clients.

Each request is made once: there is one retry layer, the core's. Nothing is requested by a URL that
somebody gave; Google's clients compose all of them from names.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Final, TypeVar

from vmops import http_date
from vmops.errors import InvalidRequest
from vmops_gcp.errors import NotGceError, read
from vmops_gcp.settings import GcpSettings

__all__ = ["Compute", "epoch"]

T = TypeVar("T")

_TIMEOUT: Final = 20.0
_CONNECTIONS: Final = 32
_PAGE: Final = 500
"""Items of a page at most (maxResults, Compute Engine API)."""
_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)


class Compute:
    """The Compute Engine API for one project and zone.

    Args:
        settings: Which project, zone and endpoint.
        pay: Waits for the budget of one more call of a class.
    """

    def __init__(self, settings: GcpSettings, pay: Callable[[str], None]) -> None:
        """Import nothing yet."""
        self._settings = settings
        self.pay = pay
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._credentials: Any = None
        self._date = ""

    # -- requests ---------------------------------------------------------------------------------

    def call(
        self,
        client: str,
        method: str,
        *,
        timeout: float | None = None,
        zonal: bool = True,
        **fields: object,
    ) -> Any:  # noqa: ANN401  (a message of the SDK)
        """The answer to one request, as a protobuf message.

        Args:
            client: A class of `compute_v1`, such as InstancesClient.
            method: Its method, such as `get` or `insert_unary`.
            timeout: Seconds without a byte, after which no answer is expected any more; 20 if None.
            zonal: Whether the request names the zone.
            fields: Of the request.
        """
        asked = {**self._place(zonal=zonal), **fields}
        answer = self._guarded(
            lambda: getattr(self._client(client), method)(
                request=asked, timeout=_TIMEOUT if timeout is None else timeout, retry=None
            )
        )
        return type(answer).pb(answer)

    def get(self, client: str, **fields: Any) -> Any:  # noqa: ANN401
        """One resource; None where GCE says that there is none."""
        from google.api_core.exceptions import NotFound

        self.pay("read")
        try:
            return self.call(client, "get", **fields)
        except NotFound as exc:
            fault = read(exc)
            if fault is None or fault.code != "notFound":  # a proxy's page says nothing of a VM
                raise
            if not any(f"/{name}'" in fault.message for name in fields.values()):
                raise InvalidRequest(fault.message, hint="check project and zone") from exc
            return None

    def pages(self, client: str, timeout: float = _TIMEOUT, **fields: object) -> Iterator[Any]:
        """The pages of a list in the zone, each of up to 500 items and paid for.

        Raises:
            NotGceError: Something answered that is no list.
        """
        asked = {**self._place(), "max_results": _PAGE, **fields}
        wait = min(timeout, _TIMEOUT)
        self.pay("list")
        pager = self._guarded(
            lambda: self._client(client).list(request=asked, timeout=wait, retry=None)
        )
        pages = pager.pages
        page = next(pages)
        while page is not None:
            if not page.kind.startswith("compute#"):
                raise NotGceError("the answer is no list of GCE's")
            yield type(page).pb(page)
            if not page.next_page_token:
                return
            self.pay("list")
            page = self._guarded(lambda: next(pages, None))

    def now(self) -> float:
        """GCE's own clock in epoch seconds, asked for."""
        self.pay("list")
        self._guarded(
            lambda: self._client("InstancesClient").list(
                request={**self._place(), "max_results": 1}, timeout=_TIMEOUT, retry=None
            )
        )
        now = http_date(self._date)
        if now is None:
            raise NotGceError("the answer has no Date")
        return now

    def close(self) -> None:
        """Let go of all sockets."""
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            client.transport.close()

    def _place(self, *, zonal: bool = True) -> dict[str, str]:
        place = {"project": self._settings.project}
        return {**place, "zone": self._settings.zone} if zonal else place

    # -- the SDK ----------------------------------------------------------------------------------

    def _guarded(self, call: Callable[[], T]) -> T:
        """One call.

        Raises:
            NotGceError: Something answered, but not GCE.
        """
        from google.protobuf.json_format import ParseError
        from requests.exceptions import TooManyRedirects

        try:
            return call()
        except (ParseError, UnicodeDecodeError) as exc:
            raise NotGceError("the answer is not GCE's (a proxy's, or a cut one)") from exc
        except TooManyRedirects as exc:
            raise NotGceError("the answer leads elsewhere, which GCE's never does") from exc

    def _client(self, name: str) -> Any:  # noqa: ANN401
        client = self._clients.get(name)
        if client is None:
            with self._lock:
                client = self._clients.get(name)
                if client is None:
                    client = self._clients[name] = self._made(name)
        return client

    def _made(self, name: str) -> Any:  # noqa: ANN401
        """A client of the SDK whose session neither retries nor follows anything."""
        import google.auth
        from google.api_core.client_options import ClientOptions
        from google.cloud import compute_v1
        from requests.adapters import HTTPAdapter

        logging.getLogger(compute_v1.__name__).setLevel(logging.INFO)  # at DEBUG: all user data
        if self._credentials is None:
            self._credentials, _ = google.auth.default(scopes=_SCOPES)
        options = ClientOptions(api_endpoint=self._settings.endpoint_url)
        client = getattr(compute_v1, name)(credentials=self._credentials, client_options=options)
        session = client.transport._session  # noqa: SLF001  (the SDK offers no other way to it)
        for one in (session, session._auth_request_session):  # noqa: SLF001  (that of its tokens)
            one.auth = _as_it_is  # else a ~/.netrc would take the place of the bearer token
            one.max_redirects = 0
        if str(self._settings.endpoint_url).startswith("http:"):
            session.trust_env = False  # this machine's own address is not behind a proxy
        session.hooks["response"].append(self._seen)
        for scheme in ("https://", "http://"):
            session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=_CONNECTIONS))
        return client

    def _seen(self, response: Any, *_: Any, **__: Any) -> None:  # noqa: ANN401
        self._date = response.headers.get("Date", "")


def _as_it_is(request: T) -> T:
    return request


def epoch(text: str) -> float | None:
    """A time as GCE writes it (RFC 3339) in epoch seconds; None if there is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
