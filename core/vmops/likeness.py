"""What a VM was asked to be, param by param: told apart later without keeping any value."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic.alias_generators import to_camel

from vmops.params import Act, Params, revealed

__all__ = ["differences", "likeness"]

Digest = Callable[[Mapping[str, Any]], str]

_SHORT: Final = 8
"""Hex digits of a value's digest: enough to tell values apart, too few to find one out."""


def likeness(params: Params, digest: Digest) -> str:
    """The marks of all params that shape a VM and are not as they are by default, as JSON.

    Params of acts are left out, and so are defaults: a later vmops may have more of them.
    """
    return json.dumps(_marks(params, digest), sort_keys=True)


def differences(before: str, params: Params, digest: Digest) -> list[str]:
    """The names of the params that differ from those of an earlier `likeness`."""
    then, now = json.loads(before), _marks(params, digest)
    return sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))


def _marks(params: Params, digest: Digest) -> dict[str, str]:
    marks: dict[str, str] = {}
    for name, field in type(params).model_fields.items():
        value = revealed(getattr(params, name))
        usual = revealed(field.get_default(call_default_factory=True))
        if Act not in field.metadata and value != usual:
            marks[to_camel(name)] = digest({name: value})[:_SHORT]
    return marks
