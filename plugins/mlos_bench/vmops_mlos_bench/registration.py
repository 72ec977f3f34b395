"""Adding our schema to those that mlos_bench checks its service configs with."""

from __future__ import annotations

import functools
import json
import logging
from importlib import import_module, resources
from types import ModuleType
from typing import Any, Final

from vmops_mlos_bench.startup import AWAITED

__all__ = ["add_to", "register"]

_SCHEMA: Final = "schemas/services/service-schema.json"
_log = logging.getLogger("vmops")


def register() -> bool:
    """Whether mlos_bench takes `VMOpsService` in service configs now; False is logged, once.

    The interpreter's start has seen to it (see `startup`); a program calls this where that did not
    happen, as with `pip install --target`. A second call changes nothing.

    Raises:
        ImportError: mlos_bench is missing or broken.
    """
    return add_to(import_module(AWAITED))


def add_to(schemas: ModuleType) -> bool:
    """Whether this, mlos_bench's module of schemas, has ours now; False is logged, once."""
    try:
        _add(schemas)
    except Exception as exc:  # noqa: BLE001  (whatever a later layout leads to: nothing may break)
        _log.debug("mlos_bench's schemas: no place for ours", exc_info=True)
        _warn(type(exc).__name__)
        return False
    return True


def _add(schemas: Any) -> None:  # noqa: ANN401  (mlos_bench has no types)
    """Offer our schema as one more kind of service; the last step is the one that takes effect."""
    parts = schemas.ConfigSchema.SERVICE.schema["$defs"]["service_config"]["allOf"]
    kinds = next(part["oneOf"] for part in parts if "oneOf" in part)
    file = resources.files(__package__) / _SCHEMA
    ours = json.loads(file.read_text(encoding="utf-8"))
    kind = {"$ref": f"{ours['$id']}#/$defs/vmops_class"}
    if kind not in kinds:
        schemas.SchemaStore._SCHEMA_STORE[ours["$id"]] = ours  # noqa: SLF001  (no public way in)
        schemas.SchemaStore._load_registry()  # noqa: SLF001  (one may be made already)
        kinds.append(kind)


@functools.cache
def _warn(reason: str) -> None:
    _log.warning(
        "mlos_bench's schemas are kept in a way that vmops-mlos-bench does not know (%s), so that"
        " service configs with VMOpsService will be refused; install mlos-bench<0.7, or set"
        " MLOS_BENCH_SKIP_SCHEMA_VALIDATION=true",
        reason,
    )
