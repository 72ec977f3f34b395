"""OpenStack's credentials where its own tools have them: clouds.yaml, secure.yaml, OS_*."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from vmops import Status, VMOps
from vmops.errors import AuthError
from vmops_libcloud.settings import LibcloudSettings

AUTH = {
    "auth_url": "https://keystone.example.com:5000/v3",
    "username": "bob",
    "password": "pw",
    "project_name": "team",
}
PROGRAM = {
    "auth": {
        "auth_url": AUTH["auth_url"],
        "application_credential_id": "app-id",
        "application_credential_secret": "app-secret",
    },
    "auth_type": "v3applicationcredential",
    "region_name": "north",
}
Write = Callable[..., None]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own, and nothing of OpenStack's in the environment."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    for name in ("OS_CLOUD", "OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def write(home: Path) -> Write:
    """Takes what is said of the cloud `mine`, and the file."""

    def written(said: Any, place: str = "work/clouds.yaml", name: str = "mine") -> None:
        path = home / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"clouds": {name: said}}))  # JSON is YAML

    return written


def settings(**more: Any) -> LibcloudSettings:
    """What is found, for the cloud `mine` by default."""
    return LibcloudSettings.model_validate({"provider": "openstack", "cloud": "mine", **more})


def refused(**more: Any) -> str:
    """What is said of what is found."""
    with pytest.raises(ValidationError) as caught:
        settings(**more)
    assert "pw" not in str(caught.value).replace("pw'", "")
    return str(caught.value)


def test_all_of_it(home: Path) -> None:
    """A file as Horizon offers it, written by hand."""
    (home / "work" / "clouds.yaml").write_text("""\
# This is a clouds.yaml file
clouds:
  mine:
    auth:
      auth_url: https://keystone.example.com:5000/v3
      username: "bob"
      password: 123456
      project_id: 6f70656e737461636b20342065766572
      project_name: "team"
      user_domain_name: "Default"
    region_name: "north"
    interface: "public"
    identity_api_version: 3
""")
    found = settings()
    assert (found.key.get_secret_value(), found.secret.get_secret_value()) == ("bob", "123456")
    assert (found.endpoint_url, found.region) == (AUTH["auth_url"], "north")
    assert found.project_id == "6f70656e737461636b20342065766572"
    assert found.arguments == {"ex_tenant_name": "team", "ex_domain_name": "Default"}


@pytest.mark.parametrize(
    "places",
    [
        ("work/clouds.yaml", ".config/openstack/clouds.yaml"),
        (".config/openstack/clouds.yaml",),
        (".config/openstack/clouds.yml",),
        ("work/clouds.json", ".config/openstack/clouds.yaml"),
    ],
)
def test_where_files_are_looked_for(write: Write, places: tuple[str, ...]) -> None:
    """In this folder, then the user's; the first that there is counts, and no other."""
    for number, place in enumerate(places):
        write({"auth": {**AUTH, "username": f"user-{number}"}}, place)
    assert settings().key.get_secret_value() == "user-0"


def test_a_file_that_is_named(write: Write, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OS_CLIENT_CONFIG_FILE is looked at first."""
    write({"auth": AUTH})
    write({"auth": {**AUTH, "username": "eve"}}, "other.yaml")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(home / "other.yaml"))
    assert settings().key.get_secret_value() == "eve"


def test_secrets_apart(write: Write) -> None:
    """secure.yaml is laid over it, level by level, wherever each of them is found."""
    write({"auth": {**AUTH, "password": "old"}})
    write({"auth": {"password": "pw"}}, ".config/openstack/secure.yaml")
    found = settings()
    assert (found.key.get_secret_value(), found.secret.get_secret_value()) == ("bob", "pw")


def test_secrets_that_are_named(write: Write, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OS_CLIENT_SECURE_FILE is looked at first, for secure.yaml only."""
    write({"auth": AUTH})
    write({"auth": {"password": "old"}}, "work/secure.yaml")
    write({"auth": {"password": "new"}}, "other.yaml")
    monkeypatch.setenv("OS_CLIENT_SECURE_FILE", str(home / "other.yaml"))
    found = settings()
    assert (found.key.get_secret_value(), found.secret.get_secret_value()) == ("bob", "new")


def test_credentials_of_a_program(write: Write) -> None:
    """They bring their project along."""
    write(PROGRAM)
    found = settings()
    assert found.key.get_secret_value() == "app-id"
    assert found.secret.get_secret_value() == "app-secret"
    assert found.region == "north"
    assert found.arguments == {"ex_force_auth_version": "3.x_appcred"}


def test_variables_over_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """With OS_CLOUD they count more, as with python-openstackclient; not where vmops named it."""
    write({"auth": AUTH, "region_name": "north"})
    monkeypatch.setenv("OS_CLOUD", "mine")
    monkeypatch.setenv("OS_PROJECT_NAME", "other")
    monkeypatch.setenv("OS_REGION_NAME", "")
    found = settings(cloud=None)
    assert found.arguments == {"ex_tenant_name": "other"}
    assert (found.key.get_secret_value(), found.region) == ("bob", "north")
    assert settings().arguments == {"ex_tenant_name": "team"}
    assert settings(region="south").region == "south"


@pytest.mark.parametrize(
    ("more", "arguments"),
    [
        ({"project_domain_id": "abc"}, {"ex_tenant_domain_id": "abc"}),
        ({"project_domain_name": "Default"}, {"ex_tenant_domain_id": "default"}),
        ({"user_domain_id": "default"}, {"ex_domain_name": "Default"}),
        (
            {"domain_name": "default"},
            {"ex_domain_name": "default", "ex_tenant_domain_id": "default"},
        ),
        (
            {"user_domain_name": "lab", "project_domain_id": "abc", "project_domain_name": "lab"},
            {"ex_domain_name": "lab", "ex_tenant_domain_id": "abc"},
        ),
    ],
)
def test_domains(write: Write, more: dict[str, str], arguments: dict[str, str]) -> None:
    """Libcloud has the user's by name and the project's by id; Default's id is default."""
    write({"auth": {**AUTH, **more}})
    assert settings().arguments == {"ex_tenant_name": "team", **arguments}


REFUSED: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"username": "", "user_id": "abc"}, "OS_USERNAME", {"key": "me"}),
    ({"user_domain_id": "abc"}, "OS_USER_DOMAIN_NAME", {"driver_ex_domain_name": "lab"}),
    ({"project_domain_name": "lab"}, "OS_PROJECT_DOMAIN_ID", {"driver_ex_tenant_domain_id": "a"}),
    ({"token": "abc"}, "cannot sign in with token", {}),
    ({"trust_id": "abc"}, "cannot sign in with trust_id", {}),
    ({"system_scope": "all"}, "cannot sign in with system_scope", {}),
    ({"application_credential_name": "x"}, "with application_credential_name", {}),
]


@pytest.mark.parametrize(("auth", "says", "instead"), REFUSED)
def test_what_libcloud_cannot_sign_in_with(
    write: Write, auth: dict[str, str], says: str, instead: dict[str, Any]
) -> None:
    """It is refused with what to give, and good where that is given."""
    write({"auth": {**AUTH, **auth}})
    said = refused()
    assert says in said
    assert "cloud 'mine'" in said
    if instead:
        driver = {name: value for name, value in instead.items() if name.startswith("driver_")}
        plain = {name: value for name, value in instead.items() if name not in driver}
        assert settings(**plain, driver=driver)


@pytest.mark.parametrize(
    ("cloud", "says"),
    [
        ({"auth_type": "v3oidcpassword"}, "auth_type 'v3oidcpassword'"),
        ({"auth_type": "token"}, "auth_type 'token'"),
        ({"identity_api_version": 2}, "identity_api_version"),
        ({"identity_api_version": "2.0"}, "identity_api_version"),
        ({"regions": ["a", {"name": "b"}]}, "one of a, b"),
        ({"verify": False}, "always verified"),
        ({"interface": "internal"}, "interface 'internal'"),
        ({"default_domain": "lab"}, "default_domain is not read"),
        ({"cert": "/etc/me.pem"}, "cert is not read"),
        ({"compute_endpoint_override": "https://x"}, "compute_endpoint_override is not read"),
    ],
)
def test_what_would_be_ignored(write: Write, cloud: dict[str, Any], says: str) -> None:
    """Whatever else a cloud says that vmops cannot do is refused, too."""
    write({"auth": AUTH, **cloud})
    assert says in refused()


def test_what_a_vendor_says_is_not_known(write: Write) -> None:
    """A profile without a URL is refused; with one it is not needed."""
    write({"auth": {**AUTH, "auth_url": ""}, "profile": "rackspace"})
    assert "profile is not read: give auth_url" in refused()
    write({"auth": AUTH, "profile": "rackspace", "regions": ["only"], "cacert": ""})
    assert settings().region == "only"


def test_an_authority_of_ones_own(write: Write, home: Path) -> None:
    """A cacert becomes the setting, and is looked for at home where it says so."""
    (home / "ca.pem").touch()
    write({"auth": AUTH, "cacert": "~/ca.pem"})
    assert settings().ca_file == home / "ca.pem"


def test_variables_that_libcloud_has_no_use_for(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables are held to the same as files."""
    for name, value in {**AUTH, "project_domain_name": "lab"}.items():
        monkeypatch.setenv(f"OS_{name.upper()}", value)
    said = refused(cloud=None)
    assert "OS_* variables" in said
    assert "OS_PROJECT_DOMAIN_ID" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "there is no clouds.yaml in this folder"),
        ("clouds: {other: {auth: {}}}", "which has: other"),
        ("clouds: [", "cannot be read: ParserError"),
        ("- pw", "has no mapping `clouds`"),
        ("clouds: {mine: [pw]}", "which has: none"),
        (
            "clouds: {mine: {auth: {username: !!python/object/apply:os.getcwd []}}}",
            "cannot be read",
        ),
        (b"\xff\xfe\x00pw", "cannot be read"),
    ],
)
def test_files_that_do_not_say_it(home: Path, text: str | bytes | None, says: str) -> None:
    """The file and the next step are told, and nothing of what stands in it."""
    if text is not None:
        data = text if isinstance(text, bytes) else text.encode()
        (home / "work" / "clouds.yaml").write_bytes(data)
    assert says in refused()


def test_a_file_is_read_for_openstack_only(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other providers care for no OS_CLOUD."""
    monkeypatch.setenv("OS_CLOUD", "mine")
    assert LibcloudSettings(provider="vultr", key="k")  # type: ignore[arg-type]


def test_odd_files(write: Write, home: Path) -> None:
    """What YAML reads as a date or a number is text; an empty file says nothing."""
    (home / "work" / "secure.yaml").touch()
    write({"auth": {**AUTH, "password": "PASSWORD"}, 7: "seven"})
    file = home / "work" / "clouds.yaml"
    file.write_text(file.read_text().replace('"PASSWORD"', "2024-01-02").replace('"7"', "7"))
    assert settings().secret.get_secret_value() == "2024-01-02"
    file.write_text("[" * 5000)
    assert "clouds.yaml cannot be read" in refused()


def test_a_project_that_is_none(nova: Any, tmp_path: Path) -> None:
    """The project's id counts more than its name: one that is not the user's is refused."""
    config = {"backend": "libcloud", "provider": "openstack", "projectId": "0" * 32}
    ops = VMOps(config, journal=tmp_path / "journal.db")
    with ops, pytest.raises(AuthError):
        ops.list_vms()


@pytest.mark.parametrize("by", ["name", "id"])
def test_the_real_nova(
    nova: Any, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    """A cloud of a file is enough to sign in, and to make and delete a server."""
    said = {name.removeprefix("OS_").lower(): v for name, v in nova.environment().items()}
    if by == "id":
        said |= {"project_name": "another", "project_id": nova.project_id}
    region, password = said.pop("region_name"), said.pop("password")
    write({"auth": {**said, "user_domain_id": "default"}, "region_name": region})
    write({"auth": {"password": password}}, "work/secure.yaml")
    for name in nova.environment():
        monkeypatch.delenv(name)
    monkeypatch.setenv("OS_CLOUD", "mine")
    config = {"backend": "libcloud", "provider": "openstack", "tick": 0.2, "horizon": 1.0}
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        wanted = {"vmName": "web-1", "vmSize": nova.size, "image": nova.image}
        for verb, params in (("vm_provision", wanted), ("vm_deprovision", {"vmName": "web-1"})):
            status, result = ops.wait_vm_operation(getattr(ops, verb)(params)[1])
            assert status is Status.SUCCEEDED, result.error
