"""Which project and zone, and what can be made there."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from vmops import (
    Act,
    LocalOnly,
    OtherName,
    Params,
    Secret,
    Settings,
    Tuning,
    check_endpoint,
    check_ssh_public_key,
    list_from_text,
    pairs_from_text,
)
from vmops_gcp import images, usual

__all__ = ["GcpParams", "GcpSettings"]

_PROJECT: Final = r"^(([a-z0-9][a-z0-9-]*\.)*[a-z0-9][a-z0-9-]*:)?[a-z][a-z0-9-]{2,61}[a-z0-9]$"
_ZONE: Final = r"^[a-z]+(-[a-z]+)+[0-9]+-[a-z]$"
_MACHINE_TYPE: Final = r"^[a-z][a-z0-9]*(-[a-z0-9]+)+$"
_NAME: Final = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
_MOST_METADATA: Final = 256 * 1024
"""Bytes of one value ("each value is limited to 256 KB", Compute Engine, "About VM metadata")."""
_MOST_LABELS: Final = 50
"""GCE takes 64 labels a resource; vmops writes six of them."""
_LABEL_KEY: Final = re.compile(r"[^\W\d_A-Z][\w-]{0,62}")
_LABEL_VALUE: Final = re.compile(r"[\w-]{0,63}")
_METADATA_KEY: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_OWN_KEYS: Final = {"ssh-keys": "sshPublicKey", "user-data": "userData"}


def _checked_labels(labels: dict[str, str]) -> dict[str, str]:
    if reserved := sorted(key for key in labels if key.startswith("vmops-")):
        raise ValueError(f"{', '.join(reserved)}: vmops writes these itself; choose other keys")
    if len(labels) > _MOST_LABELS:
        raise ValueError(f"{len(labels)} labels, and {_MOST_LABELS} are the most")
    for key, value in labels.items():
        upper = key != key.lower() or value != value.lower()
        if upper or not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            raise ValueError(
                f"{key[:40]!r}: GCE takes lower-case letters, digits, _ and -; up to 63 of them,"
                " and a letter first in a key"
            )
    return labels


def _checked_metadata(metadata: dict[str, str]) -> dict[str, str]:
    for key, value in metadata.items():
        if key in _OWN_KEYS:
            raise ValueError(f"{key}: give {_OWN_KEYS[key]} instead")
        if not _METADATA_KEY.fullmatch(key):
            raise ValueError(f"{key[:40]!r}: a key has 1 to 128 letters, digits, _ and -")
        if len(value.encode(errors="surrogatepass")) > _MOST_METADATA:
            raise ValueError(f"{key}: {_MOST_METADATA} bytes are the most")
    return metadata


class GcpSettings(Settings):
    """Which project and zone. Credentials are Google's application default ones."""

    project: str = Field(
        pattern=_PROJECT,
        description="Project id; by default GOOGLE_CLOUD_PROJECT's, gcloud's, or the credentials'.",
    )
    zone: str = Field(
        pattern=_ZONE,
        description="Zone, such as europe-west1-b; by default CLOUDSDK_COMPUTE_ZONE's or gcloud's.",
    )
    location: Annotated[str | None, OtherName("zone")] = Field(
        None, description="Another name for zone."
    )
    endpoint_url: Annotated[str | None, LocalOnly, AfterValidator(check_endpoint)] = Field(
        None, description="Where the Compute Engine API is instead."
    )
    tick: Annotated[float, Tuning] = Field(
        0.2, gt=0, description="Seconds between two looks at least."
    )

    @model_validator(mode="before")
    @classmethod
    def _usual_place(cls, values: Any) -> Any:  # noqa: ANN401  (whatever was given)
        """What is not given is read where Google's own tools read it.

        It is read here, so that an operation's URL always names its project and zone.
        """
        if not isinstance(values, dict):
            return values
        zone = values.get("zone") or usual.zone()
        project = values.get("project") or usual.project()
        if not project:
            raise ValueError(
                "project: missing; give its id, or set GOOGLE_CLOUD_PROJECT, or"
                " `gcloud config set project`"
            )
        if not zone:
            raise ValueError(
                "zone: missing; give zone=europe-west1-b or the like, or set CLOUDSDK_COMPUTE_ZONE"
            )
        return {**values, "project": project, "zone": zone}


class GcpParams(Params):
    """What to make."""

    vm_size: str = Field(
        "e2-medium",
        pattern=_MACHINE_TYPE,
        description="Machine type, such as n4-standard-4.",
    )
    machine_type: Annotated[str | None, OtherName("vm_size")] = Field(
        None, pattern=_MACHINE_TYPE, description="Another name for vmSize."
    )
    image: Annotated[
        str, Field(pattern=r"^[^\s?#{}]+$", max_length=400), AfterValidator(images.known)
    ] = Field(
        "ubuntu-24.04",
        description="Alias such as ubuntu-24.04 or debian-12, PROJECT/FAMILY, or the path of an"
        " image or family.",
    )
    network: str | None = Field(
        None,
        pattern=rf"^(projects/[^\s/?#]+/global/networks/)?{_NAME}$",
        description="Network: its name or path; `default` by default.",
    )
    subnet: str | None = Field(
        None,
        pattern=rf"^(projects/[^\s/?#]+/regions/[^\s/?#]+/subnetworks/)?{_NAME}$",
        description="Subnetwork: its name in the zone's region, or its path.",
    )
    ssh_public_key: Annotated[str, Secret, AfterValidator(check_ssh_public_key)] = Field(
        "", description="One line of an OpenSSH public key that may log in as adminUsername."
    )
    admin_username: str = Field(
        "vmops",
        pattern=r"^[a-z_][a-z0-9_-]{0,31}$",
        description="Name of the guest's user that the SSH key is for.",
    )
    user_data: SecretStr = Field(
        SecretStr(""),
        description="What cloud-init gets (metadata user-data), of up to 256 KB; images of Debian"
        " have no cloud-init.",
    )
    metadata: Annotated[
        dict[str, str], Secret, BeforeValidator(pairs_from_text), AfterValidator(_checked_metadata)
    ] = Field(default_factory=dict, description="More metadata, such as startup-script.")
    disk_size_gb: int | None = Field(
        None, ge=1, le=65536, description="Size of the boot disk in GiB; the image's by default."
    )
    disk_type: str | None = Field(
        None,
        pattern=rf"^{_NAME}$",
        description="Type of the boot disk, such as pd-balanced; GCE's choice by default.",
    )
    labels: Annotated[
        dict[str, str], BeforeValidator(pairs_from_text), AfterValidator(_checked_labels)
    ] = Field(default_factory=dict, description="More labels for the VM and its disk.")
    tags: Annotated[
        dict[str, str],
        OtherName("labels"),
        BeforeValidator(pairs_from_text),
        AfterValidator(_checked_labels),
    ] = Field(default_factory=dict, description="Another name for labels.")
    network_tags: Annotated[
        tuple[Annotated[str, Field(pattern=rf"^{_NAME}$")], ...], BeforeValidator(list_from_text)
    ] = Field((), max_length=64, description="Network tags, which firewall rules name.")
    spot: bool = Field(default=False, description="Whether GCE may take the VM away, for less.")
    spot_eviction: Literal["stop", "delete"] = Field(
        "stop", description="What becomes of a spot VM that is taken away."
    )
    public_ip: bool = Field(default=False, description="Whether it gets a public address.")
    service_account: str | None = Field(
        None,
        pattern=r"^([^\s@]+@[^\s@]+|default)$",
        max_length=320,
        description="Service account that the guest acts as; none by default.",
    )
    discard_local_ssd: Annotated[bool, Act] = Field(
        default=False,
        description="Whether a stop may discard what is on local SSDs; GCE does not stop a VM that"
        " has some otherwise.",
    )
    restart_mode: Annotated[Literal["power-cycle", "reset"], Act] = Field(
        "power-cycle",
        description="Power-cycle is a stop, then a start; reset is hard, like a button.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        size = len(self.user_data.get_secret_value().encode(errors="surrogatepass"))
        if size > _MOST_METADATA:
            raise ValueError(f"userData: {size} bytes, and {_MOST_METADATA} are the most")
        return self
