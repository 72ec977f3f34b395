"""What a backend can be told, read off its models: for tables, JSON Schema and the docs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic.alias_generators import to_camel

from vmops.params import Call, LocalOnly, Prefix, Secret, gathered_fields

if TYPE_CHECKING:
    from pydantic import BaseModel

    from vmops.backend import Backend

__all__ = ["Field", "fields", "json_schema"]

_ROLES: Final = ("settings", "params", "core")


@dataclass(frozen=True, slots=True)
class Field:
    """One parameter of one backend.

    Args:
        name: As it is given, in camelCase; `ex_*` where all keys that begin so are gathered.
        role: `settings` (where), `params` (what to make) or `core` (what vmops itself understands).
        type: The type in words, such as `integer` or `release | keep`.
        default: The default as JSON, empty where there is none.
        required: Whether it must be given: a setting always, a param for provisioning.
        local_only: Whether only constructor config, a config file or the environment may set it.
        secret: Whether it is kept out of results and logs.
        description: What it means.
    """

    name: str
    role: str
    type: str
    default: str
    required: bool
    local_only: bool
    secret: bool
    description: str


def fields(backend: type[Backend[Any, Any]]) -> list[Field]:
    """All that a backend can be told: its settings, its params, then the core's own."""
    return [
        _field(role, name, model, schema)
        for role, model in _models(backend).items()
        for name, schema in _properties(model)
    ]


def json_schema(backend: type[Backend[Any, Any]]) -> dict[str, Any]:
    """The JSON Schema of the one flat dict that `vm_provision` takes.

    Keys that are gathered by a prefix are `patternProperties`. Each property also says where it
    belongs (`x-vmops-role`), and whether it is local-only (`x-vmops-local-only`, not accepted in
    params) or secret (`x-vmops-secret`).
    """
    properties: dict[str, Any] = {}
    patterns: dict[str, Any] = {}
    required: list[str] = []
    definitions: dict[str, Any] = {}
    described = {field.name: field for field in reversed(fields(backend))}
    for model in _models(backend).values():
        schema = model.model_json_schema()
        definitions.update(schema.get("$defs", {}))
        required += [name for name in schema.get("required", []) if name not in required]
        gathered = {to_camel(name): text for name, text in gathered_fields(model).items()}
        for name, value in schema.get("properties", {}).items():
            if prefix := gathered.get(name):
                known = {"description": value.get("description", "")}
                patterns.setdefault(f"^{prefix}", {**known, **_extras(described[f"{prefix}*"])})
            else:
                properties.setdefault(name, {**value, **_extras(described[name])})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Parameters of the vmops backend {backend.name}",
        "type": "object",
        "properties": properties,
        **({"patternProperties": patterns} if patterns else {}),
        "required": required,
        "additionalProperties": False,
        **({"$defs": definitions} if definitions else {}),
    }


def _extras(field: Field) -> dict[str, Any]:
    marks = {"local-only": field.local_only, "secret": field.secret}
    found = {f"x-vmops-{mark}": True for mark, is_set in marks.items() if is_set}
    return {"x-vmops-role": field.role, **found}


def _models(backend: type[Backend[Any, Any]]) -> dict[str, type[BaseModel]]:
    return dict(zip(_ROLES, (backend.settings_type, backend.params_type, Call), strict=True))


def _properties(model: type[BaseModel]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    for name in model.model_fields:
        found = schema["properties"][model.model_fields[name].alias or name]
        yield name, {**found, "$defs": definitions}


def _field(role: str, name: str, model: type[BaseModel], schema: Mapping[str, Any]) -> Field:
    info = model.model_fields[name]
    prefix = next((mark.text for mark in info.metadata if isinstance(mark, Prefix)), "")
    default = None if prefix else schema.get("default")
    return Field(
        name=f"{prefix}*" if prefix else to_camel(name),
        role=role,
        type="any" if prefix else _type(schema, schema["$defs"]),
        default="" if default is None else _json(default),
        required=info.is_required(),
        local_only=LocalOnly in info.metadata,
        secret=Secret in info.metadata or "SecretStr" in repr(info.annotation),
        description=info.description or "",
    )


def _type(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return _type(definitions.get(name, {}), definitions)
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        words = [_type(one, definitions) for one in several if one.get("type") != "null"]
        return " | ".join(dict.fromkeys(words))
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}), definitions)}"
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    word = " | ".join(map(str, values)) or schema.get("format") or schema.get("type") or "any"
    return "secret text" if word == "password" else str(word)


def _json(value: object) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value)
