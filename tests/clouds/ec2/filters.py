"""Filters as EC2 has them: values are alternatives, filters add up, * and ? are wildcards."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from ec2.errors import Refused

Getter = Callable[[Any], Any]

_MOST_VALUES = 200
_LONGEST_VALUE = 255


@lru_cache(maxsize=4096)
def _pattern(value: str) -> re.Pattern[str]:
    parts = re.findall(r"\\.|[*?]|[^*?\\]+|\\", value)
    spelled = {"*": ".*", "?": "."}
    return re.compile(
        "".join(spelled.get(p) or re.escape(re.sub(r"\\(.)", r"\1", p)) for p in parts), re.DOTALL
    )


def _test(values: list[str]) -> Callable[[str], bool]:
    # almost all values are plain: looked up, not tried one after the other
    plain = {value for value in values if not set(value) & set("*?\\")}
    patterns = [_pattern(value) for value in values if value not in plain]
    return lambda found: found in plain or any(p.fullmatch(found) for p in patterns)


def _texts(found: Any) -> Iterable[str]:
    if found is None:
        return ()
    if isinstance(found, bool):
        return (str(found).lower(),)
    return (str(found),) if isinstance(found, str | int) else (str(each) for each in found)


def _getter(name: str, getters: Mapping[str, Getter], beyond: tuple[str, ...]) -> Getter:
    if name.startswith("tag:"):
        key = name.removeprefix("tag:")
        return lambda item: item.own_tags.get(key)
    if name == "tag-key":
        return lambda item: item.own_tags.keys()
    if name in getters:
        return getters[name]
    if name.startswith(beyond):
        raise NotImplementedError(f"EC2 has the filter {name!r}; this stand-in has not")
    raise Refused("InvalidParameterValue", f"The filter '{name}' is invalid")


def check(filters: list[dict[str, Any]]) -> None:
    """Refuses what is too much for one call."""
    values = [value for each in filters for value in each.get("Values", [])]
    if len(values) > _MOST_VALUES:
        raise Refused(
            "FilterLimitExceeded",
            "The maximum number of filter values specified on a single call is 200",
        )
    if any(len(value) > _LONGEST_VALUE for value in values):
        raise Refused(
            "FilterLimitExceeded", "The maximum length for a filter value is 255 characters"
        )
    if any(not each.get("Name") for each in filters):
        raise Refused("InvalidParameterValue", "The filter 'null' is invalid")


def select(
    items: Iterable[Any],
    filters: list[dict[str, Any]],
    getters: Mapping[str, Getter],
    beyond: tuple[str, ...] = (),
) -> list[Any]:
    """Those items that every filter lets through.

    Each item has `own_tags`. `beyond` begins the names of filters that EC2 has and we do not.
    """
    check(filters)
    kept = list(items)
    for each in filters:
        get, test = _getter(each["Name"], getters, beyond), _test(each.get("Values", []))
        kept = [item for item in kept if any(map(test, _texts(get(item))))]
    return kept
