"""The small read-only disk that tells a guest its name, its SSH key and its user data.

Cloud images read a NoCloud seed (cloud-init's documentation, "NoCloud"): an ISO 9660 volume called
`cidata`. guest=linux, whose scripts are ours, reads a plain tar archive.
"""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path
from typing import Any

from vmops.errors import InvalidParams, Problem
from vmops_local.files import write_new

__all__ = ["LOGIN", "Identity", "check_identity", "write_cloud_seed", "write_linux_seed"]

LOGIN = "vmops"
"""The account that the cloud seed makes, with sudo, beside the image's own default account."""

_KEY_TYPES = ("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-")
_USER_DATA_STARTS = (
    "#cloud-config",
    "#!",
    "#include",
    "#part-handler",
    "#cloud-boothook",
    "## template: jinja",
)
_MOST_USER_DATA = 1 << 20
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
    problems = []
    key = ssh_public_key.strip()
    if key and (len(key.splitlines()) != 1 or not key.isprintable() or len(key.split()) < 2):  # noqa: PLR2004
        problems.append("it is not one line of the form `ssh-ed25519 AAAA... comment`")
    elif key and not key.startswith(_KEY_TYPES):
        kind = key.split()[0][:30]
        problems.append(f"{kind!r} is no type of key; give the content of the .pub file")
    found = [Problem("sshPublicKey", text) for text in problems]
    starts = ("#!",) if script_only else (*_USER_DATA_STARTS, "Content-Type:", "MIME-Version:")
    if user_data and not user_data.startswith(starts):
        found.append(Problem("userData", f"it must begin with one of {', '.join(starts)}"))
    if len(user_data) > _MOST_USER_DATA:
        found.append(Problem("userData", f"it is over {_MOST_USER_DATA} characters"))
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
    """The user data for cloud-init: the caller's own, and ours after it.

    Ours is a cloud-config in JSON, which is YAML too: nothing that a caller gives can break out of
    its quotes. Its lists are appended to the caller's, as `merge_how` says.
    """
    ours = "#cloud-config\n" + json.dumps(_cloud_config(identity.ssh_public_key.strip()), indent=1)
    if not identity.user_data:
        return ours
    whole = MIMEMultipart()
    if identity.user_data.startswith(("Content-Type:", "MIME-Version:")):
        from email import message_from_string

        whole.attach(message_from_string(identity.user_data))
    else:
        # of a text/plain part, cloud-init reads the kind from its first line
        whole.attach(MIMEText(identity.user_data, "plain", "utf-8"))
    whole.attach(MIMEText(ours, "cloud-config", "utf-8"))
    return whole.as_string()


def _cloud_config(key: str) -> dict[str, Any]:
    user: dict[str, Any] = {
        "name": LOGIN,
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "shell": "/bin/sh",
        "lock_passwd": True,
    }
    config: dict[str, Any] = {
        "merge_how": "list(append)+dict(no_replace,recurse_list)+str()",
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
