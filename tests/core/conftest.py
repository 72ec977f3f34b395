"""Fixtures of the core's tests: a cloud in memory, and VMOps over it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vmops import VMOps
from vmops.plugins import Registry


def _load_memory_cloud() -> ModuleType:
    # importlib mode keeps test folders off sys.path; this one module is shared by name
    name = "memory_cloud"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


_memory_cloud = _load_memory_cloud()


@pytest.fixture
def world() -> Any:
    """A fresh cloud."""
    return _memory_cloud.World()


@pytest.fixture
def registry(world: Any) -> Registry:
    """A registry that knows this cloud as `memory`, and nothing else."""
    registry = Registry(entry_points=[])
    registry.register(_memory_cloud.plugin_for(world), "memory")
    return registry


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def ops(registry: Registry, journal: Path) -> Iterator[VMOps]:
    """VMOps over the cloud in memory, with a journal."""
    with VMOps({"backend": "memory"}, journal=journal, registry=registry) as ops:
        yield ops
