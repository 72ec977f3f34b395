"""docs/how-to/run-on-aws.md tells the truth: its Python runs, its tables are what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from guide import Guide, Listener

from vmops import Bucket, VMOps
from vmops_aws.backend import AwsBackend
from vmops_aws.images import ALIASES
from vmops_aws.settings import AwsSettings

PAGE = Guide("how-to/run-on-aws.md")


@pytest.mark.parametrize("name", PAGE.programs)
def test_python_on_the_page_runs(name: str, ec2: Any, tmp_path: Path) -> None:
    """Each program ends well, with nothing but an environment that leads to the stand-in."""
    PAGE.run(name, ec2, ec2.environment(), tmp_path)
    assert {i["State"]["Name"] for i in instances(ec2)} == {"terminated"}


def instances(ec2: Any) -> list[dict[str, Any]]:
    """What the stand-in holds."""
    answer = ec2.client("ec2").describe_instances()
    return [instance for each in answer["Reservations"] for instance in each["Instances"]]


def made(ec2: Any) -> list[str]:
    """What vmops has called."""
    return [call["action"] for call in ec2.calls() if "vmops" in call["agent"]]


def test_table_of_calls(config: dict[str, Any], ec2: Any, tmp_path: Path) -> None:
    """Each verb, and its wait, calls what the page says."""
    ec2.settings(stop=1.1)  # a start is told by its launch time, in whole seconds
    web = {"vmName": "web-1", "image": "debian-12"}
    cycle = {**web, "restartMode": "power-cycle"}
    spot = {**web, "vmName": "cheap-1", "spot": True, "spotMode": "persistent"}
    settings = AwsSettings(region=config["region"], endpoint_url=config["endpointUrl"])
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        listener = Listener(ops, lambda: made(ec2))
        listener.note("`provision`", lambda: ops.vm_provision(web))
        listener.note("`stop`", lambda: ops.vm_stop(web))
        listener.note("`start`", lambda: ops.vm_start(web))
        listener.note("`restart`", lambda: ops.vm_restart(web))
        listener.note("`restart`, power-cycle", lambda: ops.vm_restart(cycle))
        listener.note("`renew`", lambda: ops.renew({**web, "ttl": 60}))
        listener.note("`ls`", ops.list_vms)
        listener.note("`reap`", ops.reap)
        listener.note("`deprovision`", lambda: ops.vm_deprovision(web))
        ops.wait_vm_operation(ops.vm_provision(spot)[1])
        listener.note("`deprovision`, persistent spot", lambda: ops.vm_deprovision(spot))
        listener.note("`doctor`", lambda: list(AwsBackend.doctor(settings)))
    listener.agrees(PAGE.table("What is called"), r"\w+", "DescribeInstances")


def test_table_of_limits() -> None:
    """The budgets on the page are those that vmops keeps to."""

    def numbers(bucket: Bucket | None) -> list[str]:
        return [f"{bucket.burst:g}", f"{bucket.per_second:g}"] if bucket else ["", ""]

    kept = [
        [f"`{name}`", *numbers(limit.requests), *numbers(limit.items), str(limit.batch)]
        for name, limit in AwsBackend.limits.items()
    ]
    assert PAGE.table("Limits") == kept


def test_table_of_images() -> None:
    """The page lists every alias, and no other."""
    named = [alias for row in PAGE.table("Images") for alias in re.findall(r"`(.*?)`", row[0])]
    assert sorted(named) == sorted(ALIASES)
