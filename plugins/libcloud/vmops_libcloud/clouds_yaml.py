"""The clouds of `clouds.yaml` and `secure.yaml`, found where OpenStack's own tools find them.

Source: "Configuring OpenStack SDK Applications", openstacksdk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

__all__ = ["cloud"]

_ENDINGS: Final = (".yaml", ".yml", ".json")
_FILES: Final = {"clouds": "OS_CLIENT_CONFIG_FILE", "secure": "OS_CLIENT_SECURE_FILE"}
"""Files -> what names another one to be tried first. A secure one counts more."""


def cloud(name: str) -> dict[str, Any]:
    """What is said of a cloud, by the names that it has there; `auth` is one of them.

    Raises:
        ValueError: There is no such file or no such cloud, or it cannot be read.
    """
    known: dict[str, dict[str, Any]] = {}
    read = []
    for stem, variable in _FILES.items():
        if path := next((one for one in _places(stem, variable) if one.is_file()), None):
            read.append(str(path))
            known = _over(known, _clouds(path))
    if not read:
        raise ValueError(
            f"cloud {name!r}: there is no clouds.yaml in this folder, ~/.config/openstack or"
            " /etc/openstack; put it there, or set OS_CLIENT_CONFIG_FILE"
        )
    if not known.get(name):
        names = ", ".join(sorted(known)) or "none"
        raise ValueError(f"cloud {name!r} is not in {' or '.join(read)}, which has: {names}")
    return known[name]


def _places(stem: str, variable: str) -> Iterator[Path]:
    import platformdirs

    if named := os.environ.get(variable):
        yield Path(named)
    user = platformdirs.user_config_path("openstack")
    for folder in (Path.cwd(), user, Path("/etc/openstack")):
        yield from (folder / f"{stem}{ending}" for ending in _ENDINGS)


def _clouds(path: Path) -> dict[str, dict[str, Any]]:
    import yaml

    try:
        found = yaml.safe_load(path.read_bytes())
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as exc:
        # which tells what stands there
        raise ValueError(f"{path} cannot be read: {type(exc).__name__}") from None
    if found is None:  # an empty file
        return {}
    clouds = found.get("clouds") if isinstance(found, Mapping) else None
    if not isinstance(clouds, Mapping):
        raise ValueError(f"{path} has no mapping `clouds`")  # noqa: TRY004  (a value's)
    return {str(name): dict(said) for name, said in clouds.items() if isinstance(said, Mapping)}


def _over(those: Mapping[str, Any], these: Mapping[str, Any]) -> dict[str, Any]:
    """Values over others, level by level."""
    found = dict(those)
    for key, value in these.items():
        below = found.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            found[key] = _over(below, value)
        else:
            found[key] = value
    return found
