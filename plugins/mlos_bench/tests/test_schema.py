"""What the schema takes and refuses, as mlos_bench and as an editor read it."""

from __future__ import annotations

import contextlib
import json
import os
import runpy
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
from mlos_bench.config.schemas.config_schemas import SCHEMA_STORE, ConfigSchema
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from vmops import Backend, Params, Settings
from vmops.binding import Binder
from vmops.errors import ConfigError, InvalidParams
from vmops.integrations.mlos_bench import VMOpsService
from vmops.integrations.mlos_bench.options import ServiceOptions
from vmops.params import gathered_fields
from vmops.plugins import Registry
from vmops_mlos_bench.schema import CLASSES, as_text, service_schema

FILE = resources.files("vmops_mlos_bench") / "schemas" / "services" / "service-schema.json"
OURS = json.loads(FILE.read_text())
BUILT_IN = [name.removeprefix("backend_") for name in OURS["$defs"] if name.startswith("backend_")]
THEIRS = {"class": "mlos_bench.services.remote.ssh.SshHostService", "config": {"ssh_port": 22}}


def service(**config: object) -> dict[str, Any]:
    """A service config of ours."""
    return {"class": CLASSES[0], "config": config}


GOOD: dict[str, Any] = {
    "local": service(backend="local", guest="linux", memoryMib=512, graceSeconds=2.5),
    "aws": service(
        backend="aws",
        region="eu-west-1",
        vmSize="t3.micro",
        securityGroups=["sg-12345678"],
        tags={"team": "tuning", "number": 7},
        spot=True,
        restartMode="power-cycle",
    ),
    "azure": service(
        backend="azure",
        subscription="00000000-0000-0000-0000-000000000000",
        resourceGroup="tuning",
        location="West US 2",
        zone="1",
    ),
    "gcp": service(backend="gcp", project="tuning-1", zone="europe-west1-b", diskSizeGb=None),
    "libcloud": service(backend="libcloud", provider="openstack", region="R1", ex_keyname="me"),
    "sim": service(backend="sim", provisionSeconds="20-40", lostAnswers=0.1),
    "another backend": service(backend="elsewhere", region=["any"], memoryMib="a lot"),
    "no backend": service(vmName="web-1", memoryMib="a lot", pollTimeout=600),
    "no config": {"class": CLASSES[0]},
    "the module's own name": {"class": CLASSES[1], "config": {"backend": "local"}},
    "options": service(
        journal="none",
        onChange="fail",
        sshUsername="root",
        sshPrivKeyPath="~/.ssh/id_ed25519",
        sshKnownHostsFile="known_hosts",
        sshPort=2222,
        sshShell="/bin/bash",
    ),
    "options in mlos_bench's spelling": service(
        ssh_username="root",
        ssh_priv_key_path="key",
        ssh_known_hosts_file="known_hosts",
        ssh_port=2222,
        ssh_shell="/bin/bash",
    ),
    "a typo": service(backend="local", memoryMiB=512),
    "placeholders": service(
        backend="aws", region="PLACEHOLDER; e.g., eu-west-1", diskSizeGb="$diskSizeGb", spot=None
    ),
    "from the command line": service(backend="azure", zone=1, spot="true", diskSizeGb="40"),
    "lists as text": service(backend="aws", securityGroups="sg-12345678,sg-87654321", tags="a=b"),
    "among mlos_bench's": {"services": [THEIRS, service(backend="local")]},
    "only mlos_bench's": THEIRS,
    "headed": {
        "$schema": "../.venv/vmops_mlos_bench/schemas/services/service-schema.json",
        "description": "VMs",
        **service(backend="local"),
    },
    "headed list": {
        "$schema": "https://example.org/schemas/services/service-schema.json",
        "description": "VMs",
        "services": [service(backend="local")],
    },
}
BAD: dict[str, Any] = {
    "another class": {"class": f"{CLASSES[0]}s", "config": {"backend": "local"}},
    "no class": {"config": {"backend": "local"}},
    "two classes": {**service(backend="local"), "services": [THEIRS]},
    "a list of classes": {**service(backend="local"), "class": list(CLASSES)},
    "empty config": service(),
    "config is a list": {"class": CLASSES[0], "config": ["local"]},
    "more beside the class": {**service(backend="local"), "name": "VMs"},
    "more beside the services": {"services": [service(backend="local")], "name": "VMs"},
    "no services": {"services": []},
    "services are one": {"services": service(backend="local")},
    "a list": [service(backend="local")],
    "the same twice": {"services": [service(backend="local"), service(backend="local")]},
    "a bad one of mlos_bench's": {
        "services": [service(backend="local"), {**THEIRS, "config": {"ssh_port": "x"}}]
    },
    "a nameless one": {"services": [{"config": {"backend": "local"}}]},
    "another $schema": {"$schema": "vmops.json", **service(backend="local")},
    "description is a number": {"description": 5, "services": [service(backend="local")]},
}
WRONG: dict[str, Any] = {
    "backend is a list": service(backend=["local"]),
    "text for a number": service(backend="local", memoryMib="a lot"),
    "text for a fraction": service(backend="sim", lostAnswers="often"),
    "too large a number": service(backend="local", cpus=65),
    "half a processor": service(backend="local", cpus=1.5),
    "no such guest": service(backend="local", guest="windows"),
    "no such region": service(backend="aws", region="Ireland"),
    "text for a truth": service(backend="aws", region="eu-west-1", spot="perhaps"),
    "2 for a truth": service(backend="aws", region="eu-west-1", spot=2),
    "a number for a list": service(backend="aws", securityGroups=5),
    "no such group": service(backend="aws", securityGroups=["5"]),
    "a list for pairs": service(backend="aws", tags=["team=tuning"]),
    "a pair within a pair": service(backend="aws", tags={"team": {"name": "tuning"}}),
    "a truth for text": service(
        backend="azure", subscription="00000000-0000-0000-0000-000000000000", resourceGroup=True
    ),
    "no such zone": service(backend="gcp", project="tuning-1", zone="europe-west1"),
    "more than all": service(backend="sim", lostAnswers=1.5),
    "of no backend": service(pollTimeout=-1),
    "no such mode": service(backend="elsewhere", stopMode="hibernate"),
    "no such change": service(onChange="maybe"),
    "no such change, spelt otherwise": service(on_change="maybe"),
    "no such port": service(sshPort=0),
    "no such port, spelt otherwise": service(ssh_port=65536),
    "journal is a number's list": service(journal=[1]),
}
VERDICTS = {**{f"good: {name}": (config, True) for name, config in GOOD.items()}} | {
    f"bad: {name}": (config, False) for name, config in BAD.items()
}


@pytest.fixture(scope="module")
def editor() -> jsonschema.Draft202012Validator:
    """Reads our file, and the schemas that mlos_bench publishes."""
    return jsonschema.Draft202012Validator(OURS, registry=SCHEMA_STORE.registry)


@pytest.mark.parametrize(("config", "good"), VERDICTS.values(), ids=VERDICTS)
def test_mlos_bench_and_editors_judge_alike(
    config: object, good: bool, editor: jsonschema.Draft202012Validator
) -> None:
    """mlos_bench and an editor that was given our file agree on what is a service config."""
    assert accepts(ConfigSchema.SERVICE, config) is good
    assert accepts(ConfigSchema.UNIFIED, config) is good
    assert editor.is_valid(config) is good


@pytest.mark.parametrize("config", WRONG.values(), ids=WRONG)
def test_wrong_values_are_told_by_editors_and_by_vmops(
    config: dict[str, Any], editor: jsonschema.Draft202012Validator
) -> None:
    """mlos_bench leaves values to vmops, whose error names each: when the service is made.

    Where the config names no backend, or one that is not here, it is told by the first call.
    """
    assert accepts(ConfigSchema.SERVICE, config)
    assert not editor.is_valid(config)
    assert not editor.is_valid({"services": [THEIRS, config]})
    names = {to_camel(name) for name in config["config"]}
    try:
        _, result = VMOpsService(config["config"]).provision_host({"vmName": "web-1"})
        error = result.error
    except ConfigError as exc:
        error = exc
    assert isinstance(error, ConfigError)
    if isinstance(error, InvalidParams):
        assert {to_camel(problem.param) for problem in error.problems} & names


def accepts(schema: ConfigSchema, config: Any) -> bool:
    """Whether mlos_bench takes it."""
    try:
        schema.validate(config)
    except jsonschema.ValidationError:
        return False
    return True


JUDGE = """
import json, sys
from jsonschema import ValidationError
from mlos_bench.config.schemas.config_schemas import ConfigSchema, __file__
def accepts(config):
    try:
        ConfigSchema.SERVICE.validate(config)
    except ValidationError:
        return False
    return True
print(json.dumps([__file__, list(map(accepts, json.load(sys.stdin)))]))
"""


def test_releases_of_mlos_bench_judge_alike(python: Any, release: str) -> None:
    """A fresh interpreter judges so with every release that is supported, through the .pth file."""
    configs = json.dumps([config for config, _ in VERDICTS.values()])
    file, verdicts = json.loads(python(JUDGE, stdin=configs, PYTHONPATH=release))
    assert file.startswith(release)
    assert dict(zip(VERDICTS, verdicts, strict=True)) == {
        name: good for name, (_, good) in VERDICTS.items()
    }


def test_mlos_bench_refuses_with_its_own_error() -> None:
    """Who misspells the class reads mlos_bench's own message, before any class is made."""
    from mlos_bench.services.config_persistence import ConfigPersistenceService

    loader = ConfigPersistenceService()
    good = loader.load_config(json.dumps(GOOD["headed"]), ConfigSchema.SERVICE)
    assert good["config"] == {"backend": "local"}
    with pytest.raises(ValueError, match=r"Failed to validate config .* type SERVICE"):
        loader.load_config(json.dumps(BAD["another class"]), ConfigSchema.SERVICE)


def test_our_services_alone_need_nothing_from_the_network() -> None:
    """An editor without network checks a config that has only services of ours."""
    alone = jsonschema.Draft202012Validator(OURS)
    alone.check_schema(OURS)
    assert alone.is_valid(GOOD["headed list"])
    assert not alone.is_valid(WRONG["half a processor"])
    assert not alone.is_valid({"description": "No services"})


VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 7, -3, 0.5, 1e3),
    *("0", "1", "7", "-3", "+7", " 7 ", ".5", "7.0", "1e3", "1_000"),
    *("true", "True", "TRUE", "no", "Off", "1 "),
    *("", "web", "PLACEHOLDER", "release", "eu-west-1", "t3.micro", "sg-12345678", "https://h"),
    *("a,b", ["a", "b"], ["sg-12345678"], [7], [["a"]]),
    *("a=b", {"a": "b"}, {"a": 7}, {"a": True}),
)


def taken(backend: type[Backend[Any, Any]]) -> Iterator[dict[str, Any]]:
    """Configs that vmops takes: a good one with each value of every field."""
    good = GOOD.get(backend.name) or service(backend=backend.name)
    for name, its in service_fields(backend.name).items():
        for value in VALUES:
            if isinstance(value, bool) and {"$ref": "#/$defs/boolean"} not in its["anyOf"]:
                continue  # pydantic has true for 1
            config = {**good["config"], name: value}
            binder = Binder(backend.name, backend.settings_type, backend.params_type, config=config)
            with contextlib.suppress(InvalidParams, TypeError):  # a list has no hash
                binder.bind({})
                yield config


def service_fields(backend: str) -> dict[str, Any]:
    """The properties that the schema has for a backend, and those for every one."""
    config = OURS["$defs"]["vmops_service"]["properties"]["config"]["properties"]
    options = {alias for field in ServiceOptions.model_fields.values() for alias in [field.alias]}
    core = {name: its for name, its in config.items() if name not in options and "_" not in name}
    return {**OURS["$defs"][f"backend_{backend}"]["properties"], **core}


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_vmops_takes_is_not_refused(
    name: str, editor: jsonschema.Draft202012Validator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No value that a backend would take is refused, however it is written; `true` is no number."""
    for usual in [key for key in os.environ if key.startswith(("AWS", "AZURE", "CLOUDSDK", "GOO"))]:
        monkeypatch.delenv(usual)  # where it says something, an empty value is as good as none
    for credential in ("USERNAME", "PASSWORD", "PROJECT_NAME"):  # without these, nothing is bound
        monkeypatch.setenv(f"OS_{credential}", "made-up")
    monkeypatch.setenv("OS_AUTH_URL", "https://keystone.example.com")
    rules = editor.evolve(schema={"$ref": f"{OURS['$id']}#/$defs/vmops_service/properties/config"})
    configs = list(taken(Registry().load(name)))
    assert len(configs) > 100
    assert [config for config in configs if not rules.is_valid(config)] == []


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_field_has_a_rule_and_a_meaning(
    name: str, editor: jsonschema.Draft202012Validator
) -> None:
    """Each setting and param is known, explained, and not of every type."""
    cls = Registry().load(name)
    models = (cls.settings_type, cls.params_type)
    gathered = {name for model in models for name in gathered_fields(model)}
    names = {field.alias for model in models for field in model.model_fields.values()} - gathered
    known = service_fields(name)
    assert names <= known.keys()
    for field, its in known.items():
        assert its["description"], field
        assert not editor.is_valid(service(**{"backend": name, field: [["x"]]})), field


class Nested(BaseModel):
    size: int


class OddSettings(Settings):
    only: Literal["one"] = "one"


class OddParams(Params):
    parts: tuple[Nested, ...] = ()
    anything: Any = None
    table: dict[str, Any] = {}
    either: int | str = 0


class Odd(Backend[OddSettings, OddParams]):
    name = "odd"


def test_a_strangers_models_make_a_schema_too() -> None:
    """A backend of others may have any types that pydantic has; what is too odd is let pass."""
    schema = service_schema([Odd])
    rules = jsonschema.Draft202012Validator(schema)
    rules.check_schema(schema)
    for config in (
        {"only": "one", "parts": [{"size": 1}], "table": {"a": [1]}, "either": "x"},
        {"parts": "anything", "anything": [["x"]], "table": {}, "either": 5},
    ):
        assert rules.is_valid(service(backend="odd", **config)), config
    for config in ({"only": "two"}, {"table": "a=b"}, {"either": [1]}):
        assert not rules.is_valid(service(backend="odd", **config)), config
        assert rules.is_valid(service(backend="aws", **config)), config


def test_the_module_prints_the_schema(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m vmops_mlos_bench` prints the schema of all installed backends that work."""
    names = Registry().names()
    broken = tmp_path / "broken-1.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (broken / "entry_points.txt").write_text("[vmops]\nbroken = no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert Registry().names() == sorted([*names, "broken"])
    runpy.run_module("vmops_mlos_bench", run_name="__main__")
    printed = json.loads(capsys.readouterr().out)
    assert printed == service_schema(map(Registry().load, names))
    assert set(BUILT_IN) <= set(names)
    config = printed["$defs"]["vmops_service"]["properties"]["config"]
    assert config["properties"]["backend"]["anyOf"][0] == {"enum": names}  # what an editor offers


def test_the_text_is_stable() -> None:
    """The order in which backends are found makes no difference."""
    classes = [Registry().load(name) for name in BUILT_IN]
    assert as_text(service_schema(classes)) == as_text(service_schema(reversed(classes)))
    assert as_text(service_schema(classes)) == FILE.read_text()
