"""From the start of an interpreter to a schema in mlos_bench's store, and all that may go wrong."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib import metadata
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import vmops_mlos_bench
from vmops_mlos_bench import startup
from vmops_mlos_bench.startup import AWAITED, Finder, install

Python = Callable[..., str]

SCHEMAS = """
from enum import Enum
class SchemaStore:
    _SCHEMA_STORE = {}
    loaded = []
    @classmethod
    def _load_registry(cls):
        cls.loaded.append(list(cls._SCHEMA_STORE))
KINDS = [{"$ref": "./theirs.json"}]
SERVICE = {"$defs": {"service_config": {"allOf": [{"required": ["class"]}, {"oneOf": KINDS}]}}}
class ConfigSchema(Enum):
    SERVICE = 1
    @property
    def schema(self):
        return SERVICE
"""
"""As much of mlos_bench as a registration needs."""
REF = {"$ref": "urn:vmops:mlos_bench:service-schema#/$defs/vmops_class"}
TELL = f"""
import json
from {AWAITED} import KINDS, SchemaStore, __loader__, __spec__
same = __spec__.loader is __loader__
print(json.dumps([KINDS[1:], SchemaStore.loaded, type(__loader__).__name__, same]))
"""
ADDED = [[REF], [["urn:vmops:mlos_bench:service-schema"]]]


@pytest.fixture
def layout(tmp_path: Path) -> Callable[[str], str]:
    """Makes a package mlos_bench whose schemas' module has this code; where it is."""

    def make(code: str) -> str:
        file = tmp_path / f"{AWAITED.replace('.', '/')}.py"
        file.parent.mkdir(parents=True)
        for package in (file.parent, *file.parent.parents[:2]):
            (package / "__init__.py").touch()
        file.write_text(code)
        return str(tmp_path)

    return make


def test_the_installed_pth_file_is_ours() -> None:
    """The distribution brings its .pth file to where `site` looks for one."""
    files = metadata.distribution("vmops-mlos-bench").files or []
    (file,) = [file for file in files if file.name == "vmops-mlos-bench.pth"]
    assert file.parent == type(file)()
    source = Path(__file__).parents[1] / file.name
    assert file.read_text().split() == source.read_text().split()
    assert len(source.read_text().splitlines()) == 1


def test_a_start_imports_next_to_nothing(python: Python) -> None:
    """An interpreter's start costs two small modules, and none of vmops, mlos_bench or pydantic."""
    code = "import sys; print(*sys.modules)"
    without = set(python(code, "-S").split())
    extra = set(python(code, "-E").split()) - without
    assert {name for name in extra if "vmops" in name} == {
        "vmops_mlos_bench",
        "vmops_mlos_bench.startup",
    }
    heavy = {"mlos_bench", "pydantic", "jsonschema", "importlib.abc", "json", "logging"}
    assert extra & heavy == set()
    for module in (vmops_mlos_bench, startup):
        tree = ast.parse(inspect.getsource(module))
        imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert {alias.name for node in imports for alias in node.names} <= {"sys"}


WHOLE = f"""
import importlib, inspect, json, sys
from importlib.machinery import SourceFileLoader
import {AWAITED} as schemas
from vmops_mlos_bench import register
def kinds():
    return schemas.ConfigSchema.SERVICE.schema["$defs"]["service_config"]["allOf"][0]["oneOf"]
def state():
    schemas.ConfigSchema.SERVICE.validate({{"class": "vmops.integrations.mlos_bench.VMOpsService"}})
    assert type(schemas.__loader__) is SourceFileLoader, schemas.__loader__
    assert schemas.__spec__.loader is schemas.__loader__
    assert "class SchemaStore" in inspect.getsource(schemas)
    return kinds().count({REF!r})
told = [state(), register(), state()]
once = kinds()
importlib.reload(schemas)
print(json.dumps([*told, state(), kinds() is not once, "vmops" in sys.modules]))
"""


def test_the_schema_is_there_once(python: Python, release: str) -> None:
    """It is there once, also after another registration and a reload, and `vmops` is not imported.

    The module's loader and source are what they would be without us.
    """
    told = json.loads(python(WHOLE, PYTHONPATH=release))
    assert told == [1, True, 1, 1, True, False]


LATE = f"""
import sys
sys.path[:] = {sys.path!r}
from jsonschema import ValidationError
from {AWAITED} import ConfigSchema
config = {{"class": "vmops.integrations.mlos_bench.VMOpsService"}}
try:
    ConfigSchema.SERVICE.validate(config)
except ValidationError:
    print("refused")
from vmops_mlos_bench import register
print(register())
ConfigSchema.SERVICE.validate(config)
"""


def test_a_program_can_register_late(python: Python) -> None:
    """Where no .pth file ran, `register` works even after mlos_bench has used its schemas."""
    assert python(LATE, "-S").split() == ["refused", "True"]


def test_without_mlos_bench_nothing_changes(python: Python) -> None:
    """Where there is no mlos_bench, importing it fails as ever, and so does registering."""
    code = f"""
import sys
sys.path[:] = [path for path in sys.path if not path.endswith("site-packages")]
import vmops_mlos_bench
for what in (lambda: __import__({AWAITED!r}), lambda: vmops_mlos_bench.register()):
    try:
        what()
    except ModuleNotFoundError as exc:
        print(exc.name)
"""
    assert python(code).split() == ["mlos_bench", "mlos_bench"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("class ConfigSchema", "class Schemas"),
        ("SERVICE = 1", "HOST = 1"),
        ('"$defs"', '"definitions"'),
        ('"oneOf"', '"anyOf"'),
        ('[{"$ref": "./theirs.json"}]', '({"$ref": "./theirs.json"},)'),
        ("    _SCHEMA_STORE =", "    _STORE ="),
        ("def _load_registry", "def load_registry"),
    ],
)
def test_another_layout_is_one_warning(
    old: str, new: str, layout: Callable[[str], str], python: Python
) -> None:
    """A later mlos_bench may keep its schemas elsewhere: that breaks nothing and is told once."""
    changed = SCHEMAS.replace(old, new)
    assert changed != SCHEMAS
    code = f"""
import logging
logging.basicConfig(format="%(name)s %(levelname)s")
from {AWAITED} import KINDS
from vmops_mlos_bench import register
print(register(), len(KINDS))
"""
    said = python(code, stderr=subprocess.STDOUT, PYTHONPATH=layout(changed)).splitlines()
    assert said == ["vmops WARNING", "False 1"]


def test_an_error_of_the_module_stays_its_own(layout: Callable[[str], str], python: Python) -> None:
    """What mlos_bench's module raises comes out unchanged, and nothing is registered."""
    code = f"""
import sys
try:
    import {AWAITED}
except ZeroDivisionError as exc:
    import traceback
    print(*(frame.name for frame in traceback.extract_tb(exc.__traceback__)))
print({AWAITED!r} in sys.modules, "vmops_mlos_bench.registration" in sys.modules)
"""
    said = python(code, PYTHONPATH=layout("1 / 0"))
    assert said.splitlines()[-1] == "False False"
    assert said.startswith("<module>")


def test_other_loaders_serve_as_well(
    layout: Callable[[str], str], python: Python, tmp_path: Path
) -> None:
    """A module out of a zip file is registered, and keeps zipimport's loader; so is a lazy one."""
    folder = Path(layout(SCHEMAS))
    archive = tmp_path / "wheel.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for file in (folder / "mlos_bench").rglob("*.py"):
            made.write(file, file.relative_to(folder))
    assert json.loads(python(TELL, PYTHONPATH=str(archive))) == [*ADDED, "zipimporter", True]
    lazy = f"""
import importlib.util, sys
spec = importlib.util.find_spec({AWAITED!r})
assert spec.loader.get_source({AWAITED!r}).startswith("\\nfrom enum")
assert spec.loader.path == spec.origin
spec.loader = importlib.util.LazyLoader(spec.loader)
module = importlib.util.module_from_spec(spec)
assert {AWAITED!r} not in sys.modules
sys.modules[{AWAITED!r}] = module
spec.loader.exec_module(module)
"""
    said = json.loads(python(lazy + TELL, PYTHONPATH=str(folder)))
    assert said == [*ADDED, "SourceFileLoader", True]


def test_only_one_module_is_awaited() -> None:
    """The finder finds nothing else, and is installed once."""
    (finder,) = [finder for finder in sys.meta_path if isinstance(finder, Finder)]
    for name in ("mlos_bench", f"{AWAITED}.more", "config_schemas", "json"):
        assert finder.find_spec(name, None, None) is None
    before = sys.meta_path[:]
    install()
    assert sys.meta_path == before


class Other:
    """A finder that answers with what it was given."""

    def __init__(self, spec: ModuleSpec | None) -> None:
        self.spec = spec
        self.asked: list[tuple[object, ...]] = []

    def find_spec(self, *asked: Any) -> ModuleSpec | None:
        self.asked.append(asked)
        return self.spec


class Legacy:
    """A loader from before Python 3.4."""

    def load_module(self, name: str) -> ModuleType:
        raise AssertionError(name)


def test_the_finders_after_it_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those before it are not asked again, and what Python should load in another way is left."""
    finder, target = Finder(), ModuleType("target")
    before, silent = Other(ModuleSpec(AWAITED, None)), Other(None)
    spec = ModuleSpec(AWAITED, SourceFileLoader(AWAITED, "file.py"))
    last, never = Other(spec), Other(None)
    chain = [before, finder, object(), silent, last, never]
    monkeypatch.setattr(sys, "meta_path", chain)
    assert finder.find_spec(AWAITED, ["folder"], target) is spec
    assert isinstance(spec.loader, startup.Loader)
    assert silent.asked == last.asked == [(AWAITED, ["folder"], target)]
    assert before.asked == never.asked == []
    for loader in (None, Legacy()):
        last.spec = ModuleSpec(AWAITED, loader)
        found = finder.find_spec(AWAITED, None, None)
        assert found is last.spec
        assert found.loader is loader
    last.spec = None
    assert finder.find_spec(AWAITED, None, None) is None
    monkeypatch.setattr(sys, "meta_path", [last])  # taken out while it was asked
    assert finder.find_spec(AWAITED, None, None) is None


def test_the_package_has_one_public_name() -> None:
    """`register` is all that the package itself offers."""
    assert vmops_mlos_bench.__all__ == ["register"]
    assert vmops_mlos_bench.register() is True
    with pytest.raises(AttributeError, match="has no attribute 'unregister'"):
        vmops_mlos_bench.unregister  # noqa: B018
