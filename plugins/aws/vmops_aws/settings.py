"""Which account and region, and what can be made there."""

from __future__ import annotations

import os
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
    check_ssh_public_key,
    list_from_text,
    merged_user_data,
    pairs_from_text,
)

__all__ = ["AwsParams", "AwsSettings"]

_REGION: Final = r"^[a-z]{2,4}(-[a-z]+){1,2}-[0-9]{1,2}$"
_MOST_USER_DATA: Final = 16 * 1024
"""Bytes, before EC2's base64: "User data is limited to 16 KB" (RunInstances, EC2 API reference)."""
_MOST_TAGS: Final = 40
"""EC2 takes 50 tags a resource; vmops writes up to eight of them."""
_TAG_KEY: Final = 128
_TAG_VALUE: Final = 256


def _checked_tags(tags: dict[str, str]) -> dict[str, str]:
    reserved = sorted(key for key in tags if key.lower().startswith(("vmops-", "aws:")))
    if reserved or "Name" in tags:
        named = ", ".join([*reserved, *(["Name"] if "Name" in tags else [])])
        raise ValueError(f"{named}: vmops and AWS write these themselves; choose other keys")
    if len(tags) > _MOST_TAGS:
        raise ValueError(f"{len(tags)} tags, and {_MOST_TAGS} are the most")
    if long := [k for k, v in tags.items() if not 0 < len(k) <= _TAG_KEY or len(v) > _TAG_VALUE]:
        raise ValueError(
            f"{long[0][:40]!r}: a key has 1 to {_TAG_KEY} characters, a value up to {_TAG_VALUE}"
        )
    return tags


_GroupId = Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$")]


class AwsSettings(Settings):
    """Which account and region. Credentials come from AWS's ordinary chain, and nowhere else."""

    region: str = Field(
        pattern=_REGION,
        description="Region, such as eu-west-1; by default AWS_REGION, AWS_DEFAULT_REGION or the"
        " profile's.",
    )
    location: Annotated[str | None, OtherName("region")] = Field(
        None, description="Another name for region."
    )
    profile: Annotated[str | None, LocalOnly] = Field(
        None, description="Profile of the AWS config files; by default AWS_PROFILE's."
    )
    endpoint_url: Annotated[str | None, LocalOnly] = Field(
        None,
        description="Where EC2, STS and SSM are instead; AWS_ENDPOINT_URL_EC2 works, too.",
    )
    tick: Annotated[float, Tuning] = Field(
        1.0, gt=0, description="Seconds between two looks at least."
    )

    @model_validator(mode="before")
    @classmethod
    def _usual_place(cls, values: Any) -> Any:  # noqa: ANN401  (whatever was given)
        """A region that is not given is read where AWS's own tools read it.

        It is read here, so that an operation's URL always names its region.
        """
        if not isinstance(values, dict):
            return values
        region = values.get("region") or _usual_region(values.get("profile"))
        if region is None:
            raise ValueError("region: missing; give region=eu-west-1, or set AWS_REGION")
        return {**values, "region": region}


class AwsParams(Params):
    """What to make."""

    vm_size: str = Field(
        "t3.micro",
        pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$",
        description="Instance type, such as m7g.large.",
    )
    image: str = Field(
        "ubuntu-24.04",
        pattern=r"^(ami-[0-9a-f]{8,17}|[a-z0-9][a-z0-9.-]*)$",
        description="AMI id, or an alias such as ubuntu-24.04, debian-12 or amazon-linux-2023.",
    )
    zone: str | None = Field(
        None,
        pattern=r"^[a-z0-9-]+$",
        description="Availability zone; EC2's choice, or the subnet's, by default.",
    )
    subnet: str | None = Field(
        None,
        pattern=r"^subnet-[0-9a-f]{8,17}$",
        description="Subnet id; needed where there is no default VPC.",
    )
    security_groups: Annotated[tuple[_GroupId, ...], BeforeValidator(list_from_text)] = Field(
        (), description="Ids of security groups; the VPC's default one by default."
    )
    ssh_public_key: Annotated[str, Secret, AfterValidator(check_ssh_public_key)] = Field(
        "", description="One line of an OpenSSH public key; cloud-init lets it log in."
    )
    user_data: SecretStr = Field(
        SecretStr(""), description="Data for the guest, of up to 16 KB together with the key."
    )
    disk_size_gb: int | None = Field(
        None, ge=1, le=65536, description="Size of the root disk in GiB; the image's by default."
    )
    disk_type: Literal["gp2", "gp3", "standard"] | None = Field(
        None, description="Type of the root disk; the image's by default."
    )
    tags: Annotated[
        dict[str, str], BeforeValidator(pairs_from_text), AfterValidator(_checked_tags)
    ] = Field(default_factory=dict, description="More tags for the VM, its disks and interfaces.")
    spot: bool = Field(default=False, description="Whether EC2 may take the VM away, for less.")
    spot_mode: Literal["one-time", "persistent"] = Field(
        "one-time",
        description="One-time cannot be stopped and ends when taken away; persistent is stopped"
        " then, and comes back.",
    )
    public_ip: bool | None = Field(
        None, description="Whether it gets a public address; as the subnet has it by default."
    )
    iam_instance_profile: str | None = Field(
        None,
        min_length=1,
        max_length=512,
        pattern=r"^[A-Za-z0-9_+=,.@:/-]+$",
        description="Name or ARN of the instance profile the guest acts as.",
    )
    force: Annotated[bool, Act] = Field(
        default=False,
        description="Whether to stop without waiting for the guest; its file systems may suffer.",
    )
    restart_mode: Annotated[Literal["reboot", "power-cycle"], Act] = Field(
        "reboot",
        description="Reboot leaves no trace to confirm it by; power-cycle is a stop, then a start.",
    )

    @model_validator(mode="after")
    def _check_user_data(self) -> Self:
        text = self.user_data.get_secret_value()
        if self.ssh_public_key and text.startswith("<"):
            raise ValueError(
                "sshPublicKey: cloud-init brings it, and this userData is for Windows; drop one"
            )
        size = len(self.guest_data.encode(errors="surrogatepass"))
        if size > _MOST_USER_DATA:
            raise ValueError(
                f"userData: {size} bytes with what vmops adds, and {_MOST_USER_DATA} are the most;"
                " have the guest fetch the rest"
            )
        return self

    @property
    def guest_data(self) -> str:
        """The user data as it is sent: the caller's, and what lets the SSH key log in."""
        keys = {"ssh_authorized_keys": [self.ssh_public_key]} if self.ssh_public_key else {}
        return merged_user_data(keys, self.user_data.get_secret_value())


def _usual_region(profile: object) -> str | None:
    """The region that AWS's own tools would take."""
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region:
        return region
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        found: str | None = Session(profile=profile).get_config_variable("region")
    except BotoCoreError as exc:
        raise ValueError(f"profile: {exc}") from exc
    return found
