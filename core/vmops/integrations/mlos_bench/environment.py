"""Which of an environment's parameters are for vmops: the others are somebody else's tunables."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic.alias_generators import to_camel, to_snake

from vmops.dispatch import DEFAULT_BACKEND
from vmops.integrations.mlos_bench.options import ServiceOptions
from vmops.params import Act, gathered_fields, marked_fields
from vmops.plugins import Registry
from vmops.schema import fields

__all__ = ["Environment"]

_log = logging.getLogger("vmops")

_ALIKE: Final = 0.8
"""How alike two names are, of 1, where one is taken for a slip of the other."""
_LOGIN: Final = frozenset({"adminUsername"})
"""Params that shape a VM, and tell who logs in there as well."""


@dataclass(frozen=True, slots=True)
class _Names:
    """The names that one backend's calls know.

    Args:
        spelt: How a name can be written -> the name in camelCase.
        shape: Those that say what VM to make, and for how long.
        prefixes: What more such names begin with.
    """

    spelt: Mapping[str, str]
    shape: frozenset[str]
    prefixes: tuple[str, ...]

    def known(self, given: str) -> str | None:
        """The name that is given, in camelCase; None where nobody knows it."""
        return self.spelt.get(given) or (given if given.startswith(self.prefixes) else None)

    def shapes(self, name: str) -> bool:
        """Whether it says what VM to make."""
        return name in self.shape or name.startswith(self.prefixes)


class Environment:
    """Picks what vmops understands out of the flat dicts that mlos_bench's environments pass.

    Args:
        registry: The installed backends.
        config: The service config's settings and defaults of params.
    """

    def __init__(self, registry: Registry, config: Mapping[str, Any]) -> None:
        """Load the backend that the config names, and none yet if it names none."""
        self._registry = registry
        self._backend = config.get("backend")
        self._known: dict[str, _Names] = {}
        self._told: set[str] = set()
        self._defaults = self.to_make(config)

    def backend(self, params: Mapping[str, Any]) -> str:
        """The name of the backend that these params are for."""
        return self._backend or params.get("backend") or DEFAULT_BACKEND

    def given(self, name: str, ours: Mapping[str, Any]) -> Any:  # noqa: ANN401  (any param)
        """A param's value, of the call or of the config; None where neither has it."""
        return self._defaults.get(name) if ours.get(name) is None else ours[name]

    def to_make(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The params that say where, which and what VM to make, in camelCase.

        What only local configuration may set is left out like any other stranger's tunable; where
        a name looks like a slip of the pen, that is told once.
        """
        names = self._names(self.backend(params))
        self._tell_slips(params, names)
        found = ((names.known(given), value) for given, value in params.items())
        return {name: value for name, value in found if name is not None}

    def to_use(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The params for a VM that is there: a database's own `ttl` or `image` means nothing."""
        names = self._names(self.backend(params))
        ours = self.to_make(params)
        return {n: v for n, v in ours.items() if n in _LOGIN or not names.shapes(n)}

    def shape(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The params that say what VM to make."""
        names = self._names(self.backend(params))
        ours = self.to_make(params)
        return {n: v for n, v in ours.items() if n != "ttl" and names.shapes(n)}

    def _tell_slips(self, params: Mapping[str, Any], names: _Names) -> None:
        for name in params.keys() - self._told:
            if names.known(name) is not None:
                continue
            self._told.add(name)
            near = difflib.get_close_matches(to_camel(name), names.spelt, n=1, cutoff=_ALIKE)
            if to_snake(name) in ServiceOptions.model_fields:
                _log.warning("param %s is read from the service config only", name)
            elif near:
                _log.warning("param %s is not known; did you mean %s?", name, near[0])

    def _names(self, backend: str) -> _Names:
        if backend not in self._known:
            cls = self._registry.load(backend)
            found = [field for field in fields(cls) if not field.local_only]
            acts = {to_camel(name) for name in marked_fields(cls.params_type, Act)}
            shape = {field.name for field in found if field.role == "params"} - acts
            names = {field.name for field in found}
            spelt = {spelling: name for name in names for spelling in (name, to_snake(name))}
            prefixes = tuple(gathered_fields(cls.params_type).values())
            self._known[backend] = _Names(spelt, frozenset(shape | {"ttl"}), prefixes)
        return self._known[backend]
