"""libcloud's drivers: made from settings, one for each thread that is at work, never shared.

A driver keeps its connection, its token and its last answer in itself, so no two threads may use it
at once. Threads come and go; drivers wait in a pool for the next one, with their sockets open.
"""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final, TypeVar

from vmops_libcloud import capabilities
from vmops_libcloud.dialects import Dialect
from vmops_libcloud.errors import CallError, is_expired
from vmops_libcloud.settings import LibcloudSettings
from vmops_libcloud.wire import Exchange, Wire, guard

__all__ = ["Drivers", "constructor_arguments"]

T = TypeVar("T")

_NUMBERS: Final = ("port", "timeout")
"""Numbers, though their default is None."""
_TAKEN: Final = re.compile(r"kwargs(?:\.pop|\.get)?[(\[]\s*[\"'](\w+)[\"']")


class Drivers:
    """The drivers of one connection.

    Args:
        settings: Which provider, and its credentials.
        dialect: What is special there.
    """

    def __init__(self, settings: LibcloudSettings, dialect: Dialect) -> None:
        """Make none yet."""
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
        wire = Wire()
        try:
            return self._made(wire), wire
        except Exception as exc:
            raise CallError(exc, wire.exchanges) from exc

    def _back(self, driver: Any, wire: Wire) -> None:  # noqa: ANN401
        with self._lock:
            if not self._closed:
                self._idle.append((driver, wire))
                return
        wire.close()

    def _made(self, wire: Wire) -> Any:  # noqa: ANN401
        cls, version = capabilities.driver(self._settings.provider)
        arguments = {**self._dialect.arguments(self._settings), **self._given(cls)}
        if version:
            arguments["api_version"] = version
        key, secret = (
            self._settings.key.get_secret_value(),
            self._settings.secret.get_secret_value(),
        )
        driver: Any = object.__new__(cls)  # DigitalOcean's own __new__ loses the key on its way
        driver.__init__(key, *([secret] if secret else []), **arguments)
        self._dialect.prepare(driver, self._settings)
        guard(driver, wire)
        return driver

    def _given(self, cls: type[Any]) -> dict[str, Any]:
        """What was given by prefix, as what the constructor's defaults are."""
        defaults = {one.name: one.default for one in _parameters(cls)}
        return {n: _like(v, n, defaults.get(n)) for n, v in self._settings.arguments.items()}


@cache
def constructor_arguments(provider: str) -> frozenset[str]:
    """The names of all that a provider's driver, or one that it is made of, can be made with."""
    cls, _ = capabilities.driver(provider)
    named = {p.name for p in _parameters(cls) if p.kind not in {p.VAR_KEYWORD, p.VAR_POSITIONAL}}
    taken = (_TAKEN.findall(inspect.getsource(function)) for function in _constructors(cls))
    return frozenset(named.union(*taken) - {"self"})


def _parameters(cls: type[Any]) -> Iterator[inspect.Parameter]:
    """Those of a class's constructors, its own last."""
    for function in _constructors(cls):
        yield from inspect.signature(function).parameters.values()


def _constructors(cls: type[Any]) -> list[Any]:
    functions = [vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base)]
    return functions[-2::-1]  # not object's


def _like(text: str, name: str, default: object) -> object:
    """Text as the type of what it stands in for."""
    if isinstance(default, bool):
        return text.lower() in {"true", "1"}
    return int(text) if isinstance(default, int) or name in _NUMBERS else text
