"""What imports what, what is public, and what MLOS calls it."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import vmops
from vmops import Status, SupportsVMOps, errors
from vmops.errors import VMOpsError

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core" / "vmops"

# Each layer may import from itself and from those above it.
LAYERS = [
    {"protocol", "errors", "clock", "http_errors", "http_times", "parallel", "user_data"},
    {"operation", "outcomes", "params", "urls", "vm", "result"},
    {"backend"},
    {"binding", "checks", "given", "semantics", "pace", "batching", "plugins", "schema"},
    {"tracker"},
    {"records", "waits", "ssh", "sending"},
    {"journal", "sql_tables", "sqlite_file"},
    {"durable_journal", "migrations", "connection"},
    {"store"},
    {"history"},
    {"looking", "watching"},
    {"likeness"},
    {"planning", "grouping"},
    {"submission"},
    {"recovery", "reaping"},
    {"dispatch"},
    {"housekeeping"},
    {"facade"},
    {"machines"},
    {"remote"},
    {"cli", "testing", "integrations", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def imports_of(path: Path) -> set[str]:
    """All modules a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def unit_of(module: str) -> str | None:
    """The part of the core that a module name belongs to."""
    match = re.match(r"vmops\.([a-z_]+)", module)
    return match[1] if match and match[1] in LEVEL else None


FILES = [p for p in CORE.rglob("*.py") if p != CORE / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(CORE)))
def test_layers(path: Path) -> None:
    """A module of the core imports only from its own layer and those below it."""
    own = path.relative_to(CORE).parts[0].removesuffix(".py")
    assert own in LEVEL, f"{own} has no layer: give it one in LAYERS"
    for module in imports_of(path):
        unit = unit_of(module)
        if unit is not None and unit != own:
            lazy_upward = own == "plugins" and unit == "backend"
            assert LEVEL[unit] <= LEVEL[own] or lazy_upward, f"{own} imports {unit}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(CORE)))
def test_core_knows_no_cloud(path: Path) -> None:
    """The core imports no SDK and no plugin."""
    clouds = ("boto", "azure", "google", "libcloud", "qemu", "vmops_")
    own = f"vmops_{path.parent.name}" if "integrations" in path.parts else "none"
    found = [m for m in imports_of(path) if m.startswith(clouds)]
    assert [m for m in found if not m.startswith(own)] == []  # what its extra installs apart


PLUGINS = [  # plugins/mlos_bench is none: it is the part of an integration that is installed apart
    path
    for path in (ROOT / "plugins").glob("*/vmops_*/**/*.py")
    if "vmops_mlos_bench" not in path.parts
]


@pytest.mark.parametrize("path", PLUGINS, ids=lambda p: p.name)
def test_plugins_use_the_public_api(path: Path) -> None:
    """A plugin imports `vmops` and `vmops.errors`, nothing else of the core."""
    for module in imports_of(path):
        if module.startswith("vmops."):
            allowed = (
                module.startswith("vmops.errors") or module.removeprefix("vmops.") in vmops.__all__
            )
            assert allowed, module


def test_exports() -> None:
    """`__all__` is sorted and everything in it can be imported."""
    order = sorted(vmops.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert vmops.__all__ == order
    assert len(set(vmops.__all__)) == len(vmops.__all__)
    for name in vmops.__all__:
        assert getattr(vmops, name) is not None
    assert set(vmops.__all__) == set(dir(vmops))
    with pytest.raises(AttributeError, match="nonsense"):
        vmops.nonsense  # noqa: B018


def test_status_is_mloss() -> None:
    """Names and values are those of mlos_bench 0.6."""
    assert {s.name: s.value for s in Status} == {
        "UNKNOWN": 0,
        "PENDING": 1,
        "READY": 2,
        "RUNNING": 3,
        "SUCCEEDED": 4,
        "CANCELED": 5,
        "FAILED": 6,
        "TIMED_OUT": 7,
    }
    assert {s.name for s in Status if s.is_good()} == {"PENDING", "READY", "RUNNING", "SUCCEEDED"}
    done = {"SUCCEEDED", "CANCELED", "FAILED", "TIMED_OUT"}
    assert {s.name for s in Status if s.is_completed()} == done
    for status in Status:
        if status is not Status.UNKNOWN:
            assert getattr(status, f"is_{status.name.lower()}")() or status is Status.CANCELED


@pytest.mark.parametrize(
    ("text", "status"),
    [("succeeded", Status.SUCCEEDED), (" Timed_Out ", Status.TIMED_OUT), ("4", Status.SUCCEEDED)],
)
def test_status_is_parsed(text: str, status: Status) -> None:
    """Names in any case and numbers are understood; anything else is UNKNOWN."""
    assert Status.parse(text) is status
    assert Status.parse(status) is status
    assert Status.parse("certainly") is Status.UNKNOWN


def test_protocol_signatures() -> None:
    """Seven methods, with MLOS's names and argument order."""
    found = {
        name: list(inspect.signature(method).parameters)[1:]
        for name, method in vars(SupportsVMOps).items()
        if inspect.isfunction(method) and not name.startswith("_")
    }
    one = ["params"]
    assert found == {
        "vm_provision": one,
        "wait_vm_deployment": ["is_setup", "params"],
        "vm_start": one,
        "vm_stop": one,
        "vm_restart": one,
        "vm_deprovision": one,
        "wait_vm_operation": one,
    }
    assert not isinstance(object(), SupportsVMOps)


def test_error_tree_is_as_drawn() -> None:
    """The tree in the docstring of vmops.errors is the tree of classes."""
    drawn: dict[str, int] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"([│├└─ ]*)([A-Z]\w+)", line)
        if match and hasattr(errors, match[2]) and (match[1] or match[2] == "VMOpsError"):
            drawn[match[2]] = len(match[1]) // 4
    real = {
        name: len([c for c in getattr(errors, name).__mro__ if issubclass(c, VMOpsError)]) - 1
        for name in errors.__all__
        if name != "Problem"
    }
    assert drawn == real


def test_codes_are_class_names() -> None:
    """Every error's stable code is its name, and its text says all that is known."""
    error = errors.NoCapacity("no room", provider_code="Full", request_id="r-1", hint="try b")
    assert error.code == "NoCapacity"
    assert str(error) == "no room; provider code: Full; request id: r-1; next: try b"
