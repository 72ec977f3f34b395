"""The checks that `vmops doctor` makes; every one is read-only."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vmops.checks import Check
from vmops.cli.options import read_config
from vmops.cli.session import Place
from vmops.errors import MissingDependency, VMOpsError

if TYPE_CHECKING:
    from vmops.backend import Backend
    from vmops.plugins import Provider, Registry

__all__ = ["checkup"]

_OLDEST: Final = (3, 11)


def checkup(place: Place, backends: Sequence[str] | None) -> Iterator[tuple[str, Check]]:
    """What was looked at and how it is, one by one.

    Args:
        place: Where commands would work.
        backends: The ones to look at; None for all that are installed.

    Raises:
        UnknownBackend: A backend that was named is not installed.
    """
    from vmops.plugins import Registry

    yield "python", _python()
    yield "ssh", _ssh_client()
    for check in _state_folder():
        yield "state", check
    for check in _journal(place):
        yield "journal", check
    registry = Registry()
    for name in backends or ():
        if name not in registry.names():
            registry.load(name)  # raises, and says what there is
    providers = [p for p in registry.providers() if not backends or p.name in backends]
    if not providers:
        fix = "pip install vmops-local"
        yield "backends", Check("installed", ok=False, detail="none is installed", fix=fix)
    for provider in providers:
        for check in _backend(registry, provider, place):
            yield provider.name, check


def _python() -> Check:
    version = platform.python_version()
    detail = f"{platform.python_implementation()} {version} at {sys.executable}"
    wanted = ".".join(map(str, _OLDEST))
    fix = f"install Python {wanted} or newer"
    return Check("version", ok=sys.version_info >= _OLDEST, detail=detail, fix=fix)


def _ssh_client() -> Check:
    from vmops.cli.ssh import install_line

    found = shutil.which("ssh")
    detail = found or "not found; only `vmops ssh` needs it"
    return Check("client", ok=bool(found), detail=detail, fix=install_line(), needed=False)


def _state_folder() -> Iterator[Check]:
    import platformdirs

    yield _private_folder("folder", platformdirs.user_state_path("vmops"))


def _private_folder(name: str, folder: Path) -> Check:
    if not folder.exists():
        parent = next((p for p in folder.parents if p.exists()), folder)
        fix = f"let yourself write to {parent}, or set XDG_STATE_HOME"
        detail = f"{folder} does not exist yet; it is made when it is needed"
        ok = os.access(parent, os.W_OK | os.X_OK)
        return Check(name, ok=ok, detail=detail if ok else f"{folder} cannot be made", fix=fix)
    info = folder.stat()
    if not (stat.S_ISDIR(info.st_mode) and os.access(folder, os.R_OK | os.W_OK | os.X_OK)):
        fix = f"let yourself write to {folder}, or set XDG_STATE_HOME"
        return Check(name, ok=False, detail=f"{folder} cannot be written to", fix=fix)
    mode = stat.S_IMODE(info.st_mode)
    if mode & 0o077:
        detail = f"{folder} is open to others (mode {mode:o})"
        return Check(name, ok=False, detail=detail, fix=f"chmod 700 {folder}")
    return Check(name, ok=True, detail=f"{folder} (mode {mode:o})")


def _journal(place: Place) -> Iterator[Check]:
    where = place.journal_place
    if where is None:
        fix = "leave out --journal none, and unset VMOPS_JOURNAL"
        detail = "none: what a killed process leaves behind is not found again"
        yield Check("place", ok=False, detail=detail, fix=fix, needed=False)
        return
    is_file = "://" not in where
    if is_file and not Path(where).exists():
        yield _private_folder("folder", Path(where).absolute().parent)
        yield Check("place", ok=True, detail=f"{where} is made when it is first needed")
        return
    from vmops.migrations import SCHEMA_VERSION
    from vmops.store import SqlStore

    try:
        store = SqlStore(where)
    except VMOpsError as exc:
        fix = "mend it, or name another by --journal or VMOPS_JOURNAL"
        yield Check("place", ok=False, detail=str(exc), fix=fix)
        return
    detail = f"{store.place}: schema {SCHEMA_VERSION}, install id {store.install_id}"
    store.close()
    yield Check("place", ok=True, detail=detail)


def _backend(registry: Registry, provider: Provider, place: Place) -> Iterator[Check]:
    try:
        cls = registry.load(provider.name)
    except VMOpsError as exc:
        fix = f"reinstall or remove {' or '.join(provider.distributions)}"
        yield Check("plugin", ok=False, detail=str(exc), fix=fix)
        return
    yield Check("plugin", ok=True, detail=", ".join(map(_version, provider.distributions)))
    try:
        settings = _settings(cls, place)
    except VMOpsError as exc:
        fix = f"see `vmops params {provider.name}`"
        yield Check("settings", ok=False, detail=" ".join(str(exc).split()), fix=fix)
        return
    yield from _own_checks(cls, settings)


def _own_checks(cls: type[Backend[Any, Any]], settings: object) -> Iterator[Check]:
    own = getattr(cls, "doctor", None)
    if own is None:
        return
    try:
        checks: Iterable[Check] = own(settings)
        yield from checks
    except MissingDependency as exc:
        yield Check("needs", ok=False, detail=exc.message, fix=exc.install)
    except Exception as exc:  # noqa: BLE001  (a doctor that falls ill is a finding, not the end)
        yield Check("own checks", ok=False, detail=f"{type(exc).__name__}: {exc}")


def _settings(cls: type[Backend[Any, Any]], place: Place) -> object:
    from vmops.binding import Binder

    config = read_config(place.config, cls.name) if place.config else {"backend": cls.name}
    binder = Binder(cls.name, cls.settings_type, cls.params_type, cls.vm_name, config)
    return binder.bind({}).settings


def _version(distribution: str) -> str:
    from importlib import metadata

    try:
        return f"{distribution} {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        return distribution
