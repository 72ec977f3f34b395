"""What a backend's settings are given here: by the constructor's config, and by the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.alias_generators import to_camel

from vmops.errors import Problem
from vmops.params import Settings, gathered_fields, other_names, owners

__all__ = ["Fixed", "Given", "over", "variable"]


@dataclass(frozen=True, slots=True)
class Fixed:
    """A setting's value that neither params nor a URL may contradict.

    Args:
        value: As it was given.
        by: Where: `config`, or the name of a variable.
        why: What to do about a contradiction.
    """

    value: object
    by: str
    why: str = "use one or the other"


class Given:
    """Config and environment of one backend, together.

    Args:
        name: The backend's name.
        settings: The backend's Settings model.
        config: What config says, by field; settings and defaults for params.
        same: Whether two values of a field are the same to it.
    """

    def __init__(
        self,
        name: str,
        settings: type[Settings],
        config: Mapping[str, Any],
        same: Callable[[str, object, object], bool],
    ) -> None:
        """Read the environment."""
        self._name = name
        self._same = same
        self._prefixes = gathered_fields(settings)
        self._config = config
        self.problems: list[Problem] = []
        self._environment = self._together(settings, dict(self._read(settings)))
        self.values = over(self._environment, config, self._prefixes)
        self.fixed = {
            f: Fixed(v, "config") for f, v in config.items() if f in settings.model_fields
        }
        for field, owner in owners(settings).items():
            self._tie(field, owner)

    def _together(self, settings: type[Settings], found: dict[str, Any]) -> dict[str, Any]:
        """What the environment gives, each value under the first of its names."""
        for other, field in other_names(settings).items():
            if other not in found:
                continue
            value = found.pop(other)
            if not self._same(field, found.setdefault(field, value), value):
                both = " and ".join(variable(self._name, one) for one in (field, other))
                self._add(field, f"{both} differ; drop one")
        return found

    def _tie(self, field: str, owner: str) -> None:
        """Fix the field that another one, if it is given here, is only for."""
        variables = [variable(self._name, key) for key in self._counting(field)]
        ours = [*self._keys(self._config, field), *variables]
        if not ours:
            return
        what, where = " and ".join(ours), variable(self._name, owner)
        theirs = self._environment.get(owner)
        if owner not in self._config and theirs is None:
            which = f"does not say for which {to_camel(owner)} it is"
            self._add(field, f"{what} {which}: set {where}, or give {to_camel(owner)} in config")
        elif owner not in self._config:
            self.fixed.setdefault(owner, Fixed(theirs, where, f"{what} is for the former only"))
        elif variables and theirs is not None:
            config = self._config[owner]
            if not self._same(owner, config, theirs):
                both = f"is for {theirs!r}, which {where} says, and config says {config!r}"
                self._add(field, f"{' and '.join(variables)} {both}: give in config what is for it")

    def _add(self, field: str, message: str) -> None:
        prefix = self._prefixes.get(field)
        self.problems.append(Problem(f"{prefix}*" if prefix else to_camel(field), message))

    def _counting(self, field: str) -> list[str]:
        """What the environment gives of a field that config does not replace."""
        keys = self._keys(self._environment, field)
        replaced = self._keys(self._config, field)
        return [key for key in keys if key not in replaced]

    def _keys(self, values: Mapping[str, Any], field: str) -> list[str]:
        """The names by which values have a field: several where it gathers."""
        if field not in values:
            return []
        return sorted(values[field]) if field in self._prefixes else [field]

    def _read(self, settings: type[Settings]) -> Iterator[tuple[str, Any]]:
        for field in settings.model_fields:
            prefix = self._prefixes.get(field)
            named = variable(self._name, prefix or field)
            if prefix:
                start = len(named) - len(prefix)
                keys = {v[start:].lower(): v for v in os.environ if v.startswith(named)}
                found = {key: text for key, v in keys.items() if (text := os.environ[v])}
                if found:
                    yield field, found
            elif os.environ.get(named):  # an empty one is as good as none
                yield field, os.environ[named]


def over(
    those: Mapping[str, Any], these: Mapping[str, Any], gathered: Mapping[str, str]
) -> dict[str, Any]:
    """Values over others; what is gathered by prefix is so key by key."""
    both = gathered.keys() & those.keys() & these.keys()
    return {**those, **these, **{f: {**those[f], **these[f]} for f in both}}


def variable(backend: str, field: str) -> str:
    """The environment variable of a backend's setting."""
    return f"VMOPS_{backend}_{field}".upper().replace("-", "_")
