"""What can be given: a backend's Settings say where, its Params what; `Call` is the core's own."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

__all__ = [
    "Act",
    "Call",
    "LocalOnly",
    "OnlyFor",
    "OtherName",
    "Params",
    "Prefix",
    "Secret",
    "Settings",
    "Tuning",
    "as_text",
    "check_endpoint",
    "gathered_fields",
    "list_from_text",
    "marked_fields",
    "other_names",
    "owners",
    "pairs_from_text",
    "revealed",
    "secret_fields",
]

M = TypeVar("M")


class _Marker:
    """Metadata for `Annotated`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


LocalOnly = _Marker("LocalOnly")
"""`Annotated[str, LocalOnly]`: bound from constructor config or environment, never from params."""
Tuning = _Marker("Tuning")
"""`Annotated[str, Tuning]`: a setting that says how, not where; two that differ in it are the same
place to the journal."""
Act = _Marker("Act")
"""`Annotated[bool, Act]`: a param of acts on a VM, such as `force`, and no property of the VM."""
Secret = _Marker("Secret")
"""`Annotated[str, Secret]`: never echoed into a result (a SecretStr field never is either)."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """`Annotated[dict[str, Any], Prefix("ex_")]`: every key that begins so, gathered in one field.

    The field has them as they were given, by their whole names; its own name is none of them. A
    field of Settings that gathers must be LocalOnly.
    """

    text: str


@dataclass(frozen=True, slots=True)
class OnlyFor:
    """`Annotated[SecretStr, LocalOnly, OnlyFor("provider")]`: it goes to that provider, no other.

    Where config or environment give the field, they must also give the named one, and params or a
    URL that say something else of that are refused: whoever may choose where a call goes cannot
    send a key there that was meant for another place.
    """

    field: str


@dataclass(frozen=True, slots=True)
class OtherName:
    """`Annotated[str | None, OtherName("zone")]`: another name for that field of the same model.

    Whichever name is given, the value is that field's, so a value replaces or contradicts one from
    another place under either name; the field itself always stays at its default.
    """

    field: str


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        coerce_numbers_to_str=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )


class Settings(_Model):
    """Where a backend works. Hashable: one connection is made per distinct value.

    Fields that are not LocalOnly are part of an operation's URL (as text).
    """


class Params(_Model):
    """What to make. Required fields are required for provisioning only."""


class Call(_Model):
    """What the core understands for every backend."""

    backend: str | None = Field(None, description="Name of the backend that does the work.")
    vm_name: str | None = Field(None, description="Name of the VM.")
    vm_id: str | None = Field(None, description="The cloud's own id, for a VM made elsewhere.")
    async_results_url: str | None = Field(None, description="The operation to wait for.")
    poll_timeout: float | None = Field(
        None, ge=0, description="Seconds a wait lasts at most; 0 looks once."
    )
    poll_interval: float | None = Field(
        None,
        gt=0,
        description="Seconds between two looks at most; the backend's own, as results have it,"
        " leaves the pace to vmops.",
    )
    ready: Literal["running", "ssh"] = Field(
        "running", description="When a setup wait ends: the VM runs, or it answers as SSH."
    )
    stop_mode: Literal["release", "keep"] = Field(
        "release", description="Whether a stopped VM gives its compute back."
    )
    deprovision_mode: Literal["delete", "deallocate"] = Field(
        "delete", description="Delete the VM and all that is its own, or only release its compute."
    )
    delete_unowned: bool = Field(
        default=False, description="Whether to delete a VM that vmops did not make."
    )
    ttl: float | None = Field(
        None, gt=0, description="Seconds after which the VM may be reaped; none by default."
    )
    unknown_params: Literal["error", "ignore"] = Field(
        "error", description="What to do with params that no one knows."
    )


def marked_fields(model: type[BaseModel], marker: object) -> list[str]:
    """The names of a model's fields that carry a marker."""
    return [name for name, field in model.model_fields.items() if marker in field.metadata]


def _marks(model: type[BaseModel], kind: type[M]) -> dict[str, M]:
    """The mark of a kind that each of a model's fields carries, by field."""
    return {
        name: mark
        for name, field in model.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, kind)
    }


def gathered_fields(model: type[BaseModel]) -> dict[str, str]:
    """The prefixes of a model's fields that gather keys, by field."""
    return {name: mark.text for name, mark in _marks(model, Prefix).items()}


def other_names(model: type[BaseModel]) -> dict[str, str]:
    """The fields that are other names, with the fields that they name."""
    return {name: mark.field for name, mark in _marks(model, OtherName).items()}


def owners(model: type[BaseModel]) -> dict[str, str]:
    """The fields that others are only for, by those."""
    return {name: mark.field for name, mark in _marks(model, OnlyFor).items()}


def secret_fields(model: type[BaseModel]) -> list[str]:
    """The names of a model's fields that must never be told."""

    def is_secret(field: FieldInfo) -> bool:
        return Secret in field.metadata or "SecretStr" in repr(field.annotation)

    return [name for name, field in model.model_fields.items() if is_secret(field)]


def revealed(value: object) -> object:
    """The value itself, where pydantic hides it."""
    reveal = getattr(value, "get_secret_value", None)
    return reveal() if reveal else value


def as_text(value: object) -> str:
    """A setting as it stands in a URL."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_endpoint(url: str) -> str:
    """The URL of an API, where bearer tokens go: no place that others can listen at.

    An `AfterValidator` of pydantic.

    Raises:
        ValueError: It is not of the form https://HOST[:PORT]; http is for a loopback address only.
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    if path or parts.query or parts.fragment or "@" in parts.netloc or not parts.hostname:
        raise ValueError("give a URL of the form https://HOST[:PORT]")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname)):
        raise ValueError("it must be https; http is for this machine's own loopback address only")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def list_from_text(value: object) -> object:
    """A list given as text with commas, as a command line gives it; anything else as it is.

    A `BeforeValidator` of pydantic: `Annotated[tuple[str, ...], BeforeValidator(list_from_text)]`.
    """
    if isinstance(value, str):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return value


def pairs_from_text(value: object) -> object:
    """Pairs given as `key=value,key=value`; anything else as it is. A `BeforeValidator`, too.

    Raises:
        ValueError: An item has no equals sign.
    """
    if not isinstance(value, str):
        return value
    items = [item.partition("=") for item in value.split(",") if item.strip()]
    if any(not equals for _, equals, _ in items):
        raise ValueError("it is not of the form key=value,key=value")
    return {key.strip(): text.strip() for key, _, text in items}
