"""What can be made at a provider."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator

from vmops import (
    Act,
    Params,
    Prefix,
    Secret,
    check_ssh_public_key,
    check_user_data,
    list_from_text,
    merged_user_data,
    pairs_from_text,
)
from vmops_libcloud.settings import Provider, refuse_unknown

__all__ = ["LibcloudParams"]

_TAG: Final = re.compile(r"[^\x00-\x1f,]{1,200}")


def _checked_tags(tags: dict[str, str]) -> dict[str, str]:
    for key, value in tags.items():
        if key.startswith("vmops-"):
            raise ValueError(f"{key}: vmops writes these itself; choose other keys")
        if not _TAG.fullmatch(key) or (value and not _TAG.fullmatch(value)):
            raise ValueError(f"{key[:40]!r}: a tag has 1 to 200 characters, no comma among them")
    return tags


class LibcloudParams(Params):
    """What to make."""

    provider: Provider | None = Field(None, description="The same as in the settings.")
    vm_size: str = Field(
        "", max_length=200, description="Size of the VM (flavor, plan, type): its id or name."
    )
    image: str = Field("", max_length=400, description="Image: its id or name.")
    location: str = Field(
        "", max_length=200, description="Location (zone, region, data centre): its id or name."
    )
    network: Annotated[tuple[str, ...], BeforeValidator(list_from_text)] = Field(
        (), description="Networks, by id or name, where the driver takes any."
    )
    ssh_public_key: Annotated[str, Secret, AfterValidator(check_ssh_public_key)] = Field(
        "", description="One line of an OpenSSH public key that may log in."
    )
    admin_username: str = Field(
        "",
        pattern=r"^([a-z_][a-z0-9_-]{0,31})?$",
        description="Name of the guest's user that the key is for, made by cloud-init; the image's"
        " own by default.",
    )
    user_data: SecretStr = Field(SecretStr(""), description="What cloud-init takes.")
    tags: Annotated[
        dict[str, str], BeforeValidator(pairs_from_text), AfterValidator(_checked_tags)
    ] = Field(default_factory=dict, description="More metadata, or tags of the form key:value.")
    restart_mode: Annotated[Literal["reboot", "reset"], Act] = Field(
        "reboot",
        description="Whether the guest is asked to boot again, or is reset; where the driver has"
        " only one way, it is that.",
    )
    ex: Annotated[dict[str, Any], Prefix("ex_"), Secret] = Field(
        default_factory=dict,
        description="What else the driver's create_node takes, by the names it has there.",
    )

    @field_validator("user_data")
    @classmethod
    def _user_data(cls, value: SecretStr) -> SecretStr:
        check_user_data(value.get_secret_value())
        return value

    @field_validator("ex")
    @classmethod
    def _ex(cls, value: dict[str, Any], info: Any) -> dict[str, Any]:  # noqa: ANN401
        """By the driver's own signature; text that is JSON, as a command line has it, is read."""
        from vmops_libcloud.capabilities import capabilities

        if provider := info.data.get("provider"):
            can = capabilities(provider)
            known = {name for name in can.arguments if name.startswith("ex_")} - {can.token}
            refuse_unknown(value, known, f"{provider}'s create_node")
        return {name: _from_text(given) for name, given in value.items()}

    @property
    def guest_data(self) -> str:
        """The user data with the key in it."""
        config: dict[str, Any] = {}
        keys = [self.ssh_public_key] if self.ssh_public_key else []
        if self.admin_username:
            user = {"name": self.admin_username, "sudo": "ALL=(ALL) NOPASSWD:ALL"}
            more = {"shell": "/bin/bash", "lock_passwd": True, "ssh_authorized_keys": keys}
            config["users"] = ["default", {**user, **more}]
        elif keys:
            config["ssh_authorized_keys"] = keys
        return merged_user_data(config, self.user_data.get_secret_value())


def _from_text(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, str) and value[:1] in {"[", "{"}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value == "true" if value in ("true", "false") else value
