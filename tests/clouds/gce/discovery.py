"""Google's document of the API: which method a path means, and what it takes and answers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from gce.errors import Refused, badly_formed, invalid, required
from gce.schema import Mismatch, Schemas

BASE = "/compute/v1/"
_ANY = "{}"
# Google's clients know this parameter of lists, their document has it no more
_PARTIAL = {"returnPartialSuccess": {"type": "boolean", "location": "query"}}
# what Google takes beside its own patterns: gcloud asks for a family's newest image in no zone
ANY_ZONE = "-"
_BESIDE = {("imageFamilyViews.get", "zone"): ANY_ZONE}
_BOOLEANS = {"true": True, "false": False, "True": True, "False": False}  # the latter are gcloud's
_INTEGER = re.compile(r"[0-9]+")


@dataclass
class Method:
    """One method of the API.

    Args:
        id: As `instances.insert`.
        raw: What the document says of it.
    """

    id: str
    raw: dict[str, Any]

    @cached_property
    def names(self) -> list[str]:
        """The names of its path's parameters, in the path's order."""
        return re.findall(r"\{\+?(\w+)\}", _template(self.raw))

    @cached_property
    def patterns(self) -> dict[str, re.Pattern[str]]:
        """What the path's parameters must look like."""
        known = self.raw.get("parameters", {})
        return {
            name: re.compile(known[name]["pattern"])
            for name in self.names
            if known.get(name, {}).get("pattern")
        }

    @property
    def request(self) -> str:
        """The name of the body's schema; empty if there is no body."""
        return str(self.raw.get("request", {}).get("$ref", ""))

    @property
    def response(self) -> str:
        """The name of the answer's schema."""
        return str(self.raw.get("response", {}).get("$ref", ""))

    def query(self, asked: list[tuple[str, str]], common: dict[str, Any]) -> dict[str, Any]:
        """The query's parameters, each by its type."""
        rules = self.raw.get("parameters", {})
        known = {name: rule for name, rule in rules.items() if rule["location"] == "query"}
        if "maxResults" in known:
            known |= _PARTIAL
        found: dict[str, Any] = {}
        for name, text in asked:
            rule = known.get(name) or common.get(name.removeprefix("$"))
            rule = rule or common.get(name)
            if rule is None:
                raise badly_formed(
                    f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query'
                    f" parameter. Field '{name}' could not be found in request message."
                )
            value = _typed(name, text, rule)
            if rule.get("repeated"):
                found.setdefault(name, []).append(value)
            else:
                found[name] = value
        for name, rule in known.items():
            if rule.get("required") and name not in found:
                raise Refused(400, "required", f"Required parameter: {name}")
        return found


def _typed(name: str, text: str, rule: dict[str, Any]) -> Any:
    kind = rule["type"]
    if kind == "boolean":
        if text not in _BOOLEANS:
            raise badly_formed(f"Invalid value at '{name}' (TYPE_BOOL), \"{text}\"")
        return _BOOLEANS[text]
    if kind == "integer":
        if not _INTEGER.fullmatch(text) or int(text) >= 2**32:
            raise badly_formed(f"Invalid value at '{name}' (TYPE_UINT32), \"{text}\"")
        return int(text)
    if (values := rule.get("enum")) and text.partition(";")[0] not in values:
        raise badly_formed(f"Invalid value at '{name}' (TYPE_ENUM), \"{text}\"")
    return text


def _template(raw: dict[str, Any]) -> str:
    return str(raw.get("flatPath") or raw["path"])


@dataclass
class Discovery:
    """The document, once read."""

    raw: dict[str, Any]
    _routes: dict[str, Any] = field(default_factory=dict)
    _methods: dict[str, Method] = field(default_factory=dict)
    _needs: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Builds the tree of all paths."""
        self.common: dict[str, Any] = self.raw["parameters"]
        self.asked = Schemas(self.raw["schemas"], strict=False)
        self.answered = Schemas(self.raw["schemas"], strict=True)
        for resource in self.raw["resources"].values():
            for raw in resource.get("methods", {}).values():
                node = self._routes
                for part in _template(raw).split("/"):
                    node = node.setdefault(_ANY if part.startswith("{") else part, {})
                node[f"/{raw['httpMethod']}"] = raw

    def find(self, http: str, path: str) -> tuple[Method, dict[str, str]]:
        """The method that is meant, and its path's parameters."""
        parts = path.removeprefix(BASE).split("/") if path.startswith(BASE) else []
        found = _walk(self._routes, f"/{http}", parts, 0)
        if found is None:
            raise Refused(
                404, "notFound", f"The requested URL {path} was not found on this server."
            )
        raw, values = found
        id_ = raw["id"].removeprefix("compute.")
        method = self._methods.get(id_)
        if method is None:
            method = self._methods[id_] = Method(id_, raw)
        named = dict(zip(method.names, map(unquote, values), strict=True))
        for name, pattern in method.patterns.items():
            beside = _BESIDE.get((id_, name))
            if named[name] != beside and not pattern.fullmatch(named[name]):
                why = f"Must be a match of regex '{pattern.pattern}'"
                raise invalid(name, named[name], why)
        return method, named

    def check_body(self, method: Method, body: Any) -> dict[str, Any]:
        """The body of a request, which fits."""
        if not method.request:
            return {}
        if body is None:
            body = {}
        if isinstance(body, str):
            raise badly_formed("Invalid JSON payload received. Unexpected token.")
        try:
            self.asked.named(method.request)(body, "")
        except Mismatch as exc:
            raise badly_formed(str(exc)) from None
        named: dict[str, Any] = body
        for name in self._required(method):
            if named.get(name) in {None, ""}:
                raise required(f"resource.{name}")
        return named

    def _required(self, method: Method) -> list[str]:
        """The fields without which a method's body is none."""
        if method.id not in self._needs:
            properties = self.raw["schemas"][method.request].get("properties", {})
            self._needs[method.id] = [
                name
                for name, rule in properties.items()
                if f"compute.{method.id}" in rule.get("annotations", {}).get("required", ())
            ]
        return self._needs[method.id]


def _walk(
    node: dict[str, Any], http: str, parts: list[str], at: int
) -> tuple[dict[str, Any], list[str]] | None:
    if at == len(parts):
        raw = node.get(http)
        return None if raw is None else (raw, [])
    part = parts[at]
    if (after := node.get(part)) is not None and (found := _walk(after, http, parts, at + 1)):
        return found
    if part and (after := node.get(_ANY)) is not None:
        found = _walk(after, http, parts, at + 1)
        if found is not None:
            return found[0], [part, *found[1]]
    return None


@lru_cache(1)
def document() -> Discovery:
    """The document, read when it is first needed."""
    spec = find_spec("googleapiclient")
    assert spec is not None
    assert spec.origin is not None
    place = Path(spec.origin).with_name("discovery_cache") / "documents" / "compute.v1.json"
    return Discovery(json.loads(place.read_bytes()))
