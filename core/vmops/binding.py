"""Flat dicts in, typed models out: the one place where `params` and `config` are read.

Settings, Params and `Call` are all bound from one flat dict, camelCase or snake_case, and every
problem is reported at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError, create_model
from pydantic.alias_generators import to_camel

from vmops.errors import InvalidParams, Problem
from vmops.given import Fixed, Given, over, variable
from vmops.params import (
    Call,
    LocalOnly,
    Params,
    Settings,
    as_text,
    gathered_fields,
    marked_fields,
    other_names,
    secret_fields,
)

__all__ = ["Binder", "Bound"]

M = TypeVar("M", bound=BaseModel)

_LOOKS_SECRET = re.compile(r"pass|secret|token|key|credential|data$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Bound:
    """One call's parameters, typed; `echo` is what may be given back to the caller."""

    call: Call
    settings: Settings
    params: Params
    echo: dict[str, Any]


_ROLES = ("call", "settings", "params")


class Binder:
    """Binds flat dicts for one backend; build it once, use it for every call.

    Args:
        name: The backend's name; its environment variables are `VMOPS_<NAME>_<FIELD>`.
        settings: The backend's Settings model.
        params: The backend's Params model.
        vm_name: The pattern a VM's name must match as a whole.
        config: Settings, and defaults for params.
    """

    def __init__(
        self,
        name: str,
        settings: type[Settings],
        params: type[Params],
        vm_name: str = r".+",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Precompute which key belongs to which model."""
        self.name = name
        self._models: dict[str, type[BaseModel]] = {
            "call": Call,
            "settings": settings,
            "params": params,
        }
        self._relaxed = _relax(params)
        self._vm_name = re.compile(vm_name, re.ASCII)
        self._fields: dict[str, str] = {}
        self._roles: dict[str, tuple[str, ...]] = {}
        self._prefixes: dict[str, str] = {}
        for role in _ROLES:
            gathered, others = gathered_fields(self._models[role]), other_names(self._models[role])
            self._prefixes.update(gathered)
            for field in self._models[role].model_fields:
                if field not in gathered:
                    self._fields[field] = self._fields[to_camel(field)] = others.get(field, field)
                self._roles[field] = (*self._roles.get(field, ()), role)
        self._local = frozenset(marked_fields(settings, LocalOnly))
        self._secret = frozenset(
            name for model in self._models.values() for name in secret_fields(model)
        )
        self._given_config = config or {}
        self._settings_type = settings
        self._adapters: dict[str, TypeAdapter[Any]] = {}
        self._config_problems: list[Problem] = []
        self._config = self._normalise(self._given_config, self._config_problems)
        here = Given(name, settings, self._config, self._same)
        self._config_problems += here.problems
        self._fixed: Mapping[str, Fixed] = here.fixed
        self._defaults = here.values
        self._connections: dict[tuple[tuple[str, str], ...], Settings] = {}
        self.shareable = frozenset(to_camel(f) for f in settings.model_fields) - frozenset(
            to_camel(f) for f in self._local
        )

    def bind(
        self,
        params: Mapping[str, Any],
        *,
        creating: bool = False,
        scope: Mapping[str, str] | None = None,
    ) -> Bound:
        """The typed form of `params` over the defaults of the config.

        Args:
            params: The caller's flat dict.
            creating: Whether the params that only a create requires are required.
            scope: Settings that an operation's URL names.

        Raises:
            InvalidParams: With every problem that was found.
        """
        problems = list(self._config_problems)
        given = self._normalise(params, problems)
        named = {self._fields[key]: value for key, value in scope.items()} if scope else {}
        self._refuse_local(given, problems)
        self._refuse_contradictions(given, "params", problems)
        self._refuse_contradictions(named, "the asyncResultsUrl", problems)
        merged = over({**self._defaults, **named}, given, self._prefixes)
        parts: dict[str, dict[str, Any]] = {role: {} for role in _ROLES}
        for field, value in merged.items():
            for role in self._roles[field]:
                parts[role][field] = value
        call = self._validate(Call, parts["call"], problems)
        settings = self._settings(parts["settings"], problems)
        model = self._models["params"] if creating else self._relaxed
        bound = self._validate(model, parts["params"], problems)
        if isinstance(name := merged.get("vm_name"), str):
            self.check_name(name, problems)
        if problems or call is None or settings is None or bound is None:
            raise InvalidParams(*_without_repeats(problems))
        return Bound(call, settings, bound, self._echo(params))  # type: ignore[arg-type]

    def check_config(self) -> None:
        """Find mistakes in the config alone, without what params may still bring.

        Raises:
            InvalidParams: With every problem that was found.
        """
        problems = list(self._config_problems)
        for role, model in self._models.items():
            given = {f: v for f, v in self._config.items() if role in self._roles[f]}
            found: list[Problem] = []
            self._validate(model, given, found)
            problems += [p for p in found if p.param in {to_camel(field) for field in given}]
        if problems:
            raise InvalidParams(*_without_repeats(problems))

    def idle_params(self) -> Params:
        """Params with nothing given: for an act that only a URL asked for."""
        return self._relaxed()

    def check_name(self, name: str, problems: list[Problem]) -> None:
        """Add a problem if no VM of this backend can have this name."""
        if not self._vm_name.fullmatch(name):
            rule = f"a name matching {self._vm_name.pattern}"
            problems.append(Problem("vmName", f"{name[:80]!r} is not a VM name; give {rule}"))

    def _normalise(self, values: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
        known: dict[str, Any] = {}
        keys: dict[str, str] = {}
        ignore = _ignores_unknown(values) or _ignores_unknown(self._given_config)
        for key, value in values.items():
            field = self._field(key)
            if field is None:
                if not ignore:
                    problems.append(self._unknown(key))
            elif field in self._prefixes:
                if value is not None:
                    known.setdefault(field, {})[key] = value
            elif field in known and known[field] != value:
                both = f"{keys[field]} and {key} are both given and differ; drop one"
                problems.append(Problem(to_camel(field), both))
            elif value is not None:
                known[field], keys[field] = value, key
        return known

    def _field(self, key: object) -> str | None:
        """The field that a key is given for; None if there is none."""
        if not isinstance(key, str):
            return None
        gathered = (f for f, text in self._prefixes.items() if key.startswith(text))
        return self._fields.get(key) or next(gathered, None)

    def _unknown(self, key: object) -> Problem:
        names = sorted({to_camel(field) for field in self._fields.values()})
        near = difflib.get_close_matches(to_camel(str(key)), names, n=3)
        hint = (
            f"did you mean {' or '.join(near)}?" if near else "see `vmops params " + self.name + "`"
        )
        return Problem(
            str(key)[:80],
            f"backend {self.name!r} has no such parameter; {hint}"
            ' (unknownParams="ignore" lets it pass)',
        )

    def _refuse_local(self, given: Mapping[str, Any], problems: list[Problem]) -> None:
        for field in self._local.intersection(given):
            keys = {key: key for key in given[field]} if field in self._prefixes else {}
            for name, key in (keys or {to_camel(field): field}).items():
                named = variable(self.name, key)
                where = f"is set by the constructor's config or {named} only, never by params"
                problems.append(Problem(name, where))

    def _refuse_contradictions(
        self, given: Mapping[str, Any], where: str, problems: list[Problem]
    ) -> None:
        for field in (self._fixed.keys() & given.keys()) - self._local:  # refused already, untold
            ours, theirs = self._fixed[field], given[field]
            if not self._same(field, ours.value, theirs):
                values = (ours.value, theirs) if field not in self._secret else ("one", "another")
                text = f"{ours.by} says {values[0]!r}, {where} says {values[1]!r}; {ours.why}"
                problems.append(Problem(to_camel(field), text))

    def _same(self, field: str, one: object, other: object) -> bool:
        return one == other or self._typed(field, one) == self._typed(field, other)

    def _typed(self, field: str, value: object) -> object:
        """A setting's value as its type has it: 5, 5.0 and "5" may be the same."""
        if field not in self._adapters:  # making one takes longer than using it
            annotation: Any = self._settings_type.model_fields[field].annotation
            self._adapters[field] = TypeAdapter(annotation)
        try:
            return self._adapters[field].validate_python(value)
        except ValidationError:
            return value  # reported by the model itself

    def _settings(self, values: dict[str, Any], problems: list[Problem]) -> Settings | None:
        key = tuple(sorted((field, as_text(value)) for field, value in values.items()))
        if key not in self._connections:
            settings = self._validate(self._settings_type, values, problems)
            if settings is None:
                return None
            self._connections[key] = settings
        return self._connections[key]

    def _validate(
        self, model: type[M], values: dict[str, Any], problems: list[Problem]
    ) -> M | None:
        try:
            return model.model_validate(values)
        except ValidationError as exc:
            for error in exc.errors(include_url=False, include_context=False):
                field = str(error["loc"][0]) if error["loc"] else ""
                field = self._fields.get(field, field)
                shown = "" if field in self._secret else _shown(values.get(field))
                text = error["msg"].removeprefix("Value error, ")
                problems.append(Problem(self._shown_name(field), text + shown))
            return None

    def _shown_name(self, field: str) -> str:
        prefix = self._prefixes.get(field)
        return f"{prefix}*" if prefix else to_camel(field) if field else "params"

    def _echo(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {
            key: value
            for key, value in params.items()
            if (field := self._field(key)) not in self._secret
            and (field is not None or not _LOOKS_SECRET.search(str(key)))
        }


def _relax(params: type[Params]) -> type[Params]:
    """The same model with nothing required: for the verbs that act on a VM which exists."""
    optional: dict[str, Any] = {
        name: (field.annotation | None, None)  # type: ignore[operator]
        for name, field in params.model_fields.items()
        if field.is_required()
    }
    if not optional:
        return params
    return create_model(params.__name__, __base__=params, __module__=params.__module__, **optional)


def _ignores_unknown(values: Mapping[str, Any]) -> bool:
    return "ignore" in (values.get("unknownParams"), values.get("unknown_params"))


def _shown(value: object) -> str:
    return "" if value is None else f" (got {str(value)[:60]!r})"


def _without_repeats(problems: list[Problem]) -> list[Problem]:
    return list(dict.fromkeys(problems))
