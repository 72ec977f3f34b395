"""Flat dicts: bound once, every problem named at once, nothing secret told."""

from __future__ import annotations

import re
from typing import Annotated, Any

import pytest
from pydantic import Field, SecretStr

from vmops import LocalOnly, OnlyFor, OtherName, Params, Prefix, Secret, Settings
from vmops.binding import Binder
from vmops.errors import InvalidParams
from vmops.schema import fields, json_schema


class Where(Settings):
    """Where."""

    region: str = "here"
    retries: int = 3
    endpoint: Annotated[str | None, LocalOnly] = None


class What(Params):
    """What."""

    image: str
    vm_size: str = "small"
    disk_size_gb: int = Field(10, ge=1)
    spot: bool = False
    password: SecretStr | None = None
    token: Annotated[str, Secret] = ""


NAME = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"


def binder(**config: Any) -> Binder:
    """A binder over a config."""
    return Binder("cloud", Where, What, NAME, config)


def problems(params: dict[str, Any], **config: Any) -> dict[str, str]:
    """The problems with params, by name."""
    with pytest.raises(InvalidParams) as caught:
        binder(**config).bind(params, creating=True)
    assert isinstance(caught.value, ValueError)
    return {problem.param: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize("key", ["diskSizeGb", "disk_size_gb"])
@pytest.mark.parametrize("value", [20, "20"])
def test_both_spellings_and_strings(key: str, value: object) -> None:
    """CamelCase and snake_case are the same key; strings become what the field is."""
    bound = binder().bind({"image": "i", key: value}, creating=True)
    assert isinstance(bound.params, What)
    assert bound.params.disk_size_gb == 20


def test_all_problems_at_once() -> None:
    """Missing, unknown, of the wrong type, out of range, contradictory: one error names all."""
    found = problems(
        {
            "vmSzie": "x",
            "diskSizeGb": 0,
            "pollTimeout": "soon",
            "vmName": "-x",
            "vm_size": "a",
            "vmSize": "b",
        }
    )
    assert set(found) == {"image", "vmSzie", "diskSizeGb", "pollTimeout", "vmName", "vmSize"}
    assert "vmSize" in found["vmSzie"]
    assert "'soon'" in found["pollTimeout"]
    assert "drop one" in found["vmSize"]


def test_required_only_when_creating() -> None:
    """What a create needs is not asked for by the verbs that act on a VM that exists."""
    bound = binder().bind({"vmName": "a"})
    assert isinstance(bound.params, What)
    assert bound.params.image is None


def test_unknown_keys_pass_only_when_asked() -> None:
    """unknownParams=ignore, in params or config, lets other people's keys pass."""
    assert "innodb" in problems({"image": "i", "innodb": 1})
    binder().bind({"image": "i", "innodb": 1, "unknownParams": "ignore"}, creating=True)
    binder(unknownParams="ignore").bind({"image": "i", "innodb": 1}, creating=True)


def test_none_is_not_given() -> None:
    """A key whose value is None counts as left out."""
    bound = binder().bind({"image": "i", "vmSize": None, "vmName": None}, creating=True)
    assert bound.params.vm_size == "small"  # type: ignore[attr-defined]
    assert bound.call.vm_name is None


def test_local_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A LocalOnly setting comes from config or environment, never from params or a URL."""
    assert "VMOPS_CLOUD_ENDPOINT" in problems({"image": "i", "endpoint": "http://evil"})["endpoint"]
    assert "endpoint" not in binder().shareable
    assert binder(endpoint="http://mine").bind({}).settings.endpoint == "http://mine"  # type: ignore[attr-defined]
    monkeypatch.setenv("VMOPS_CLOUD_ENDPOINT", "http://env")
    assert binder().bind({}).settings.endpoint == "http://env"  # type: ignore[attr-defined]


def test_config_gives_defaults_for_params() -> None:
    """Params in the config are defaults; the call's own win."""
    both = binder(image="i", vmSize="big")
    assert both.bind({}, creating=True).params.vm_size == "big"  # type: ignore[attr-defined]
    assert both.bind({"vmSize": "x"}, creating=True).params.vm_size == "x"  # type: ignore[attr-defined]


def test_config_pins_settings() -> None:
    """A setting given in both and differing is refused; the same value in other words is not."""
    assert "region" in problems({"image": "i", "region": "there"}, region="here")
    binder(retries=5).bind({"retries": "5"})
    with pytest.raises(InvalidParams, match="asyncResultsUrl says"):
        binder(region="here").bind({}, scope={"region": "there"})


def test_secrets_are_not_told() -> None:
    """Secret values are in no message and no echo; unknown keys that look secret are not echoed."""
    found = problems({"password": 12, "vmSize": ["s3cret"], "token": ["s3cret"]})
    assert "s3cret" not in found["token"]
    params = {"image": "i", "password": "s3cret", "token": "s3cret", "vmName": "a"}
    bound = binder().bind(params, creating=True)
    assert bound.echo == {"image": "i", "vmName": "a"}
    assert "s3cret" not in repr(bound.params).replace("token='s3cret'", "")
    other = {"image": "i", "adminPassword": "s3cret", "x": 1, "unknownParams": "ignore"}
    assert set(binder().bind(other, creating=True).echo) == {"image", "x", "unknownParams"}


@pytest.mark.parametrize(
    "name", ["../x", "a,b", "-x", "ok\n", "x" * 300, "w\u0435b", "", "A", "a b", "a\0", "\uff41"]
)
def test_hostile_names(name: str) -> None:
    """A name that does not match the backend's pattern as a whole is refused."""
    assert "vmName" in problems({"image": "i", "vmName": name})


def test_equal_settings_are_one_connection() -> None:
    """Settings that are equal are the same object, hence the same connection."""
    one = binder()
    assert one.bind({}).settings is one.bind({"vmSize": "x"}).settings


class Far(Settings):
    """Where, with all that begins with `way_`."""

    region: str = "here"
    way: Annotated[dict[str, Any], Prefix("way_"), LocalOnly] = Field(default_factory=dict)


class Much(Params):
    """What, with all that begins with `ex_`."""

    size: str = "small"
    ex: Annotated[dict[str, Any], Prefix("ex_"), Secret] = Field(
        default_factory=dict, description="More."
    )


def far(**config: Any) -> Binder:
    """A binder of models that gather."""
    return Binder("far", Far, Much, config=config)


def test_keys_are_gathered_by_prefix() -> None:
    """One field has all of them by their whole names; those of config and params together."""
    bound = far(way_in=1, ex_a="config", ex_b="config").bind({"ex_b": [2], "size": "big"})
    assert isinstance(bound.settings, Far)
    assert isinstance(bound.params, Much)
    assert bound.settings.way == {"way_in": 1}
    assert bound.params.ex == {"ex_a": "config", "ex_b": [2]}
    assert far().bind({}).params == Much()


def test_gathered_keys_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of settings alone, by their own names; config counts more."""
    monkeypatch.setenv("VMOPS_FAR_WAY_OUT", "env")
    monkeypatch.setenv("VMOPS_FAR_EX_A", "env")
    monkeypatch.setenv("VMOPS_FAR_WAY_IN", "env")
    bound = far(way_in="config").bind({})
    assert bound.settings == Far(way={"way_out": "env", "way_in": "config"})
    assert bound.params == Much()


def test_gathered_keys_that_are_local() -> None:
    """Params may not bring them; each is named, with its own variable."""
    with pytest.raises(InvalidParams) as caught:
        far().bind({"way_in": 1, "way_out": 2})
    said = {problem.param: problem.message for problem in caught.value.problems}
    assert set(said) == {"way_in", "way_out"}
    assert "VMOPS_FAR_WAY_OUT" in said["way_out"]


@pytest.mark.parametrize("key", ["ex", "way", "exA", "EX_A", "e_x"])
def test_what_is_not_gathered(key: str) -> None:
    """Neither the field's own name, nor what does not begin with the prefix."""
    with pytest.raises(InvalidParams, match="no such parameter"):
        far().bind({key: "x"})


def test_gathered_keys_may_be_secret() -> None:
    """Where their field is, none is echoed."""
    assert far().bind({"ex_user": "bob", "size": "big"}).echo == {"size": "big"}


def test_gathered_keys_in_the_schema() -> None:
    """They are patterns for JSON Schema, and `ex_*` in tables."""
    backend: Any = type("FarCloud", (), {"name": "far", "settings_type": Far, "params_type": Much})
    schema = json_schema(backend)
    assert schema["patternProperties"] == {
        "^way_": {"description": "", "x-vmops-role": "settings", "x-vmops-local-only": True},
        "^ex_": {"description": "More.", "x-vmops-role": "params", "x-vmops-secret": True},
    }
    assert {"ex", "way"}.isdisjoint(schema["properties"])
    shown = {field.name: field for field in fields(backend)}
    assert (shown["ex_*"].type, shown["ex_*"].default) == ("any", "")
    assert shown["way_*"].local_only


class Shop(Settings):
    """Where, by a name that others may choose; a key, and more, that are for one of them."""

    provider: str = "none"
    key: Annotated[SecretStr | None, LocalOnly, OnlyFor("provider")] = None
    door: Annotated[dict[str, Any], Prefix("door_"), LocalOnly, OnlyFor("provider")] = Field(
        default_factory=dict
    )


ELSEWHERE: list[dict[str, Any]] = [
    {"params": {"provider": "evil"}},
    {"params": {}, "scope": {"provider": "evil"}},
]


def shop(**config: Any) -> Binder:
    """A binder of settings that are only for a provider."""
    return Binder("shop", Shop, Params, config=config)


def said_of(binder: Binder, **given: Any) -> dict[str, str]:
    """The problems of one call, by name."""
    with pytest.raises(InvalidParams) as caught:
        binder.bind(**given)
    assert "s3cret" not in str(caught.value)
    return {problem.param: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize("given", ELSEWHERE, ids=["params", "url"])
@pytest.mark.parametrize("where", ["config", "environment", "both"])
@pytest.mark.parametrize(
    ("name", "variable", "value"),
    [("key", "VMOPS_SHOP_KEY", "s3cret"), ("door_in", "VMOPS_SHOP_DOOR_IN", "s3cret")],
)
def test_a_key_goes_only_where_it_was_meant_for(  # noqa: PLR0917  (each is a case)
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    variable: str,
    value: str,
    where: str,
    given: dict[str, Any],
) -> None:
    """Neither params nor a URL send it elsewhere; what they may say is what is said here."""
    if where == "config":
        monkeypatch.setenv("VMOPS_SHOP_PROVIDER", "mine")
        one, ours = shop(**{name: value}), f"VMOPS_SHOP_PROVIDER says 'mine'.*{name} is for"
    else:
        monkeypatch.setenv(variable, value)
        if where == "both":
            one, ours = shop(provider="mine"), "config says 'mine'"
        else:
            monkeypatch.setenv("VMOPS_SHOP_PROVIDER", "mine")
            one, ours = shop(), f"VMOPS_SHOP_PROVIDER says 'mine'.*{variable} is for the former"
    found = said_of(one, **given)
    assert set(found) == {"provider"}
    assert re.search(ours, found["provider"])
    same = {key: {"provider": "mine"} if value else value for key, value in given.items()}
    assert one.bind(**same).settings.provider == "mine"  # type: ignore[attr-defined]
    assert one.bind({}).settings.provider == "mine"  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["key", "door_in"])
@pytest.mark.parametrize("in_config", [True, False])
def test_a_key_of_which_nobody_says_what_it_is_for(
    monkeypatch: pytest.MonkeyPatch, name: str, *, in_config: bool
) -> None:
    """It is refused with the next step, whatever params say, and so is the config alone."""
    variable = f"VMOPS_SHOP_{name.upper()}"
    if not in_config:
        monkeypatch.setenv(variable, "s3cret")
    one = shop(**{name: "s3cret"} if in_config else {})
    for params in ({}, {"provider": "mine"}):
        (text,) = said_of(one, params=params).values()
        assert text.startswith(f"{name if in_config else variable} does not say for which provider")
        assert text.endswith("set VMOPS_SHOP_PROVIDER, or give provider in config")
    with pytest.raises(InvalidParams, match="does not say"):
        one.check_config()


def test_without_a_key_params_may_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment says of the place is a default, as long as nothing is only for it."""
    monkeypatch.setenv("VMOPS_SHOP_PROVIDER", "mine")
    bound = shop().bind({"provider": "other"})
    assert bound.settings == Shop(provider="other")


@pytest.mark.parametrize(
    ("environment", "config", "goes_to"),
    [
        ({"PROVIDER": "a", "KEY": "for-a"}, {"provider": "b"}, ""),
        ({"PROVIDER": "a", "DOOR_IN": "for-a"}, {"provider": "b", "door_out": "for-b"}, ""),
        ({"PROVIDER": "a", "KEY": "for-a"}, {"provider": "b", "key": "for-b"}, "b for-b"),
        ({"PROVIDER": "a"}, {"provider": "b", "key": "for-b"}, "b for-b"),
        ({"PROVIDER": "a"}, {"key": "for-a"}, "a for-a"),
        ({"PROVIDER": "a", "KEY": "for-a"}, {"provider": "a"}, "a for-a"),
        ({"KEY": "for-b"}, {"provider": "b"}, "b for-b"),
    ],
)
def test_keys_of_the_environment_and_other_places_of_the_config(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    config: dict[str, Any],
    goes_to: str,
) -> None:
    """What the environment has for its own place goes to no other that config names."""
    for name, value in environment.items():
        monkeypatch.setenv(f"VMOPS_SHOP_{name}", value)
    one = shop(**config)
    if not goes_to:
        (text,) = said_of(one, params={}).values()
        assert "is for 'a', which VMOPS_SHOP_PROVIDER says, and config says 'b'" in text
        return
    settings = one.bind({}).settings
    assert isinstance(settings, Shop)
    assert settings.key is not None
    assert f"{settings.provider} {settings.key.get_secret_value()}" == goes_to


class Somewhere(Settings):
    """Where, by either name."""

    zone: str = "here"
    place: Annotated[str | None, OtherName("zone")] = None


class Thing(Params):
    """What, by either name."""

    size: str = "small"
    kind: Annotated[str | None, OtherName("size")] = None


def either(params: dict[str, Any], scope: dict[str, str] | None = None, **config: Any) -> Any:
    """What params are bound to."""
    return Binder("far", Somewhere, Thing, config=config).bind(
        {"vmName": "web-1", **params}, scope=scope
    )


@pytest.mark.parametrize("name", ["zone", "place"])
@pytest.mark.parametrize("variable", ["VMOPS_FAR_ZONE", "VMOPS_FAR_PLACE"])
def test_another_name_replaces_what_counts_less(
    monkeypatch: pytest.MonkeyPatch, name: str, variable: str
) -> None:
    """Params and config count more than the environment, whichever name each of them uses."""
    monkeypatch.setenv(variable, "there")
    assert either({}).settings.zone == "there"
    assert either({name: "near"}).settings.zone == "near"
    assert either({}, **{name: "near"}).settings.zone == "near"
    assert either({}, {"zone": "near"}).settings.zone == "near"
    assert either({"kind": "big"}, size="tiny").params == either({"size": "big"}).params


def test_another_name_contradicts_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two values of one place, or of config and params, are refused."""
    with pytest.raises(InvalidParams, match="place and zone are both given and differ"):
        either({"place": "a", "zone": "b"})
    with pytest.raises(InvalidParams, match="config says 'a', params says 'b'"):
        either({"place": "b"}, zone="a")
    with pytest.raises(InvalidParams, match="config says 'a', the asyncResultsUrl says 'b'"):
        either({}, {"zone": "b"}, place="a")
    assert either({"place": "a", "zone": "a"}, zone="a").settings.zone == "a"
    monkeypatch.setenv("VMOPS_FAR_ZONE", "a")
    monkeypatch.setenv("VMOPS_FAR_PLACE", "b")
    with pytest.raises(InvalidParams, match="VMOPS_FAR_ZONE and VMOPS_FAR_PLACE differ"):
        either({})


def test_a_contradiction_tells_no_secret() -> None:
    """Whoever may give params does not learn what config says of a key."""
    door = {"door_code": "REAL"}
    for given in ({"key": "x"}, {"door_code": "x"}):
        with pytest.raises(InvalidParams) as caught:
            shop(provider="ours", key="REAL", **door).bind({"vmName": "web-1", **given})
        assert "REAL" not in str(caught.value)
        assert len(caught.value.problems) == 1
    with pytest.raises(InvalidParams) as caught:
        Binder("safe", Guarded, What, config={"pin": "REAL"}).bind({"pin": "x", "image": "i"})
    assert "config says 'one', params says 'another'" in str(caught.value)


class Guarded(Settings):
    """With a secret that params may give, too."""

    pin: Annotated[str, Secret] = ""


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose files leave them: nothing is given by it."""
    monkeypatch.setenv("VMOPS_SHOP_KEY", "")
    monkeypatch.setenv("VMOPS_SHOP_DOOR_CODE", "")
    found = shop().bind({"vmName": "web-1", "provider": "ours"}).settings
    assert found.key is None  # type: ignore[attr-defined]
    assert found.door == {}  # type: ignore[attr-defined]
