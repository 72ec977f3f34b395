"""The IAM policy of the how-to allows what vmops calls in a whole life, and nothing else."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from policy import Life

from vmops import VMOps
from vmops_aws.backend import AwsBackend
from vmops_aws.images import ALIASES
from vmops_aws.settings import AwsSettings

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "run-on-aws.md"
BLOCK = re.compile(r'^```json title="vmops-policy\.json"\n(.*?)^```', re.MULTILINE | re.DOTALL)
NEEDS_NONE = {"sts:GetCallerIdentity"}  # "No permissions are required" (STS API reference)
KINDS = {
    "i": "instance",
    "vol": "volume",
    "eni": "network-interface",
    "sir": "spot-instances-request",
}
CHANGES = {"RebootInstances", "StartInstances", "StopInstances", "TerminateInstances"}

Calls = list[dict[str, Any]]


def statements() -> dict[str, Any]:
    """The policy's statements by their Sid."""
    match = BLOCK.search(PAGE.read_text())
    assert match is not None
    return {each["Sid"]: each for each in json.loads(match[1])["Statement"]}


def kinds_of(sid: str) -> set[str]:
    """The kinds of resources that a statement is about."""
    arns = statements()[sid]["Resource"]
    return {arn.split(":", 5)[5].partition("/")[0] for arn in arns}


def on_demand(life: Life) -> None:
    """A batch by an image's alias, and all verbs on one of its members."""
    batch = [{"vmName": f"web-{i}", "image": "debian-12"} for i in range(3)]
    life.do("provision", *batch)
    one = {"vmName": "web-1"}
    life.do("stop", one)
    life.do("start", one)
    life.do("restart", one)
    life.do("restart", {**one, "restartMode": "power-cycle"})
    life.renew(one)
    life.do("deprovision", *({"vmName": vm["vmName"]} for vm in batch))


def spot(life: Life) -> None:
    """Both kinds of spot VMs; of one that persists, the tags of the request are renewed."""
    life.do("provision", {"vmName": "cheap-1", "spot": True})
    life.do("provision", {"vmName": "cheap-2", "spot": True, "spotMode": "persistent"})
    for verb in ("stop", "start"):
        life.do(verb, {"vmName": "cheap-2"})
    life.renew({"vmName": "cheap-2"})
    life.do("deprovision", {"vmName": "cheap-1"}, {"vmName": "cheap-2"})


@pytest.fixture
def calls(config: dict[str, Any], ec2: Any, tmp_path: Path) -> Calls:
    """All that vmops asked of AWS in a whole life."""
    ec2.settings(stop=1.1)  # a start is told by its launch time, in whole seconds
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        life = Life(ops)
        on_demand(life)
        spot(life)
        life.left_over(ec2)
    settings = AwsSettings(region=config["region"], endpoint_url=config["endpointUrl"])
    assert all(check.ok for check in AwsBackend.doctor(settings))
    made: Calls = [call for call in ec2.calls() if "vmops" in call["agent"]]
    return made


def test_policy_allows_what_is_called_and_nothing_else(calls: Calls) -> None:
    """The actions of the policy are those that the stand-in was asked for, no more and no less."""
    allowed = {action for each in statements().values() for action in each["Action"]}
    assert allowed == {f"{call['service']}:{call['action']}" for call in calls} - NEEDS_NONE
    assert {each["Effect"] for each in statements().values()} == {"Allow"}


def test_conditions_hold_for_what_is_called(calls: Calls) -> None:
    """What is launched is tagged with an owner, and only what was so tagged is changed."""
    born: set[str] = set()
    changed: set[str] = set()
    for call in calls:
        if call["action"] == "RunInstances":
            tags = call["parameters"]
            specs = {k: v for k, v in tags.items() if k.endswith(".ResourceType")}
            for key, kind in specs.items():
                prefix = key.removesuffix("ResourceType")
                owner = [k for k in tags if k.startswith(prefix) and tags[k] == "vmops-owner"]
                assert owner, kind
            assert kinds_of("LaunchTagged") <= set(specs.values())
            born |= set(specs.values())
        elif call["action"] == "CreateTags":
            ids = (v for k, v in call["parameters"].items() if k.startswith("ResourceId."))
            changed |= {KINDS[id_.partition("-")[0]] for id_ in ids}
    assert born == kinds_of("TagAtLaunch")
    assert changed == kinds_of("TagLater")
    assert {f"ec2:{action}" for action in CHANGES} == set(statements()["ChangeOwn"]["Action"])


def test_policy_lets_every_alias_be_looked_up() -> None:
    """The parameters of all image aliases are among those that may be read."""
    allowed = statements()["FindImages"]["Resource"]
    names = [name for cpus in ALIASES.values() for name in cpus.values()]
    arns = [f"arn:aws:ssm:eu-west-1::parameter{name}" for name in names]
    assert [arn for arn in arns if not any(fnmatchcase(arn, each) for each in allowed)] == []
    unused = [each for each in allowed if not any(fnmatchcase(arn, each) for arn in arns)]
    assert unused == []
