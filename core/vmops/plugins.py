"""Finding backends: pluggy hooks, and a registry that knows names without importing anything.

A plugin is an entry point in group `vmops` whose name is the backend's name; the object it loads
(mostly a module) implements `vmops_backend`. Observers are entry points in group `vmops.observers`.
`VMOPS_PLUGINS` holds distribution names separated by commas: `vmops-local,vmops-sim` allows only
those, `-some-dist` refuses that one. This decides what is *imported*; it is not a sandbox.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pluggy

from vmops.errors import PluginError, UnknownBackend

if TYPE_CHECKING:
    from vmops.backend import Backend

__all__ = ["Event", "HookSpecs", "Provider", "Registry", "hookimpl", "hookspec"]

GROUP = "vmops"
OBSERVERS = "vmops.observers"
SLOW_IMPORT = 3.0
"""Seconds after which importing a plugin earns a warning that names it."""

hookspec = pluggy.HookspecMarker("vmops")
hookimpl = pluggy.HookimplMarker("vmops")

_log = logging.getLogger("vmops.plugins")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an operation, as told to every observer.

    Args:
        kind: `submitted`, `progress`, `ended`, `throttled` or `poll-failed`.
        time: Epoch seconds.
        backend: The backend's name.
        vm: The VM's name.
        action: `provision`, `start`, `stop`, `restart` or `deprovision`.
        operation: The operation's id; empty where there is none.
        phase: What the VM is doing, in a word or two.
        elapsed: Seconds since the operation was asked for.
        expected: Seconds such an operation usually takes here; None while that is unknown.
        error: The error's code, where there is one.
    """

    kind: str
    time: float
    backend: str
    vm: str
    action: str
    operation: str = ""
    phase: str = ""
    elapsed: float = 0.0
    expected: float | None = None
    error: str = ""


class HookSpecs:
    """The hooks a plugin may implement."""

    @hookspec(firstresult=True)
    def vmops_backend(self) -> type[Backend[Any, Any]]:
        """The Backend class this plugin provides; called when the backend is first used."""
        raise NotImplementedError

    @hookspec
    def vmops_event(self, event: Event) -> None:
        """Called for every event. Be quick: it runs inside the caller's thread."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One backend name as installed distributions offer it.

    Args:
        name: The backend's name.
        distributions: Who offers it; more than one is a clash.
        problem: Why it cannot be used, or empty.
    """

    name: str
    distributions: tuple[str, ...]
    problem: str = ""


class Registry:
    """The backends that are installed and allowed, each imported when it is first used.

    Args:
        policy: The value of `VMOPS_PLUGINS`; read from the environment by default.
        entry_points: What to choose from; all installed ones by default.
    """

    def __init__(
        self,
        policy: str | None = None,
        entry_points: Iterable[metadata.EntryPoint] | None = None,
    ) -> None:
        """Read names from metadata; import nothing."""
        text = os.environ.get("VMOPS_PLUGINS", "") if policy is None else policy
        self._allow, self._deny = _parse_policy(text)
        self.hooks = pluggy.PluginManager("vmops")
        self.hooks.add_hookspecs(HookSpecs)
        self._classes: dict[str, type[Backend[Any, Any]]] = {}
        self._broken: dict[str, PluginError] = {}
        self._candidates: dict[str, list[metadata.EntryPoint]] = {}
        self._given = entry_points
        self._lock = threading.RLock()
        points = metadata.entry_points(group=GROUP) if entry_points is None else entry_points
        for point in points:
            if point.group == GROUP and self._allowed(point):
                self._candidates.setdefault(point.name, []).append(point)

    def names(self) -> list[str]:
        """The names of all backends, usable or not, sorted; imports nothing."""
        return sorted({*self._candidates, *self._classes})

    def providers(self) -> list[Provider]:
        """Every backend with who offers it and what is wrong with it, as far as is known."""
        return [self._provider(name) for name in self.names()]

    def register(self, plugin: object, name: str | None = None) -> None:
        """Add a plugin of this process: a backend (with `name`) or an observer."""
        self.hooks.register(plugin, name)
        if name is not None:
            self._classes[name] = self._provided(plugin, name)

    def load(self, name: str) -> type[Backend[Any, Any]]:
        """The Backend class of that name, importing its plugin if need be.

        Raises:
            UnknownBackend: Nothing installed and allowed provides it.
            PluginError: Its plugin is broken, or several distributions claim the name.
        """
        with self._lock:  # several threads may be the first to use it
            if name in self._classes:
                return self._classes[name]
            if name in self._broken:
                raise self._broken[name]
            if name not in self._candidates:
                raise UnknownBackend(self._unknown(name))
            try:
                self._classes[name] = self._import(name)
            except PluginError as exc:
                self._broken[name] = exc
                raise
            return self._classes[name]

    def load_observers(self) -> None:
        """Import the plugins that only watch; one that is broken is logged and skipped."""
        points = metadata.entry_points(group=OBSERVERS) if self._given is None else self._given
        for point in points:
            if point.group != OBSERVERS or not self._allowed(point):
                continue
            try:
                self.hooks.register(point.load())
            except Exception as exc:  # noqa: BLE001  (whatever a stranger's module raises)
                _log.warning("observer %r of %s skipped: %r", point.name, _owner(point), exc)

    def emit(self, event: Event) -> None:
        """Tell every observer; one that fails is logged, the operation goes on."""
        for implementation in self.hooks.hook.vmops_event.get_hookimpls():
            try:
                implementation.function(event)
            except Exception as exc:  # noqa: BLE001  (an observer must not end an operation)
                _log.warning("observer %s failed: %r", implementation.plugin_name, exc)

    @property
    def observed(self) -> bool:
        """Whether anyone listens to events."""
        return bool(self.hooks.hook.vmops_event.get_hookimpls())

    def _import(self, name: str) -> type[Backend[Any, Any]]:
        points = self._candidates[name]
        if len(points) > 1:
            owners = " and ".join(sorted(_owner(point) for point in points))
            msg = (
                f"backend {name!r} is claimed by {owners}; name the one you trust in VMOPS_PLUGINS"
            )
            raise PluginError(msg)
        began = time.monotonic()
        try:
            plugin = points[0].load()
        except Exception as exc:
            msg = f"backend {name!r}: {_owner(points[0])} cannot be imported: {exc!r}"
            raise PluginError(msg) from exc
        took = time.monotonic() - began
        if took > SLOW_IMPORT:
            _log.warning("importing backend %r (%s) took %.1f s", name, _owner(points[0]), took)
        self.hooks.register(plugin, name)
        return self._provided(plugin, name)

    def _provided(self, plugin: object, name: str) -> type[Backend[Any, Any]]:
        from vmops.backend import Backend

        function = getattr(plugin, "vmops_backend", None)
        if function is None:
            msg = f"backend {name!r}: {plugin!r} does not implement the hook vmops_backend"
            raise PluginError(msg)
        try:
            provided = function()
        except Exception as exc:
            msg = f"backend {name!r}: vmops_backend() failed: {exc!r}"
            raise PluginError(msg) from exc
        missing = _missing(provided, Backend)
        if missing:
            msg = f"backend {name!r}: {provided!r} {missing}"
            raise PluginError(msg)
        return provided  # type: ignore[no-any-return]

    def _provider(self, name: str) -> Provider:
        owners = tuple(sorted(_owner(point) for point in self._candidates.get(name, ())))
        if len(owners) > 1:
            return Provider(name, owners, "claimed twice; name one in VMOPS_PLUGINS")
        return Provider(name, owners or ("this process",), str(self._broken.get(name, "")))

    def _allowed(self, point: metadata.EntryPoint) -> bool:
        owner = _owner(point)
        return owner not in self._deny and (not self._allow or owner in self._allow)

    def _unknown(self, name: str) -> str:
        known = ", ".join(self.names()) or "none"
        return (
            f"backend {name!r} is not installed or not allowed (there are: {known});"
            f" install it with: pip install vmops-{name}"
        )


def _missing(provided: object, backend: type[object]) -> str:
    if not (isinstance(provided, type) and issubclass(provided, backend)):
        return "is not a subclass of vmops.Backend"
    absent = sorted(getattr(provided, "__abstractmethods__", ()))
    if absent:
        return f"lacks {', '.join(absent)}"
    for attribute in ("name", "settings_type", "params_type"):
        if not hasattr(provided, attribute):
            return f"lacks {attribute}; subclass Backend[YourSettings, YourParams] and set name"
    return ""


def _owner(point: metadata.EntryPoint) -> str:
    return _canonical(point.dist.name) if point.dist is not None else "unknown distribution"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()  # PEP 503


def _parse_policy(text: str) -> tuple[frozenset[str], frozenset[str]]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    deny = frozenset(_canonical(name[1:]) for name in names if name.startswith("-"))
    return frozenset(_canonical(name) for name in names if not name.startswith("-")), deny
