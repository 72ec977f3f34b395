"""Finding backends: lazy, guarded, one broken plugin never in the way of the others."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from memory_cloud import World, plugin_for

import vmops_sim
from vmops import Event, VMOps, hookimpl
from vmops.errors import PluginError, UnknownBackend
from vmops.plugins import GROUP, Registry

GOOD = """
from vmops import Backend, Params, Settings, hookimpl
class Good(Backend[Settings, Params]):
    name = {name!r}
    def account(self): return "x"
    def describe(self, refs): return []
    def provision(self, vm, token): return {{}}
    start = restart = deprovision = provision
    def stop(self, vm, token, mode): return {{}}
@hookimpl
def vmops_backend(): return Good
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on sys.path into which distributions are installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv("VMOPS_PLUGINS", raising=False)
    return tmp_path


def install(site: Path, distribution: str, backend: str, code: str = "") -> None:
    """Install a distribution whose module provides a backend."""
    module = distribution.lower().replace("-", "_").replace(".", "_")
    (site / f"{module}.py").write_text(code or GOOD.format(name=backend))
    info = site / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[vmops]\n{backend} = {module}\n")


def test_names_without_importing(site: Path) -> None:
    """Listing reads metadata; a plugin that would explode is not touched."""
    install(site, "t-bomb", "bomb", "raise SystemExit('imported')")
    assert "bomb" in Registry(policy="").names()


def test_load_imports_the_one_backend(site: Path) -> None:
    """A backend is imported when it is asked for, and no other one."""
    install(site, "t-one", "t-one")
    install(site, "t-two", "t-two")
    assert Registry(policy="").load("t-one").name == "t-one"
    assert "t_one" in sys.modules
    assert "t_two" not in sys.modules


def test_unknown_backend_names_the_known_ones(site: Path) -> None:
    """Asking for a backend that is not there says which are, and how to get one."""
    install(site, "t-known", "t-known")
    with pytest.raises(UnknownBackend, match=r"t-known.*pip install vmops-nimbus"):
        Registry(policy="").load("nimbus")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import does_not_exist", "does_not_exist"),
        ("x = 1", "vmops_backend"),
        ("def vmops_backend(): return int", "not a subclass"),
        (GOOD.replace('    def account(self): return "x"\n', "").format(name="t-bad"), "account"),
        ("def vmops_backend(): raise RuntimeError('oops')", "oops"),
    ],
)
def test_broken_plugins_are_named_and_not_fatal(site: Path, code: str, why: str) -> None:
    """A plugin that cannot be used is an error with its distribution's name; others work."""
    install(site, "t-broken", "t-bad", code)
    install(site, "t-fine", "t-fine")
    sys.modules.pop("t_broken", None)
    registry = Registry(policy="")
    with pytest.raises(PluginError, match=why):
        registry.load("t-bad")
    assert registry.load("t-fine").name == "t-fine"
    (provider,) = [p for p in registry.providers() if p.name == "t-bad"]
    assert provider.distributions == ("t-broken",)
    assert why in provider.problem


def test_a_clash_is_named_and_resolved_by_policy(site: Path) -> None:
    """Two distributions that claim a name are both refused until one is chosen."""
    install(site, "t-official", "t-dup")
    install(site, "T.Shadow", "t-dup")
    with pytest.raises(PluginError, match="t-official and t-shadow"):
        Registry(policy="").load("t-dup")
    assert Registry(policy="-t-shadow").load("t-dup").__module__ == "t_official"
    assert Registry(policy="T_Official").names() == ["t-dup"]


def test_policy_from_the_environment(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """VMOPS_PLUGINS allows by distribution, its spelling normalised; refused code never runs."""
    install(site, "t-allowed", "t-allowed")
    install(site, "t-evil", "t-evil", "raise SystemExit('imported')")
    monkeypatch.setenv("VMOPS_PLUGINS", "t_Allowed")
    registry = Registry()
    assert registry.names() == ["t-allowed"]
    with pytest.raises(UnknownBackend):
        registry.load("t-evil")


def test_slow_import_is_named(
    site: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An import that takes long earns a warning with the plugin's name."""
    install(site, "t-slow", "t-slow")
    monkeypatch.setattr("vmops.plugins.SLOW_IMPORT", -1.0)
    with caplog.at_level(logging.WARNING):
        Registry(policy="").load("t-slow")
    assert "t-slow" in caplog.text


def test_events_reach_every_observer_and_a_bad_one_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Observers see submitted, progress and ended; one that raises is logged and skipped."""
    seen: list[Event] = []

    class Good:
        @hookimpl
        def vmops_event(self, event: Event) -> None:
            seen.append(event)

    class Bad:
        @hookimpl
        def vmops_event(self, event: Event) -> None:
            raise RuntimeError("observer broke")

    registry = Registry(entry_points=[])
    registry.register(plugin_for(World()), "memory")
    registry.register(Bad())
    registry.register(Good())
    with VMOps({"backend": "memory"}, registry=registry, journal=None) as ops:
        _, pending = ops.vm_provision({"vmName": "a", "userData": "s3cret"})
        ops.wait_vm_operation(pending)
    kinds = [event.kind for event in seen]
    assert (kinds[0], kinds[-1]) == ("submitted", "ended")
    assert "progress" in kinds
    assert all((event.vm, event.action) == ("a", "provision") for event in seen)
    assert "s3cret" not in str(seen)
    assert "observer broke" in caplog.text


def run(code: str) -> Any:
    """What a fresh interpreter printed."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_protocol_costs_nothing_heavy() -> None:
    """Importing the Protocol loads no pydantic, SQLAlchemy, typer, rich, pluggy or plugin."""
    heavy = [
        "pydantic",
        "sqlalchemy",
        "typer",
        "rich",
        "pluggy",
        "vmops_local",
        "vmops_sim",
        "qemu",
    ]
    code = (
        "import sys; from vmops import SupportsVMOps, Status\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    assert run(code) == "[]"


def test_without_a_journal_no_database_is_imported() -> None:
    """SQLAlchemy is loaded for the journal only."""
    code = (
        "import sys; from vmops import VMOps\n"
        "o = VMOps({'backend': 'sim', 'clock': 'virtual'}, journal=None)\n"
        "o.wait_vm_operation(o.vm_provision({'vmName': 'a'})[1])\n"
        "print('sqlalchemy' in sys.modules)"
    )
    assert run(code) == "False"


class _SlowPoint:
    """An entry point whose module takes its time."""

    group, name, dist = GROUP, "sim", None

    def load(self) -> Any:
        time.sleep(0.05)
        return vmops_sim


def test_first_use_by_many_threads() -> None:
    """A backend that several threads use first at once is imported and registered once."""
    registry = Registry(policy="", entry_points=[_SlowPoint()])  # type: ignore[list-item]
    with ThreadPoolExecutor(8) as pool:
        classes = list(pool.map(lambda _: registry.load("sim"), range(8)))
    assert len(set(classes)) == 1
