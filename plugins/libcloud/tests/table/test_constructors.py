"""Each driver of libcloud can be made with what the table says, or it is known why not."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import ValidationError

from vmops.errors import MissingDependency
from vmops_libcloud.capabilities import capabilities, driver, providers
from vmops_libcloud.constructors import CONSTRUCTORS, constructor
from vmops_libcloud.dialects import dialect
from vmops_libcloud.drivers import Drivers
from vmops_libcloud.errors import CallError, as_error
from vmops_libcloud.settings import LibcloudSettings

HOST = "cloud.example.com"
URL = f"https://{HOST}:8443/client/api"
PAIR = ("key", "secret")
NOWHERE = (None, "", "127.0.0.1", "localhost")


class Refusal(NamedTuple):
    """Why a driver cannot be made here."""

    kind: type[Exception]
    says: str
    reason: str


REFUSED = {
    "abiquo": Refusal(CallError, "sockets are refused", "its constructor lists what there is"),
    "azure_arm": Refusal(CallError, "sockets are refused", "its constructor asks for a token"),
    "gce": Refusal(CallError, "sockets are refused", "its constructor asks for a token"),
    "libvirt": Refusal(MissingDependency, "libvirt-python", "needs the library that it speaks by"),
    "vsphere": Refusal(MissingDependency, "pyvmomi", "needs VMware's package"),
}
"""All others can be made with nobody there. An entry that is not needed fails."""


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No driver finds anybody."""

    def refused(*_: Any, **__: Any) -> None:
        raise OSError("sockets are refused")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)


@pytest.fixture(scope="session")
def pem() -> str:
    """A private key, which some take for a secret."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.TraditionalOpenSSL
    no = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, no).decode()


@pytest.fixture
def given(pem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Takes a provider, and returns just what the table says must be given."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key.pem").write_text(pem)
    special = {
        ("gce", "key"): "me@project.iam.gserviceaccount.com",
        ("gce", "secret"): pem,
        ("azure", "driver_key_file"): str(tmp_path / "key.pem"),
    }

    def give(provider: str) -> dict[str, Any]:
        found: dict[str, Any] = {"provider": provider}
        for name in constructor(provider).needs:
            value = special.get((provider, name), URL if name == "endpoint_url" else f"a-{name}")
            if name.startswith("driver_"):
                found.setdefault("driver", {})[name] = value
            else:
                found[name] = value
        return found

    return give


def made(found: dict[str, Any]) -> Any:
    """The driver that calls would be made with."""
    settings = LibcloudSettings.model_validate(found)
    return Drivers(settings, dialect(capabilities(settings.provider)))._taken()[0]


@pytest.mark.parametrize("provider", providers())
def test_each_driver_is_made(provider: str, given: Callable[[str], Any]) -> None:
    """With what must be given and nothing else, and it then has somebody to ask."""
    if refusal := REFUSED.get(provider):
        with pytest.raises(refusal.kind) as caught:
            made(given(provider))
        cause = getattr(caught.value, "cause", caught.value)
        assert refusal.says in str(cause), refusal.reason
        return
    one = made(given(provider))
    assert type(one) is driver(provider)[0]
    if {"list", "provision"} <= set(capabilities(provider).methods):
        assert getattr(one, "_ex_force_auth_url", None) or _host(one) not in NOWHERE


def _host(one: Any) -> Any:
    """Where a driver asks; some keep it elsewhere, or learn it when they sign in."""
    known = {"kubevirt": "here", "outscale": one.__dict__.get("base_uri"), "rackspace": "catalog"}
    known["rackspace_first_gen"] = "catalog"
    return known.get(str(one.type), one.connection.host)


@pytest.mark.parametrize(
    ("provider", "name"), [(p, name) for p in providers() for name in constructor(p).needs]
)
def test_what_must_be_given_is_asked_for(
    provider: str, name: str, given: Callable[[str], Any]
) -> None:
    """Each missing one is refused before anything is made, by its name and with its variable."""
    found = given(provider)
    (found["driver"] if name.startswith("driver_") else found).pop(name)
    with pytest.raises(ValidationError) as caught:
        LibcloudSettings.model_validate(found)
    said = str(caught.value)
    assert f"VMOPS_LIBCLOUD_{name.upper()}" in said
    assert sum(f"VMOPS_LIBCLOUD_{one.upper()}" in said for one in constructor(provider).needs) == 1


def test_all_that_is_missing_is_told_at_once() -> None:
    """With what the driver calls it, where that is another name."""
    with pytest.raises(ValidationError) as caught:
        LibcloudSettings(provider="azure_arm")
    for name in ("key", "secret", "driver_tenant_id", "driver_subscription_id"):
        assert f"{name} (" in str(caught.value)
    with pytest.raises(ValidationError, match=r"key \(its username, VMOPS_LIBCLOUD_KEY\)"):
        LibcloudSettings(provider="upcloud")


@pytest.mark.parametrize("provider", sorted(CONSTRUCTORS))
def test_what_signatures_do_not_tell_is_not_told_by_them(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry of the table by hand says something that is not read off the driver anyway."""
    ours, special = constructor(provider), CONSTRUCTORS[provider]
    monkeypatch.delitem(CONSTRUCTORS, provider)  # type: ignore[arg-type]
    constructor.cache_clear()
    read = constructor(provider)
    constructor.cache_clear()
    assert not set(special.needs) & set(read.needs)
    assert special.key != read.key
    assert special.secret in {"", ours.secret}
    assert not special.secret or special.secret != read.secret
    assert set(special.instead) <= ours.further
    named = special.endpoint.removeprefix("driver_")
    assert named in ours.further or not special.endpoint.startswith("driver_")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("provider", "name"),
    [(p, name) for p, its in CONSTRUCTORS.items() for name in its.needs if name not in PAIR],
)
def test_what_signatures_do_not_tell_is_needed(
    provider: str, name: str, given: Callable[[str], Any]
) -> None:
    """Without it the driver cannot be made, or asks nobody; keys are missed only by a call."""
    whole = LibcloudSettings.model_validate(given(provider))
    left = tuple(pair for pair in whole.driver if name != f"driver_{pair[0]}")
    less = {"driver": left} if name.startswith("driver_") else {name: None}
    drivers = Drivers(whole.model_copy(update=less), dialect(capabilities(provider)))
    try:
        place = _host(drivers._taken()[0])
    except CallError as exc:
        place = "asked" if provider in REFUSED and "sockets" in str(exc.cause) else None
    assert place in NOWHERE


def test_providers_with_an_entry_are_libclouds() -> None:
    """No entry is of a provider that libcloud does not have."""
    assert set(CONSTRUCTORS) | set(REFUSED) <= set(providers())


@pytest.mark.parametrize("provider", sorted(REFUSED))
def test_what_its_constructor_asks_is_told(provider: str) -> None:
    """Drivers that cannot be made with nobody there are those that the table says it of."""
    special = constructor(provider).special
    assert special.asks or special.package[0]


@pytest.mark.parametrize(
    ("provider", "names"),
    [
        ("abiquo", ("user_id", "secret")),
        ("azure_arm", ("key", "secret")),
        ("digitalocean", ("key", "")),
        ("dummy", ("creds", "")),
        ("equinixmetal", ("key", "")),
        ("gce", ("user_id", "key")),
        ("gig_g8", ("user_id", "key")),
        ("libvirt", ("key", "secret")),
        ("openstack", ("key", "secret")),
        ("rimuhosting", ("key", "")),
        ("upcloud", ("username", "password")),
        ("vsphere", ("username", "password")),
        ("vultr", ("key", "")),
    ],
)
def test_what_key_and_secret_are(provider: str, names: tuple[str, str]) -> None:
    """By name where the constructor has these, else its first two; no secret becomes a host."""
    how = constructor(provider)
    assert (how.key, how.secret) == names
    assert not {"key", "secret", *names} & how.further


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"provider": "vultr", "key": "k", "secret": "x"}, "it takes no secret"),
        ({"provider": "rimuhosting", "key": "k", "secret": "x"}, "it takes no secret"),
        ({"provider": "equinixmetal", "key": "k", "region": "am"}, "it takes no region"),
        (
            {"provider": "outscale", "key": "k", "secret": "x", "endpoint_url": URL},
            "no effect: give driver_base_uri",
        ),
        ({"provider": "vultr", "key": "k", "cloud": "x"}, "cloud is for openstack only"),
    ],
)
def test_what_would_be_ignored_or_taken_for_something_else(more: Any, says: str) -> None:
    """It is refused: a second argument of many drivers is a host, or whether to encrypt."""
    with pytest.raises(ValidationError, match=says):
        LibcloudSettings.model_validate(more)


@pytest.mark.parametrize(
    ("provider", "driver", "enough"),
    [
        (
            "openstack",
            {"ex_force_auth_token": "t", "ex_force_base_url": URL, "ex_tenant_name": "p"},
            {"endpoint_url": URL},
        ),
        (
            "openstack",
            {"ex_force_auth_version": "3.x_appcred"},
            {"endpoint_url": URL, "key": "k", "secret": "s"},
        ),
        ("kubevirt", {"ex_token_bearer_auth": "true", "ca_cert": "/ca.pem"}, {"key": "token"}),
        ("cloudstack", {"host": HOST, "path": "/api"}, {"key": "k", "secret": "s"}),
    ],
)
def test_other_ways_to_sign_in(provider: str, driver: dict[str, str], enough: Any) -> None:
    """What a driver takes in place of key, secret or URL makes up for them."""
    more = {"provider": provider, **enough}
    with pytest.raises(ValidationError, match="it needs"):
        LibcloudSettings.model_validate(more)
    gathered = {f"driver_{name}": value for name, value in driver.items()}
    assert made({**more, "driver": gathered})


@pytest.mark.parametrize("provider", ["cloudstack", "eucalyptus", "exoscale"])
def test_an_endpoint_with_a_path(provider: str, given: Callable[[str], Any]) -> None:
    """The URL alone is enough, and its path goes in front once."""
    one = made({**given(provider), "endpoint_url": URL})
    place = one.connection
    assert (place.host, int(place.port), place.secure) == (HOST, 8443, 1)
    assert (one.path, place.request_path) == ("/client/api", "")


@pytest.mark.parametrize("provider", ["gig_g8", "onapp", "vcloud"])
def test_an_endpoint_of_the_connection(provider: str, given: Callable[[str], Any]) -> None:
    """Where the driver has no path of its own, its connection has it."""
    place = made({**given(provider), "endpoint_url": URL}).connection
    assert (place.host, int(place.port), place.request_path) == (HOST, 8443, "/client/api")


def test_http_is_not_encrypted(given: Callable[[str], Any]) -> None:
    """Where it was asked for, cloudstack's driver speaks it."""
    more = {"endpoint_url": "http://10.0.0.1:8080/client/api", "allow_http": True}
    place = made({**given("cloudstack"), **more}).connection
    assert (place.host, int(place.port), place.secure) == ("10.0.0.1", 8080, 0)


def test_arguments_have_their_types() -> None:
    """Text becomes what the constructor's default is."""
    typed = constructor("openstack").typed
    assert typed({"timeout": "5", "secure": "true", "ex_tenant_name": "1"}) == {
        "timeout": 5,
        "secure": True,
        "ex_tenant_name": "1",
    }


def test_a_constructor_that_is_refused_by_nobody(given: Callable[[str], Any]) -> None:
    """What a constructor could not ask is as a call that nobody answers."""
    with pytest.raises(CallError) as caught:
        made(given("azure_arm"))
    error = as_error(caught.value, "azure_arm")
    assert error is not None
    assert error.provider_code == "connectionLost"
