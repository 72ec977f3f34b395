"""The how-to guide, as it stands: its experiment runs on real VMs, its other configs are good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from guide import Guide

from vmops.binding import Binder
from vmops.errors import InvalidParams
from vmops.integrations.mlos_bench.options import ServiceOptions
from vmops.plugins import Registry

PAGE = Guide("how-to/mlos-bench.md")


@pytest.mark.long
def test_the_experiment_runs_on_real_vms(local: Any) -> None:
    """A tunable is set in a Linux VM in each trial, read back there, and nothing is left."""
    for name, text in PAGE.files.items():
        local.write(name, text)
    (commands,) = PAGE.section("Run it").blocks("console")
    local.shell(commands)
    assert local.statuses() == ["SUCCEEDED"] * 3
    results = local.results()
    assert sorted(int(row["dirty_ratio"]) for row in results) == [5, 20, 35]
    assert [row["kernel_has"] for row in results] == [row["dirty_ratio"] for row in results]
    assert all(float(row["seconds"]) > 0 for row in results)
    assert local.alive() == []


@pytest.mark.parametrize("backend", ["aws", "azure", "gcp", "local"])
def test_service_configs_are_understood(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each service config on the page is one for its backend, down to the last parameter."""
    from mlos_bench.config.schemas import ConfigSchema

    name = "service.jsonc" if backend == "local" else f"service-{backend}.jsonc"
    config = json.loads(PAGE.files[name])
    ConfigSchema.SERVICE.validate(config)
    monkeypatch.chdir(tmp_path)
    Path("bench-key").touch()
    _, settings = ServiceOptions.split(config["config"])
    cls = Registry().load(settings["backend"])
    assert cls.name == backend
    binder = Binder(backend, cls.settings_type, cls.params_type, cls.vm_name, settings)
    bound = binder.bind({"vmName": "page-cache-vm"}, creating=True)
    assert (bound.call.ttl, bound.call.ready) == (7200, "ssh")
    with pytest.raises(InvalidParams, match="vmNaem"):
        binder.bind({"vmNaem": "page-cache-vm"})


def test_the_same_experiment_is_meant() -> None:
    """The configs differ in where, not in how: the key and the time to live are the same."""
    for name in ("service-aws.jsonc", "service-azure.jsonc", "service-gcp.jsonc"):
        theirs, ours = (json.loads(PAGE.files[one])["config"] for one in (name, "service.jsonc"))
        for key in ("ready", "sshPrivKeyPath", "ttl"):
            assert theirs[key] == ours[key], name
