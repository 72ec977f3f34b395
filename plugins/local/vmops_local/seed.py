"""The small read-only disk that tells a guest its name, its SSH key and its user data.

Cloud images read a NoCloud seed (cloud-init's documentation, "NoCloud"): an ISO 9660 volume called
`cidata`. guest=linux, whose scripts are ours, reads a plain tar archive.
"""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmops import check_ssh_public_key, check_user_data, merged_user_data
from vmops.errors import InvalidParams, Problem
from vmops_local.files import write_new

__all__ = ["LOGIN", "Identity", "check_identity", "write_cloud_seed", "write_linux_seed"]

LOGIN = "vmops"
"""The account that the cloud seed makes, with sudo, beside the image's own default account."""

_READY_SCRIPT = "/var/lib/cloud/scripts/per-boot/vmops-ready"
_STATE = "/var/lib/vmops"

# runcmd runs in the first boot only, after the user's own; per-boot scripts run in every boot, in
# the first one too early. So the first READY comes from runcmd, every later one from per-boot.
_READY = f"""#!/bin/sh
set -u
mkdir -p {_STATE}
if [ "${{1:-}}" = first ]; then
    touch {_STATE}/set-up
elif [ ! -e {_STATE}/set-up ]; then
    exit 0
fi
boot=$(($(cat {_STATE}/boots 2>/dev/null || echo 0) + 1))
echo "$boot" >{_STATE}/boots
for key in /etc/ssh/ssh_host_*_key.pub; do
    [ -e "$key" ] && echo "HOSTKEY $(cat "$key")"
done >/dev/ttyS0
echo "READY vmops boot=$boot" >/dev/ttyS0
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a VM is told about itself.

    Args:
        name: Its host name.
        instance: Its unique id; cloud-init sets a VM up once for each.
        ssh_public_key: The key that may log in; empty for none.
        user_data: The caller's own user data; empty for none. May hold secrets.
    """

    name: str
    instance: str
    ssh_public_key: str = ""
    user_data: str = ""


def check_identity(ssh_public_key: str, user_data: str, *, script_only: bool = False) -> None:
    """Refuse a key or user data that no guest would understand.

    Args:
        ssh_public_key: One line as in an `id_ed25519.pub`, or empty.
        user_data: What cloud-init takes, or empty.
        script_only: Whether the guest runs scripts only (guest=linux), not all of cloud-init's.

    Raises:
        InvalidParams: With every problem; the user data is never shown.
    """
    found = []
    try:
        check_ssh_public_key(ssh_public_key)
    except ValueError as exc:
        found.append(Problem("sshPublicKey", str(exc)))
    try:
        check_user_data(user_data, script_only=script_only)
    except ValueError as exc:
        found.append(Problem("userData", str(exc)))
    if found:
        raise InvalidParams(*found)


def write_cloud_seed(target: Path, identity: Identity) -> None:
    """Make `target` a NoCloud seed: an ISO image with user-data and meta-data.

    Raises:
        FileExistsError: The file exists.
    """
    import pycdlib

    meta = {"instance-id": identity.instance, "local-hostname": identity.name}
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    files = {"user-data": cloud_user_data(identity), "meta-data": json.dumps(meta)}
    for name, text in files.items():
        data = text.encode()
        plain = name.replace("-", "").upper()
        iso.add_fp(
            io.BytesIO(data), len(data), f"/{plain}.;1", rr_name=name, joliet_path=f"/{name}"
        )
    image = io.BytesIO()
    iso.write_fp(image)
    iso.close()
    write_new(target, image.getvalue())


def cloud_user_data(identity: Identity) -> str:
    """The user data for cloud-init: the caller's own, and ours after it."""
    return merged_user_data(_cloud_config(identity.ssh_public_key.strip()), identity.user_data)


def _cloud_config(key: str) -> dict[str, Any]:
    user: dict[str, Any] = {
        "name": LOGIN,
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "shell": "/bin/sh",
        "lock_passwd": True,
    }
    config: dict[str, Any] = {
        "users": ["default", user],
        "write_files": [{"path": _READY_SCRIPT, "permissions": "0755", "content": _READY}],
        "runcmd": [[_READY_SCRIPT, "first"]],
    }
    if key:
        user["ssh_authorized_keys"] = [key]
        config["ssh_authorized_keys"] = [key]
    return config


def write_linux_seed(target: Path, identity: Identity) -> None:
    """Make `target` the seed of guest=linux: a tar archive on a raw disk.

    Raises:
        FileExistsError: The file exists.
    """
    files = {"hostname": identity.name + "\n"}
    if identity.ssh_public_key:
        files["authorized_keys"] = identity.ssh_public_key.strip() + "\n"
    if identity.user_data:
        files["user-data"] = identity.user_data
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text.encode()), 0o600
            tar.addfile(info, io.BytesIO(text.encode()))
    write_new(target, archive.getvalue())
