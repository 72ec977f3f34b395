"""docs/how-to/run-on-aws.md tells the truth: its Python runs, its tables are what the code does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vmops import Bucket, Status, VMOps
from vmops_aws.backend import AwsBackend
from vmops_aws.images import ALIASES
from vmops_aws.settings import AwsSettings

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "run-on-aws.md").read_text()
BLOCK = re.compile(r'^```python title="(.*?)"\n(.*?)^```', re.MULTILINE | re.DOTALL)
PROGRAMS: dict[str, str] = dict(BLOCK.findall(PAGE))


def table(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading, without its head."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("name", PROGRAMS)
def test_python_on_the_page_runs(name: str, ec2: Any, tmp_path: Path) -> None:
    """Each program ends well, with nothing but an environment that leads to the stand-in."""
    environment = {**os.environ, **ec2.environment(), "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAMS[name]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {i["State"]["Name"] for i in instances(ec2)} == {"terminated"}


def instances(ec2: Any) -> list[dict[str, Any]]:
    """What the stand-in holds."""
    answer = ec2.client("ec2").describe_instances()
    return [instance for each in answer["Reservations"] for instance in each["Instances"]]


class Listener:
    """Does one thing after the other, and remembers what each of them called."""

    def __init__(self, ops: VMOps, ec2: Any) -> None:
        self.heard: dict[str, list[set[str]]] = {}
        self._ops, self._ec2 = ops, ec2
        self._before = 0

    def note(self, row: str, do: Callable[[], Any]) -> None:
        """What the deed called, and what its wait did."""
        self._new()
        answer = do()
        self.heard[row] = [self._new(), set()]
        if isinstance(answer, tuple) and answer[0] is Status.PENDING:
            assert self._ops.wait_vm_operation(answer[1])[0] is Status.SUCCEEDED
            self.heard[row][1] = self._new()

    def _new(self) -> set[str]:
        made = [call["action"] for call in self._ec2.calls() if "vmops" in call["agent"]]
        self._before, new = len(made), made[self._before :]
        return set(new)


def test_table_of_calls(config: dict[str, Any], ec2: Any, tmp_path: Path) -> None:
    """Each verb, and its wait, calls what the page says."""
    ec2.settings(stop=1.1)  # a start is told by its launch time, in whole seconds
    web = {"vmName": "web-1", "image": "debian-12"}
    cycle = {**web, "restartMode": "power-cycle"}
    spot = {**web, "vmName": "cheap-1", "spot": True, "spotMode": "persistent"}
    settings = AwsSettings(region=config["region"], endpoint_url=config["endpointUrl"])
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        listener = Listener(ops, ec2)
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
    told = {
        row: [set(re.findall(r"`(\w+)`", cell)) for cell in cells]
        for row, *cells in table("What is called")
    }
    for row, (calls, _) in listener.heard.items():
        calls.update(told[row][0] & {"DescribeInstances"})  # what follows a wait need not look
    assert listener.heard == told


def test_table_of_limits() -> None:
    """The budgets on the page are those that vmops keeps to."""

    def numbers(bucket: Bucket | None) -> list[str]:
        return [f"{bucket.burst:g}", f"{bucket.per_second:g}"] if bucket else ["", ""]

    kept = [
        [f"`{name}`", *numbers(limit.requests), *numbers(limit.items), str(limit.batch)]
        for name, limit in AwsBackend.limits.items()
    ]
    assert table("Limits") == kept


def test_table_of_images() -> None:
    """The page lists every alias, and no other."""
    named = [alias for row in table("Images") for alias in re.findall(r"`(.*?)`", row[0])]
    assert sorted(named) == sorted(ALIASES)
