"""What leaves for a cloud while one of libcloud's methods runs, and what comes back.

libcloud's own exceptions do not tell whether a request has left. Its connections are given another
kind of session, which writes down each exchange, follows no redirect (a token would go along),
reads no ~/.netrc (a password would take the token's place) and waits for no answer for ever.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Final, TypeVar

__all__ = ["Exchange", "Wire", "guard", "guard_first"]

T = TypeVar("T")

_TIMEOUT: Final = 30.0
"""Seconds without a byte after which no answer is expected any more."""
_READING: Final = ("GET", "HEAD", "OPTIONS")
_DONE: Final = range(200, 300)


@dataclass(slots=True)
class Exchange:
    """One request, and its answer.

    Args:
        method: Of HTTP.
        signs_in: Whether it asks for a token, and changes nothing.
        status: The answer's; 0 if there is none.
        headers: The answer's, by their names in lower case.
    """

    method: str
    signs_in: bool = False
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def only_reads(self) -> bool:
        """Whether it changes nothing, however it ends."""
        return self.signs_in or self.method in _READING

    @property
    def changed(self) -> bool:
        """Whether something was changed by it for certain."""
        return not self.only_reads and self.status in _DONE


class Wire:
    """The exchanges of one driver, which one thread uses at a time.

    `sees` is whether they are written down: not where a connection has a class of its own.

    Args:
        pay: Returns when one more request may leave; "reads" or "writes".
        ca_file: Certificates to trust in place of the system's; empty for these.
    """

    def __init__(self, pay: Callable[[str], None] = lambda _: None, ca_file: str = "") -> None:
        """Nothing has left yet."""
        self.pay = pay
        self._ca_file = ca_file
        self.sees = False
        self.exchanges: list[Exchange] = []
        self._sessions: list[Any] = []

    def connection(self, *, signs_in: bool, ca_file: str = "") -> Callable[..., Any]:
        """What takes the place of LibcloudConnection in one of a driver's connections."""
        return partial(_connection(), self, signs_in, ca_file or self._ca_file)

    def opened(self, session: Any) -> None:  # noqa: ANN401  (a requests.Session)
        """A session to be closed in the end."""
        self._sessions.append(session)

    def close(self) -> None:
        """Close all sockets."""
        for session in self._sessions:
            session.close()


def guard_first(driver: Any, wire: Wire) -> None:  # noqa: ANN401  (a NodeDriver)
    """The same for a driver whose constructor is yet to run: some of them sign in at once."""
    from libcloud.http import LibcloudConnection

    own = driver.connectionCls
    if getattr(own, "conn_class", None) is LibcloudConnection:
        connect = wire.connection(signs_in=False)  # a partial: from Python 3.14 a method in a class
        changed = {"conn_class": staticmethod(connect), "retryCls": staticmethod(_once)}
        driver.connectionCls = type(own.__name__, (own,), changed)


def guard(driver: Any, wire: Wire) -> None:  # noqa: ANN401  (a NodeDriver)
    """Let a driver's connections go by the wire, and ask once only: who repeats is the core."""
    from libcloud.common.base import Connection

    for connection in list(vars(driver).values()):
        if isinstance(connection, Connection):
            _guard(connection, wire, signs_in=False)
            if (identity := getattr(connection, "get_auth_class", None)) is not None:
                _guard(identity(), wire, signs_in=True)


def _guard(connection: Any, wire: Wire, *, signs_in: bool) -> None:  # noqa: ANN401
    from libcloud.http import LibcloudConnection

    connection.retryCls = _once
    own: Any = connection.conn_class  # a test's may be in its place, or another provider's
    if own is LibcloudConnection or isinstance(own, partial):
        wire.sees = True
        kept = (
            getattr(connection.connection, "ca_cert", None) or ""
        )  # kubevirt's constructor sets it
        connection.conn_class = wire.connection(signs_in=signs_in, ca_file=kept)
        connection.connection = None  # libcloud connects when it is needed


def _once(**_: object) -> Callable[[T], T]:
    """In place of libcloud's Retry, which LIBCLOUD_RETRY_FAILED_HTTP_REQUESTS switches on."""
    return _as_it_is


@cache
def _connection() -> Callable[..., Any]:
    """The class, made when libcloud is imported anyway."""
    from libcloud import http

    stock: Any = http.LibcloudConnection  # some of it has types, and some types are wrong

    class Recorded(stock):  # type: ignore[misc]
        """A connection that writes down what leaves by it."""

        def __init__(
            self,
            wire: Wire,
            signs_in: bool,  # noqa: FBT001
            ca_file: str,
            host: str | None,
            port: int,
            **more: Any,  # noqa: ANN401
        ) -> None:
            super().__init__(host=host, port=port, **more)
            self._wire, self._signs_in = wire, signs_in
            if ca_file:
                self.ca_cert = ca_file
            self.session.timeout = min(self.session.timeout or _TIMEOUT, _TIMEOUT)
            self.session.max_redirects = 0
            self.session.auth = _as_it_is
            if _is_loopback(host):
                self.session.trust_env = False  # this machine's own address is behind no proxy
            wire.opened(self.session)

        def request(self, method: str, *args: Any, **more: Any) -> None:  # noqa: ANN401
            exchange = Exchange(method.upper(), self._signs_in)
            self._wire.pay("reads" if exchange.only_reads else "writes")
            self._wire.exchanges.append(exchange)
            super().request(method, *args, **more)
            exchange.status = self.response.status_code
            headers = self.response.headers.items()
            exchange.headers = {name.lower(): value for name, value in headers}

    return Recorded


def _as_it_is(value: T) -> T:
    return value


def _is_loopback(host: str | None) -> bool:
    if not host:  # some drivers learn it only later
        return False
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
