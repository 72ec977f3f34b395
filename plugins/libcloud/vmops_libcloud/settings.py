"""Which provider, and what can be made there."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FilePath,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_snake

from vmops import (
    Act,
    LocalOnly,
    OnlyFor,
    Params,
    Prefix,
    Secret,
    Settings,
    Tuning,
    check_endpoint,
    check_ssh_public_key,
    check_user_data,
    list_from_text,
    merged_user_data,
    pairs_from_text,
)
from vmops_libcloud.usual import usual

__all__ = ["LibcloudParams", "LibcloudSettings"]

_DRIVER: Final = "driver_"
_OWN: Final = {
    "name": "vmName",
    "size": "vmSize",
    "image": "image",
    "location": "location",
    "networks": "network",
}
"""create_node's arguments that have names of ours."""
_TAG: Final = re.compile(r"[^\x00-\x1f,]{1,200}")


def _refuse_unknown(names: Iterable[str], known: Iterable[str], what: str) -> None:
    """Say which names there are not, and what they may have been meant for."""
    known = sorted(known)
    problems = []
    for name in sorted(set(names) - set(known)):
        near = difflib.get_close_matches(name, known, n=3)
        known_as = " or ".join(near) or ", ".join(known) or "nothing"
        problems.append(f"{what} takes no {name}; it takes {known_as}")
    if problems:
        raise ValueError("; ".join(problems))


def _sorted_secrets(values: object) -> object:
    """What was given by prefix, in an order that does not tell how it was given."""
    if not isinstance(values, Mapping):
        return values
    plain = {key.removeprefix(_DRIVER): value for key, value in values.items()}
    text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in plain.items()}
    return tuple(sorted(text.items()))


def _checked_tags(tags: dict[str, str]) -> dict[str, str]:
    for key, value in tags.items():
        if key.startswith("vmops-"):
            raise ValueError(f"{key}: vmops writes these itself; choose other keys")
        if not _TAG.fullmatch(key) or (value and not _TAG.fullmatch(value)):
            raise ValueError(f"{key[:40]!r}: a tag has 1 to 200 characters, no comma among them")
    return tags


def _known(provider: str) -> str:
    """The name of a provider that libcloud has."""
    from vmops_libcloud.capabilities import UnknownProvider, capabilities

    try:
        return capabilities(provider).provider
    except UnknownProvider as exc:
        raise ValueError(str(exc)) from exc


def _at_home(path: object) -> object:
    return Path(path).expanduser() if isinstance(path, str) else path


Provider = Annotated[str, AfterValidator(_known)]
_ITS_OWN: Final = OnlyFor("provider")


class LibcloudSettings(Settings):
    """Which provider, and where. Credentials come from where the provider's own tools have them."""

    provider: Provider = Field(
        description="libcloud's name of the provider, such as openstack or digitalocean."
    )
    region: str = Field(
        "",
        pattern=r"^(\w[\w.-]*)?$",  # some drivers make it a part of a host's name
        max_length=100,
        description="Region, where the provider's API has one for each of them.",
    )
    key: Annotated[SecretStr, LocalOnly, _ITS_OWN] = Field(
        SecretStr(""),
        description="User name, access key or token, for this provider only; the table of providers"
        " says what its driver calls it.",
    )
    secret: Annotated[SecretStr, LocalOnly, _ITS_OWN] = Field(
        SecretStr(""), description="What belongs to the key: a password or secret."
    )
    cloud: Annotated[str | None, LocalOnly, _ITS_OWN] = Field(
        None,
        description="For OpenStack: the cloud of clouds.yaml that is meant, whatever the OS_*"
        " variables say; by default OS_CLOUD's, with them over it.",
    )
    endpoint_url: Annotated[str | None, LocalOnly, _ITS_OWN] = Field(
        None, description="Where the API is instead; of OpenStack, its identity service (Keystone)."
    )
    ca_file: Annotated[FilePath | None, LocalOnly, BeforeValidator(_at_home)] = Field(
        None, description="Certificates (PEM) to trust instead of the system's."
    )
    allow_http: Annotated[bool, LocalOnly] = Field(
        default=False,
        description="Whether endpointUrl may be http, where others can listen to the password.",
    )
    driver: Annotated[
        tuple[tuple[str, SecretStr], ...],
        Prefix(_DRIVER),
        LocalOnly,
        _ITS_OWN,
        Secret,
        BeforeValidator(_sorted_secrets),
    ] = Field(
        (),
        description="What else the driver's constructor takes: driver_ex_tenant_name gives its"
        " ex_tenant_name.",
    )
    tick: Annotated[float, Tuning] = Field(
        2.0, gt=0, description="Seconds between two lists of the VMs at least."
    )
    horizon: Annotated[float | None, LocalOnly, Tuning] = Field(
        None,
        ge=0,
        description="Seconds for which a new VM may be missing in the list; the provider's own by"
        " default.",
    )

    @model_validator(mode="before")
    @classmethod
    def _usual_place(cls, values: Any) -> Any:  # noqa: ANN401  (whatever was given)
        """What is not given is read where the provider's own tools read it."""
        if not isinstance(values, dict) or not isinstance(values.get("provider"), str):
            return values
        given = values.get("driver", {})
        names = {to_snake(key) for key, value in values.items() if value}.union(given)
        cloud = values.get("cloud")
        found = usual(values["provider"], names, cloud if isinstance(cloud, str) else None)
        mine = {key: value for key, value in found.items() if not key.startswith(_DRIVER)}
        driver = {key: value for key, value in found.items() if key.startswith(_DRIVER)}
        if not isinstance(given, Mapping):
            return {**mine, **values}
        return {**mine, **values, "driver": {**driver, **given}}

    @field_validator("driver")
    @classmethod
    def _arguments(cls, value: tuple[tuple[str, SecretStr], ...], info: Any) -> Any:  # noqa: ANN401
        from vmops_libcloud.constructors import constructor

        if provider := info.data.get("provider"):
            known = constructor(provider).further
            _refuse_unknown([name for name, _ in value], known, f"{provider}'s driver")
        return value

    @model_validator(mode="after")
    def _enough(self) -> Self:
        """All that the driver's constructor insists on is there, and nothing that it ignores."""
        from vmops_libcloud.constructors import constructor

        pair = {"key": self.key.get_secret_value(), "secret": self.secret.get_secret_value()}
        place = {"region": self.region, "endpoint_url": self.endpoint_url}
        given = {name for name, value in {**pair, **place}.items() if value}
        given |= {_DRIVER + name for name in self.arguments}
        problems = list(constructor(self.provider).refused(given))
        if self.cloud and self.provider != "openstack":
            problems.append("cloud is for openstack only")
        if problems:
            raise ValueError(f"{self.provider}: {'; '.join(problems)}")
        return self

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.endpoint_url:
            plain = re.sub(r"(?<=[^:/])/.*", "", self.endpoint_url)
            check_endpoint(re.sub(r"^http:", "https:", plain) if self.allow_http else plain)
            if re.search(r"[\s?#]", self.endpoint_url):
                raise ValueError("endpointUrl: give a URL without query")
        return self

    @property
    def arguments(self) -> dict[str, str]:
        """What was given for the driver's constructor by prefix."""
        return {name: value.get_secret_value() for name, value in self.driver}


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
            _refuse_unknown(value, known, f"{provider}'s create_node")
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
