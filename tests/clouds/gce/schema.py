"""The document's schemas, compiled to functions that find what does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

Check = Callable[[Any, str], None]
_TYPES = {"boolean": "TYPE_BOOL", "string": "TYPE_STRING", "number": "TYPE_DOUBLE"}
_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
}
_WHOLE = re.compile(r"-?[0-9]+")
_BYTES = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")


class Mismatch(ValueError):  # noqa: N818  (likewise of what is checked)
    """Something does not fit; the text is Google's, for a request."""


class Schemas:
    """All schemas.

    Args:
        document: By name.
        strict: Whether each value must be as answers have it; requests may be laxer.
    """

    def __init__(self, document: dict[str, Any], *, strict: bool) -> None:
        self._document, self._strict = document, strict
        self._known: dict[str, Check] = {}

    def named(self, name: str) -> Check:
        """The check of a schema by its name."""
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._compiled(self._document[name])
        return found

    def _compiled(self, schema: dict[str, Any]) -> Check:
        if reference := schema.get("$ref"):
            return self._later(reference)
        kind = schema.get("type", "any")
        if kind == "any":
            return lambda value, path: None
        check = getattr(self, f"_{kind}")(schema)
        return check if self._strict else _or_nothing(check)

    def _later(self, name: str) -> Check:
        """Schemas may contain themselves, so they are looked up when they are needed."""

        def check(value: Any, path: str) -> None:
            self.named(name)(value, path)

        return check

    def _object(self, schema: dict[str, Any]) -> Check:
        members = {k: self._compiled(v) for k, v in schema.get("properties", {}).items()}
        others = schema.get("additionalProperties")
        other = None if others is None else self._compiled(others)
        get = members.get

        def check(value: Any, path: str) -> None:
            if value.__class__ is not dict:
                raise _wrong(path, schema.get("id", "object"), value)
            for key, one in value.items():
                found = get(key, other)
                if found is None:
                    raise Mismatch(_unknown(path, key))
                found(one, f"{path}.{key}" if path else key)

        return check

    def _array(self, schema: dict[str, Any]) -> Check:
        item = self._compiled(schema["items"])

        def check(value: Any, path: str) -> None:
            if value.__class__ is not list:
                raise _wrong(path, "repeated", value)
            for number, one in enumerate(value):
                item(one, f"{path}[{number}]")

        return check

    def _boolean(self, _: dict[str, Any]) -> Check:
        def check(value: Any, path: str) -> None:
            if value.__class__ is not bool:
                raise _wrong(path, "TYPE_BOOL", value)

        return check

    def _number(self, _: dict[str, Any]) -> Check:
        def check(value: Any, path: str) -> None:
            if value.__class__ not in {int, float}:
                raise _wrong(path, "TYPE_DOUBLE", value)

        return check

    def _integer(self, schema: dict[str, Any]) -> Check:
        least, most = _RANGES[schema.get("format", "int32")]
        name, lax = f"TYPE_{schema.get('format', 'int32').upper()}", not self._strict

        def check(value: Any, path: str) -> None:
            if lax and isinstance(value, str) and _WHOLE.fullmatch(value):
                value = int(value)
            if value.__class__ is not int or not least <= value <= most:
                raise _wrong(path, name, value)

        return check

    def _string(self, schema: dict[str, Any]) -> Check:
        form = schema.get("format", "")
        if form in _RANGES:
            return self._long(form)
        values, name = frozenset(schema.get("enum", ())), "TYPE_ENUM"
        pattern = None
        if not values:
            name = "TYPE_BYTES" if form == "byte" else "TYPE_STRING"
            pattern = _BYTES if form == "byte" else None
            if self._strict and "pattern" in schema:
                pattern = re.compile(schema["pattern"])

        def check(value: Any, path: str) -> None:
            if value.__class__ is not str or (values and value not in values):
                raise _wrong(path, name, value)
            if pattern is not None and not pattern.fullmatch(value):
                raise _wrong(path, name, value)

        return check

    def _long(self, form: str) -> Check:
        least, most = _RANGES[form]
        lax = not self._strict

        def check(value: Any, path: str) -> None:
            if lax and value.__class__ is int:
                value = str(value)
            if value.__class__ is not str or not _WHOLE.fullmatch(value):
                raise _wrong(path, f"TYPE_{form.upper()}", value)
            if not least <= int(value) <= most:
                raise _wrong(path, f"TYPE_{form.upper()}", value)

        return check


def _or_nothing(check: Check) -> Check:
    return lambda value, path: None if value is None else check(value, path)


def _wrong(path: str, name: str, value: Any) -> Mismatch:
    shown = f'"{value}"' if isinstance(value, str) else value
    return Mismatch(f"Invalid value at '{path}' ({name}), {shown}")


def _unknown(path: str, key: str) -> str:
    place = f" at '{path}'" if path else ""
    return f'Invalid JSON payload received. Unknown name "{key}"{place}: Cannot find field.'
