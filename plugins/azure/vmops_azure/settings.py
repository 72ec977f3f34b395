"""Which subscription and resource group, and what can be made there."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
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

__all__ = ["OWN_GROUP", "AzureParams", "AzureSettings"]

OWN_GROUP: Final = "vmops"
"""The resource group that vmops makes where none is named."""

_UUID: Final = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_GROUP: Final = r"^[-\w().]{0,89}[-\w()]$"
_MOST_CUSTOM_DATA: Final = 65535
"""Bytes ("the maximum length of the binary array", OSProfile.customData, Compute REST API)."""
_MOST_TAGS: Final = 40
"""ARM takes 50 tags a resource; vmops writes six of them."""
_TAG_KEY: Final = 512
_TAG_VALUE: Final = 256
_NOT_IN_TAG_KEYS: Final = re.compile(r"[<>%&\\?/]")


def _lower(value: object) -> object:
    """Azure ignores the case of these; two spellings must not be two places."""
    return value.lower() if isinstance(value, str) else value


def _region(value: object) -> object:
    """A location as ARM's own names have it: `West US 2` is westus2."""
    return value.replace(" ", "").lower() if isinstance(value, str) else value


def _checked_tags(tags: dict[str, str]) -> dict[str, str]:
    reserved = sorted(key for key in tags if key.lower().startswith("vmops-"))
    if reserved:
        raise ValueError(f"{', '.join(reserved)}: vmops writes these itself; choose other keys")
    if len({key.lower() for key in tags}) < len(tags):
        raise ValueError("two keys differ in case only, which Azure ignores")
    if len(tags) > _MOST_TAGS:
        raise ValueError(f"{len(tags)} tags, and {_MOST_TAGS} are the most")
    for key, value in tags.items():
        if not 0 < len(key) <= _TAG_KEY or _NOT_IN_TAG_KEYS.search(key) or len(value) > _TAG_VALUE:
            raise ValueError(
                f"{key[:40]!r}: a key has 1 to {_TAG_KEY} characters and none of <>%&\\?/, a value"
                f" up to {_TAG_VALUE}"
            )
    return tags


class AzureSettings(Settings):
    """Which subscription and resource group. Credentials come from azure-identity's own chain."""

    subscription: Annotated[str, BeforeValidator(_lower)] = Field(
        pattern=_UUID,
        description="Subscription id; by default AZURE_SUBSCRIPTION_ID's, or the one that the"
        " Azure CLI uses.",
    )
    resource_group: Annotated[str, BeforeValidator(_lower)] = Field(
        OWN_GROUP,
        pattern=_GROUP,
        description="Resource group of the VMs; the one called vmops is made when it is missing.",
    )
    cloud: Annotated[Literal["public", "usgov", "china"], LocalOnly] = Field(
        "public", description="Which of Microsoft's clouds: its endpoints and where one signs in."
    )
    endpoint_url: Annotated[str | None, LocalOnly, AfterValidator(check_endpoint)] = Field(
        None, description="Where Azure Resource Manager is instead."
    )
    tick: Annotated[float, Tuning] = Field(
        2.0, gt=0, description="Seconds between two looks at least."
    )

    @model_validator(mode="before")
    @classmethod
    def _usual_subscription(cls, values: Any) -> Any:  # noqa: ANN401  (whatever was given)
        """What is not given is read where Azure's own tools read it.

        It is read here, so that an operation's URL always names its subscription.
        """
        if not isinstance(values, dict) or values.get("subscription"):
            return values
        usual = os.environ.get("AZURE_SUBSCRIPTION_ID") or _cli_subscription()
        if not usual:
            raise ValueError(
                "subscription: missing; give its id, or set AZURE_SUBSCRIPTION_ID, or `az login`"
            )
        return {**values, "subscription": usual}


class AzureParams(Params):
    """What to make."""

    location: Annotated[str | None, BeforeValidator(_region)] = Field(
        None, pattern=r"^[a-z][a-z0-9]+$", description="Region, such as westeurope; needed to make."
    )
    vm_size: str = Field(
        "Standard_D2s_v5",
        pattern=r"^[A-Za-z]+(_[A-Za-z0-9-]+)+$",
        description="Size, such as Standard_B2s.",
    )
    image: str = Field(
        "ubuntu-24.04",
        pattern=r"^([^\s:/]+(:[^\s:/]+){3}|/[^\s]+|[a-z0-9][a-z0-9.-]*)$",
        description="URN (publisher:offer:sku:version), resource id, or an alias such as"
        " ubuntu-24.04, debian-12 or azure-linux-3.",
    )
    zone: str | None = Field(
        None, pattern=r"^[1-9]$", description="Availability zone, such as 1; none by default."
    )
    subnet: str | None = Field(
        None,
        pattern=r"^(/subscriptions/[^\s{}?#]+/subnets/[-\w.]+|[-\w.]+/[-\w.]+)$",
        description="Subnet: its resource id, or NETWORK/SUBNET in the resource group; by default"
        " one that vmops makes, once per region.",
    )
    admin_username: str = Field(
        "vmops",
        pattern=r"^[a-z_][a-z0-9_-]{0,31}$",
        description="Name of the guest's first user.",
    )
    admin_password: SecretStr = Field(
        SecretStr(""), description="The first user's password; Windows needs one, Linux does not."
    )
    ssh_public_key: Annotated[str, Secret, AfterValidator(check_ssh_public_key)] = Field(
        "", description="One line of an OpenSSH public key that may log in as the first user."
    )
    user_data: SecretStr = Field(
        SecretStr(""), description="What cloud-init gets (Azure's customData), of up to 64 KB."
    )
    custom_data: Annotated[SecretStr, OtherName("user_data")] = Field(
        SecretStr(""), description="Another name for userData."
    )
    disk_size_gb: int | None = Field(
        None, ge=1, le=4095, description="Size of the OS disk in GiB; the image's by default."
    )
    disk_type: (
        Literal["Premium_LRS", "Premium_ZRS", "StandardSSD_LRS", "StandardSSD_ZRS", "Standard_LRS"]
        | None
    ) = Field(None, description="Type of the OS disk; Azure's choice for the size by default.")
    tags: Annotated[
        dict[str, str], BeforeValidator(pairs_from_text), AfterValidator(_checked_tags)
    ] = Field(default_factory=dict, description="More tags for the VM and what belongs to it.")
    spot: bool = Field(default=False, description="Whether Azure may take the VM away, for less.")
    spot_eviction: Literal["deallocate", "delete"] = Field(
        "deallocate", description="What becomes of a spot VM that is taken away."
    )
    public_ip: bool = Field(default=False, description="Whether it gets a public address.")
    identity: Annotated[tuple[str, ...], BeforeValidator(list_from_text)] = Field(
        (),
        description="Managed identities the guest acts as: `system`, or resource ids of"
        " user-assigned ones.",
    )
    force: Annotated[bool, Act] = Field(
        default=False, description="Whether to stop or delete without waiting for the guest."
    )
    deployment_name: Annotated[str | None, Act] = Field(
        None, description="Taken for configurations of mlos_bench; no deployment record is made."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        size = len(self.user_data.get_secret_value().encode(errors="surrogatepass"))
        if size > _MOST_CUSTOM_DATA:
            raise ValueError(f"userData: {size} bytes, and {_MOST_CUSTOM_DATA} are the most")
        for identity in self.identity:
            if identity != "system" and not identity.lower().startswith("/subscriptions/"):
                raise ValueError(f"identity: {identity[:80]!r} is neither system nor a resource id")
        return self


def _cli_subscription() -> str:
    """The subscription that the Azure CLI works in; empty where nobody has signed in."""
    folder = Path(os.environ.get("AZURE_CONFIG_DIR") or Path.home() / ".azure")
    try:
        profile = json.loads((folder / "azureProfile.json").read_text("utf-8-sig"))
        known = profile["subscriptions"]
        return str(next((one["id"] for one in known if one.get("isDefault")), ""))
    except (OSError, ValueError, KeyError, TypeError):
        return ""
