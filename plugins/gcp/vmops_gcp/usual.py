"""The project and zone that Google's own tools would take."""

from __future__ import annotations

import configparser
import json
import os
from pathlib import Path

__all__ = ["project", "zone"]


def project() -> str:
    """By the environment, gcloud's active configuration, or the credentials' file; else empty."""
    for name in ("GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"):
        if found := os.environ.get(name):
            return found
    return _configured("core", "project") or _of_credentials()


def zone() -> str:
    """By the environment or gcloud's active configuration; else empty."""
    return os.environ.get("CLOUDSDK_COMPUTE_ZONE") or _configured("compute", "zone")


def _folder() -> Path:
    return Path(os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud")


def _configured(section: str, key: str) -> str:
    """A property of gcloud's active configuration; empty where there is none."""
    try:
        name = os.environ.get("CLOUDSDK_ACTIVE_CONFIG_NAME")
        name = name or (_folder() / "active_config").read_text("utf-8").strip()
        read = configparser.ConfigParser(interpolation=None)
        read.read_string((_folder() / "configurations" / f"config_{name}").read_text("utf-8"))
        return read.get(section, key, fallback="")
    except (OSError, ValueError, configparser.Error):
        return ""


def _of_credentials() -> str:
    """The project of a service account whose key is the application default credentials.

    The project that pays for a user's calls (quota_project_id) need not be where VMs belong.
    """
    place = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
    file = Path(place) if place else _folder() / "application_default_credentials.json"
    try:
        held = json.loads(file.read_text("utf-8"))
        return str(held.get("project_id") or "")
    except (OSError, ValueError, AttributeError):
        return ""
