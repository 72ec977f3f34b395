"""What can be given, what is refused before anybody is asked, and what create_node gets then."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from refusals import nobody_answers, refusals_of

from vmops import VMOps
from vmops.binding import Binder
from vmops.errors import InvalidParams
from vmops_libcloud.constructors import constructor
from vmops_libcloud.params import LibcloudParams
from vmops_libcloud.settings import LibcloudSettings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me"
PAIR = {"key": "me", "secret": "x"}
PROJECT = {"provider": "openstack", **PAIR, "driver_ex_tenant_name": "p"}
OPENSTACK = {**PROJECT, "endpointUrl": "https://keystone.example.com/v3"}

BAD: list[tuple[str, Any, str]] = [
    ("provider", "digitalocean", "config says"),
    ("ex_config_driv", "x", "takes no ex_config_driv; it takes ex_config_drive"),
    ("ex_bogus", "x", "takes no ex_bogus"),
    ("driver_ex_tenant_name", "x", "never by params"),
    ("driver_host", "evil.example.com", "never by params"),
    ("endpointUrl", "https://evil.example.com", "never by params"),
    ("horizon", 0, "never by params"),
    ("secret", "x", "never by params"),
    ("tags", {"vmops-owner": "me"}, "vmops-owner"),
    ("tags", "a", "key=value"),
    ("tags", {"a": "x,y"}, "no comma"),
    ("adminUsername", "Me!", "pattern"),
    ("sshPublicKey", f"{KEY}\n{KEY}", "not one line"),
    ("userData", "hello", "must begin with"),
    ("restartMode", "power-cycle", "'reboot' or 'reset'"),
    ("ex", {"ex_config_drive": True}, "no such parameter"),
    ("flavor", "m1.tiny", "no such parameter"),
]


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What tests call, where nobody answers: in the end not even the journal was opened."""
    folder = tmp_path_factory.mktemp("nobody")
    with nobody_answers(folder, backend="libcloud", **OPENSTACK) as ops:
        yield ops


@pytest.mark.parametrize(
    ("name", "value", "says"), BAD, ids=[f"{name}={str(value)[:20]}" for name, value, _ in BAD]
)
def test_refused_before_any_call(nobody: Any, name: str, value: Any, says: str) -> None:
    """A bad value is refused with the reason, and what was gathered by prefix under its prefix."""
    with pytest.raises(InvalidParams) as caught:
        nobody.vm_provision({"vmName": "web-1", name: value})
    said = refusals_of(nobody, name, value)
    said += [p.message for p in caught.value.problems if p.param in {"ex_*", "driver_*"}]
    assert [one for one in said if says in one], (said, caught.value.problems)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"provider": "openstak"}, "did you mean openstack"),
        ({"provider": "ninefold"}, "libcloud has no provider"),
        ({**OPENSTACK, "driver_ex_tenant_nam": "x"}, "it takes ex_tenant_name"),
        ({**OPENSTACK, "driver_key": "x"}, "takes no key"),
        ({**OPENSTACK, "driver_ex_auth_cache": "x"}, "takes no ex_auth_cache"),
        ({**OPENSTACK, "endpointUrl": "http://keystone.example.com:5000/v3"}, "https"),
        ({**OPENSTACK, "endpointUrl": "https://me:pw@keystone.example.com/v3"}, "https://HOST"),
        ({**OPENSTACK, "endpointUrl": "https://keystone.example.com/v3?x=1"}, "without query"),
        ({**OPENSTACK, "endpointUrl": "file:///etc/passwd"}, "https"),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_settings_that_are_refused(tmp_path: Path, config: dict[str, Any], says: str) -> None:
    """By name, with what may have been meant; secrets that were given are not told."""
    ops = VMOps({"backend": "libcloud", **config}, journal=tmp_path / "journal.db")
    with ops, pytest.raises(InvalidParams, match=says) as caught:
        ops.describe({"vmName": "web-1"})
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "given"),
    [
        ("https://keystone.example.com/v3", {}),
        ("https://cloud.example.com:5000/identity/v3/", {}),
        ("http://127.0.0.1:5000", {}),
        ("http://10.0.0.1:5000/v3", {"allow_http": True}),
    ],
)
def test_where_keystone_may_be(url: str, given: dict[str, Any]) -> None:
    """With a path or without; http only on this machine, or if it was asked for."""
    from vmops_libcloud.capabilities import capabilities
    from vmops_libcloud.openstack import OpenStack

    given = {**PAIR, **given, "driver": {"driver_ex_tenant_name": "p"}}
    settings = LibcloudSettings(provider="openstack", endpoint_url=url, **given)
    dialect = OpenStack(capabilities("openstack"))
    there = dialect.arguments(settings)["ex_force_auth_url"]
    assert there == url.rstrip("/").removesuffix("/v3")


def test_settings_are_told_without_secrets() -> None:
    """Neither key nor secret nor what the constructor gets is in what is printed of them."""
    driver = {"driver_ex_tenant_name": "c4n4ry"}
    given = {"provider": "openstack", "key": "me", "secret": "c4n4ry", "driver": driver}
    given["endpoint_url"] = "https://keystone.example.com"
    settings = LibcloudSettings.model_validate(given)
    assert "c4n4ry" not in repr(settings)
    assert settings.arguments["ex_tenant_name"] == "c4n4ry"


def test_what_the_environment_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenStack's own variables, if nothing else was given; a program's before a user's."""
    user = {
        "OS_AUTH_URL": "https://keystone.example.com/v3",
        "OS_USERNAME": "bob",
        "OS_PASSWORD": "pw",
        "OS_PROJECT_NAME": "team",
        "OS_REGION_NAME": "north",
    }
    for name, value in user.items():
        monkeypatch.setenv(name, value)
    found = LibcloudSettings(provider="openstack", region="south")
    assert (found.region, found.key.get_secret_value()) == ("south", "bob")
    assert found.arguments == {"ex_tenant_name": "team"}
    monkeypatch.setenv("OS_APPLICATION_CREDENTIAL_ID", "app-id")
    monkeypatch.setenv("OS_APPLICATION_CREDENTIAL_SECRET", "app-secret")
    found = LibcloudSettings(provider="openstack")
    assert found.key.get_secret_value() == "app-id"
    assert found.region == "north"
    assert found.arguments == {"ex_force_auth_version": "3.x_appcred"}
    monkeypatch.setenv("DIGITALOCEAN_TOKEN", "dop")
    assert LibcloudSettings(provider="digitalocean").key.get_secret_value() == "dop"


@pytest.mark.parametrize("where", ["params", "the asyncResultsUrl"])
@pytest.mark.parametrize(
    ("variables", "config"),
    [
        ({"PROVIDER": "openstack", "KEY": "s3cret"}, {}),
        ({"PROVIDER": "openstack", "SECRET": "s3cret"}, {}),
        ({"PROVIDER": "openstack", "ENDPOINT_URL": "https://keystone.example.com"}, {}),
        ({"PROVIDER": "openstack", "DRIVER_EX_TENANT_NAME": "s3cret"}, {}),
        ({"PROVIDER": "openstack"}, {"cloud": "mine"}),
        ({}, OPENSTACK),
    ],
    ids=["key", "secret", "endpoint", "driver", "cloud", "config"],
)
def test_what_is_a_providers_goes_to_no_other(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    config: dict[str, Any],
    where: str,
) -> None:
    """Whoever may choose the provider in params or a URL is not sent what is of another."""
    monkeypatch.setenv("LINODE_TOKEN", "linodes-own")
    for name, value in variables.items():
        monkeypatch.setenv(f"VMOPS_LIBCLOUD_{name}", value)
    binder = Binder("libcloud", LibcloudSettings, LibcloudParams, config=config)
    other = {"provider": "linode"}
    with pytest.raises(InvalidParams, match=f"'openstack', {where} says 'linode'") as caught:
        binder.bind(**{"params": other} if where == "params" else {"params": {}, "scope": other})
    assert "s3cret" not in str(caught.value)


def test_a_providers_own_variable_is_for_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Params may choose the provider where each has its key under its own name."""
    monkeypatch.setenv("LINODE_TOKEN", "linodes-own")
    monkeypatch.setenv("VULTR_API_KEY", "vultrs-own")
    monkeypatch.setenv("VMOPS_LIBCLOUD_PROVIDER", "linode")
    binder = Binder("libcloud", LibcloudSettings, LibcloudParams)
    for provider in ("linode", "vultr"):
        settings = binder.bind({"provider": provider}).settings
        assert isinstance(settings, LibcloudSettings)
        assert settings.key.get_secret_value() == f"{provider}s-own"


def test_a_key_without_its_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused, with what to set."""
    monkeypatch.setenv("VMOPS_LIBCLOUD_KEY", "s3cret")
    binder = Binder("libcloud", LibcloudSettings, LibcloudParams)
    with pytest.raises(InvalidParams, match="set VMOPS_LIBCLOUD_PROVIDER") as caught:
        binder.bind({"provider": "vultr"})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("region", ["evil.example/x", "a:80", "../b", ".a", "-a"])
def test_regions_are_words(region: str) -> None:
    """Some drivers make them a part of a host's name."""
    driver = {"driver_ex_project_id": "p", "driver_ex_consumer_key": "c"}
    given = {"provider": "ovh", **PAIR, "driver": driver}
    assert LibcloudSettings.model_validate({**given, "region": "eu-west-1.b_2"})
    with pytest.raises(ValidationError, match="region"):
        LibcloudSettings.model_validate({**given, "region": region})


def test_what_constructors_take() -> None:
    """Also what they only look for in their keyword arguments."""
    takes = constructor("openstack").further
    assert {"ex_tenant_name", "ex_force_image_url", "timeout", "proxy_url", "port"} <= takes
    assert not {"self", "args", "kwargs"} & takes


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("plain", "plain"),
        ("true", True),
        ("false", False),
        ('["a", "b"]', ["a", "b"]),
        ('{"a": 1}', {"a": 1}),
        ("{not json", "{not json"),
        ("12", "12"),
        ([1], [1]),
        (True, True),
    ],
)
def test_arguments_as_a_command_line_gives_them(given: Any, read: Any) -> None:
    """JSON is read, and so are true and false; other text is text."""
    params = LibcloudParams(provider="openstack", ex={"ex_config_drive": given})
    assert params.ex == {"ex_config_drive": read}


def test_the_guest(stack: Any, proxy: Any) -> None:
    """Key and user name go into the user data, which cloud-init reads; the rest is as it was."""
    ops = stack.open()
    more = {"sshPublicKey": KEY, "adminUsername": "bob", "userData": "#!/bin/sh\necho hello"}
    stack.up(ops, **more, ex_security_groups="default")
    (create,) = proxy.log(method="POST", path="/servers$")
    server = json.loads(create.request.body)["server"]
    data = base64.b64decode(server["user_data"]).decode()
    parts = [base64.b64decode(one.split("\n\n", 1)[1]) for one in data.split("\n--")[1:3]]
    assert parts[0].startswith(b"#!/bin/sh")
    assert KEY.encode() in parts[1]
    assert b'"name": "bob"' in parts[1]
    assert server["security_groups"] == [{"name": "default"}]


def test_names_of_what_there_is(stack: Any, ops: VMOps) -> None:
    """A name that several have, or none, is refused with what helps; an id is always good."""
    status, result = ops.vm_provision(stack.params(image="fakeimage123456"))
    assert "give an id" in result.error.hint
    ids = result.error.hint.removeprefix("give an id: ").split(", ")
    assert len(ids) > 2
    status, result = ops.vm_provision(stack.params(image="debian-13"))
    assert result.error.hint == "did you mean debian-12?"
    status, result = ops.vm_provision(stack.params(network="no-such"))
    assert "there is no network" in str(result.error)
    status, result = ops.vm_provision(stack.params(vmSize=""))
    assert "vmSize is missing" in str(result.error)
    assert "m1.tiny" in result.error.hint
    assert status.name == "FAILED"
    assert stack.count()["POST /servers"] == 0
    assert stack.rows() == {}
    stack.up(ops, image=ids[0], vmSize="1", network="private", location="nova")
