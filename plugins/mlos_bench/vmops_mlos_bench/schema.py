"""The JSON Schema of a service config, made of the models that vmops itself binds it with.

One document serves two readers. mlos_bench refers to `#/$defs/vmops_class` as one more kind of
service, and checks no more than that: of a value that is wrong it would say that the config is
"not valid under any of the given schemas", while vmops names the value and the next step. An editor
checks a whole file, in the two shapes that mlos_bench knows, and asks mlos_bench's own schema about
services that are not ours.

mlos_bench expands no `$variables` in service configs. It puts global parameters in place of values
of the same name: in the file, a value may be no more than a placeholder. So the schema lets pass
whatever vmops can read, as text or as it is, and all that it cannot know.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BeforeValidator
from pydantic.alias_generators import to_camel

from vmops import Backend
from vmops.errors import PluginError
from vmops.integrations.mlos_bench.options import ServiceOptions
from vmops.plugins import Registry
from vmops.schema import json_schema

__all__ = ["as_text", "installed", "service_schema"]

Schema = dict[str, Any]

ID: Final = "urn:vmops:mlos_bench:service-schema"
CLASSES: Final = (
    "vmops.integrations.mlos_bench.VMOpsService",
    "vmops.integrations.mlos_bench.service.VMOpsService",
)
MLOS_BENCH: Final = (
    "https://raw.githubusercontent.com/microsoft/MLOS/main/mlos_bench/mlos_bench/config/schemas"
    "/services/service-schema.json"
)

_NUMERIC: Final = r"^\s*[-+.]?[0-9][-+.0-9_eE]*\s*$"
_TRUTH: Final = r"^\s*([Tt]rue|TRUE|[Ff]alse|FALSE|[Yy]es|YES|[Nn]o|NO|[Oo]n|ON|[Oo]ff|OFF|0|1)\s*$"
_KINDS: Final[Mapping[str, Schema]] = {
    "array": {"type": "array"},
    "boolean": {
        "type": ["boolean", "integer", "string"],
        "maximum": 1,
        "minimum": 0,
        "pattern": _TRUTH,
    },
    "integer": {"type": ["integer", "string"], "pattern": _NUMERIC},
    "number": {"type": ["number", "string"], "pattern": _NUMERIC},
    "object": {"type": "object"},
    "string": {"type": ["string", "number"]},
}
"""The kinds of values, with the other ways of writing them."""
_PLACEHOLDER: Final[Schema] = {
    "description": "To be filled in by the global parameter of the same name.",
    "type": ["null", "string"],
    "pattern": r"^(\$|PLACEHOLDER)",
}
_SAID: Final = ("default", "description", "title", "writeOnly", "x-vmops-")
"""What says something about a value without being a rule for it."""


def installed() -> Schema:
    """The schema for every backend that is installed and can be imported."""
    registry, found = Registry(), []
    for name in registry.names():
        try:
            found.append(registry.load(name))
        except PluginError:
            continue  # nobody can use it, either
    return service_schema(found)


def service_schema(backends: Iterable[type[Backend[Any, Any]]]) -> Schema:
    """The schema that knows these backends' settings and params, and lets those of others pass."""
    known = {backend.name: _fields(backend) for backend in backends}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "mlos_bench Service config with VMOpsService",
        "description": "Service config of mlos_bench in which VMs are made by vmops.",
        "$defs": {
            "vmops_class": _CLASS,
            "vmops_service": _service(known),
            "placeholder": _PLACEHOLDER,
            **_KINDS,
            **{f"backend_{name}": _backend(name, fields) for name, fields in known.items()},
            **_SHAPES,
        },
        "allOf": [_ref("top_level_items")],
        "if": {"required": ["class"]},
        "then": _ref("service_config"),
        "else": _ref("services"),
        "unevaluatedProperties": False,
    }


def as_text(schema: Schema) -> str:
    """The schema as a file has it: equal schemas are equal texts."""
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


_CLASS: Final[Schema] = {
    "type": "object",
    "properties": {
        "class": {"enum": list(CLASSES)},
        "config": {
            "description": "Settings, defaults of params, and the service's own options.",
            "type": "object",
            "minProperties": 1,
        },
    },
    "required": ["class"],
}
_OURS: Final[Schema] = {"properties": {"class": {"enum": list(CLASSES)}}, "required": ["class"]}
_SHAPES: Final[Schema] = {
    "top_level_items": {
        "type": "object",
        "properties": {
            "$schema": {
                "description": "This schema, or mlos_bench's own.",
                "type": "string",
                "pattern": "/schemas/services/service-schema.json$",
            },
            "description": {"description": "What the config is for.", "type": "string"},
        },
    },
    "service_config": {
        "type": "object",
        "if": _OURS,
        "then": _ref("vmops_service"),
        "else": {"$ref": f"{MLOS_BENCH}#/$defs/service_config"},
        "required": ["class"],
    },
    "services": {
        "properties": {
            "services": {
                "description": "Services; a later one may use, or stand in for, an earlier one.",
                "type": "array",
                "items": _ref("service_config"),
                "minItems": 1,
                "uniqueItems": True,
            }
        },
        "required": ["services"],
    },
}


def _fields(backend: type[Backend[Any, Any]]) -> Mapping[str, Schema]:
    """What the backend can be told; what it rewrites before it checks it may be any text."""
    fields: Mapping[str, Schema] = json_schema(backend)["properties"]
    for model in (backend.settings_type, backend.params_type):
        for name, info in model.model_fields.items():
            alias = to_camel(name)  # those that are gathered by a prefix have no name of their own
            if alias in fields and any(isinstance(m, BeforeValidator) for m in info.metadata):
                fields[alias]["x-vmops-rewritten"] = True
    return fields


def _service(known: Mapping[str, Mapping[str, Schema]]) -> Schema:
    common = {
        name: field
        for fields in known.values()
        for name, field in fields.items()
        if field["x-vmops-role"] == "core"
    }
    own = ServiceOptions.model_json_schema()["properties"]
    own |= {name: own[to_camel(name)] for name in ServiceOptions.model_fields}
    properties = {name: _property(field) for name, field in {**common, **own}.items()}
    properties["backend"]["anyOf"].insert(0, {"enum": sorted(known)})
    return {
        "title": "VMs on every backend of vmops",
        "allOf": [_ref("vmops_class")],
        "properties": {
            "config": {
                "properties": properties,
                "allOf": [
                    {
                        "if": {
                            "properties": {"backend": {"const": name}},
                            "required": ["backend"],
                        },
                        "then": _ref(f"backend_{name}"),
                    }
                    for name in sorted(known)
                ],
            },
        },
    }


def _backend(name: str, fields: Mapping[str, Schema]) -> Schema:
    its = {key: field for key, field in fields.items() if field["x-vmops-role"] != "core"}
    return {
        "title": f"Settings and params of the backend {name}",
        "properties": {key: _property(field) for key, field in its.items()},
    }


def _property(field: Schema) -> Schema:
    said = {key: field[key] for key in ("default", "description") if field.get(key) is not None}
    if '"$ref"' in json.dumps(field):  # a model of its own, which vmops will check
        return said
    kinds = [_lenient(kind) for kind in field.get("anyOf", [field]) if kind.get("type") != "null"]
    text = [{"type": "string"}] if "x-vmops-rewritten" in field else []
    return {**said, "anyOf": [*kinds, *text, _ref("placeholder")]}


def _lenient(kind: Schema) -> Schema:
    """The rules for a value, and the other ways of writing it."""
    rules = {key: rule for key, rule in kind.items() if not key.startswith(_SAID)}
    if rules.get("type") not in _KINDS:
        return rules
    for part in ("items", "additionalProperties"):
        if isinstance(rules.get(part), dict):
            rules[part] = _lenient(rules[part])
    return {**_ref(rules.pop("type")), **rules}
