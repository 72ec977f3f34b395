"""libcloud's drivers: made from settings, one for each thread that is at work, never shared.

A driver keeps its connection, its token and its last answer in itself, so no two threads may use it
at once. Threads come and go; drivers wait in a pool for the next one, with their sockets open.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from vmops.errors import MissingDependency
from vmops_libcloud import capabilities
from vmops_libcloud.constructors import Constructor, constructor
from vmops_libcloud.dialects import Dialect
from vmops_libcloud.errors import CallError, is_expired
from vmops_libcloud.settings import LibcloudSettings
from vmops_libcloud.wire import Exchange, Wire, guard, guard_first

__all__ = ["Drivers"]

T = TypeVar("T")


class Drivers:
    """The drivers of one connection.

    Args:
        settings: Which provider, and its credentials.
        dialect: What is special there.
        pay: Returns when one more request may leave; "reads" or "writes".
    """

    def __init__(
        self,
        settings: LibcloudSettings,
        dialect: Dialect,
        pay: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Make none yet."""
        self._pay = pay
        self._settings = settings
        self._dialect = dialect
        self._lock = threading.Lock()
        self._idle: list[tuple[Any, Wire]] = []
        self._closed = False

    def call(self, function: Callable[[Any], T]) -> T:
        """What a function of a driver returns; where its token has expired, it is asked again.

        Raises:
            CallError: It failed, with what had left by then.
        """
        return self.observed(function)[0]

    def observed(self, function: Callable[[Any], T]) -> tuple[T, list[Exchange]]:
        """The same, with the exchanges that it took."""
        driver, wire = self._taken()
        try:
            try:
                return self._once(driver, wire, function)
            except CallError as exc:
                if not is_expired(exc):
                    raise
                return self._once(driver, wire, function)
        finally:
            self._back(driver, wire)

    def close(self) -> None:
        """Close the sockets of all drivers; those at work follow when they are done."""
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for _, wire in idle:
            wire.close()

    @staticmethod
    def _once(
        driver: Any,  # noqa: ANN401  (a NodeDriver)
        wire: Wire,
        function: Callable[[Any], T],
    ) -> tuple[T, list[Exchange]]:
        wire.exchanges = []
        try:
            return function(driver), wire.exchanges
        except Exception as exc:
            raise CallError(exc, wire.exchanges if wire.sees else None) from exc

    def _taken(self) -> tuple[Any, Wire]:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        self._check()
        wire = Wire(self._pay, str(self._settings.ca_file or ""))
        try:
            return self._made(wire), wire
        except Exception as exc:
            raise CallError(exc, wire.exchanges) from exc

    def _check(self) -> None:
        provider = self._settings.provider
        module, distribution = constructor(provider).special.package
        if module and importlib.util.find_spec(module) is None:
            message = f"{provider}: libcloud's driver needs {distribution}, which is not installed"
            raise MissingDependency(message, install=f"pip install {distribution}")

    def _back(self, driver: Any, wire: Wire) -> None:  # noqa: ANN401
        with self._lock:
            if not self._closed:
                self._idle.append((driver, wire))
                return
        wire.close()

    def _made(self, wire: Wire) -> Any:  # noqa: ANN401
        settings, how = self._settings, constructor(self._settings.provider)
        cls, version = capabilities.driver(settings.provider)
        pair = (settings.key.get_secret_value(), settings.secret.get_secret_value())
        arguments = {
            **(how.located(settings.endpoint_url) if settings.endpoint_url else {}),
            **self._dialect.arguments(settings),
            **how.credentials(*pair),
            **how.typed(settings.arguments),
        }
        if version:
            arguments["api_version"] = version
        driver: Any = object.__new__(cls)  # DigitalOcean's own __new__ loses the key on its way
        guard_first(driver, wire)
        driver.__init__(**arguments)
        self._dialect.prepare(driver, _left(settings, how, driver))
        guard(driver, wire)
        return driver


def _left(settings: LibcloudSettings, how: Constructor, driver: Any) -> LibcloudSettings:  # noqa: ANN401
    """The settings of which a driver that was made has yet to be told: not what it has by now."""
    from libcloud.common.base import Connection

    url = settings.endpoint_url
    if not isinstance(getattr(driver, "connection", None), Connection):
        url = None
    elif url and "path" in how.address:  # the driver itself puts it in front of all that it asks
        url = url.removesuffix(urlsplit(url).path)
    return settings.model_copy(update={"endpoint_url": url})
