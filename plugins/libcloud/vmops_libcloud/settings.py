"""Which provider, and what can be made there."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Self

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
    LocalOnly,
    OnlyFor,
    Prefix,
    Secret,
    Settings,
    Tuning,
    check_endpoint,
)
from vmops_libcloud.usual import usual

__all__ = ["LibcloudSettings", "Provider", "refuse_unknown"]

_DRIVER: Final = "driver_"


def refuse_unknown(names: Iterable[str], known: Iterable[str], what: str) -> None:
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
    project_id: Annotated[str | None, LocalOnly, _ITS_OWN] = Field(
        None,
        pattern=r"^[\w-]+$",
        description="For OpenStack: the project's id, which counts more than its name"
        " (driver_ex_tenant_name).",
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
            refuse_unknown([name for name, _ in value], known, f"{provider}'s driver")
        return value

    @model_validator(mode="after")
    def _enough(self) -> Self:
        """All that the driver's constructor insists on is there, and nothing that it ignores."""
        from vmops_libcloud.constructors import constructor

        pair = {"key": self.key.get_secret_value(), "secret": self.secret.get_secret_value()}
        place = {"region": self.region, "endpoint_url": self.endpoint_url}
        given = {name for name, value in {**pair, **place}.items() if value}
        given |= {_DRIVER + name for name in self.arguments}
        if self.project_id:
            given.add("driver_ex_tenant_name")
        problems = list(constructor(self.provider).refused(given))
        if self.provider != "openstack":
            ours = {"cloud": self.cloud, "projectId": self.project_id}
            problems += [f"{name} is for openstack only" for name, value in ours.items() if value]
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
