"""The role of the how-to allows what vmops does in a whole life, and each of it is needed."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from guide import Guide
from policy import Life

from vmops import Status, VMOps
from vmops.errors import CloudError
from vmops_gcp.backend import GcpBackend
from vmops_gcp.settings import GcpSettings

PAGE = Guide("how-to/run-on-gcp.md")
HEADING = "The least that it may do"
ROLE = re.findall(r"^  - (\S+)$", PAGE.files["vmops-role.yaml"], re.MULTILINE)
ACT_AS = "iam.serviceAccounts.actAs"  # on an account, not in the project's role
ALL = {*ROLE, ACT_AS}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0pYy5yTqQ2m7v0jN3cQ3k1rPq8Zb4mWc6JtYh9sD2x me@laptop"
OWN = "global/images/own"
FULL = {
    "image": OWN,
    "publicIp": True,
    "sshPublicKey": KEY,
    "userData": "#!/bin/sh\ntrue\n",
    "networkTags": "web",
    "serviceAccount": "default",
}


def allow(gce: Any, permissions: set[str]) -> None:
    """Let the emulator refuse whatever needs another permission."""
    gce.settings(permissions=sorted(permissions))


def own_image(gce: Any) -> None:
    """Make an image that is the project's."""
    source = "projects/debian-cloud/global/images/family/debian-12"
    path = f"/compute/v1/projects/{gce.project}/global/images"
    status, _, body = gce.call("POST", path, {"name": "own", "sourceImage": source})
    assert status == 200, body
    gce.advance(60)


def refused(gce: Any, since: int = 0) -> list[str]:
    """The calls that were refused."""
    return [call["action"] for call in gce.calls()[since:] if call["status"] in {400, 403}]


def doctor(config: dict[str, Any]) -> bool:
    """Whether `vmops doctor` is content."""
    settings = GcpSettings(
        project=config["project"], zone=config["zone"], endpoint_url=config["endpointUrl"]
    )
    return all(check.ok for check in GcpBackend.doctor(settings))


def test_role_allows_a_whole_life(config: dict[str, Any], gce: Any, tmp_path: Path) -> None:
    """With these permissions alone, nothing is refused, even with an image of one's own."""
    own_image(gce)
    allow(gce, ALL)
    web = {"vmName": "web-1"}
    names = [{"vmName": f"node-{i}"} for i in range(10)]
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        life = Life(ops)
        life.do("provision", {**web, **FULL})
        for verb in ("stop", "start", "restart"):
            life.do(verb, web)
        life.do("restart", {**web, "restartMode": "reset"})
        life.renew(web)
        life.do("deprovision", web)
        life.do("provision", *names)  # more than are waited for by GCE itself
        life.do("deprovision", *names)
        life.left_over(gce)
    assert doctor(config)
    assert refused(gce) == []


def test_each_permission_is_needed(config: dict[str, Any], gce: Any, tmp_path: Path) -> None:
    """Without it, GCE refuses a call that the page says it is for."""
    own_image(gce)
    running, stopped = {"vmName": "web-1"}, {"vmName": "web-2"}
    names = [{"vmName": f"node-{i}"} for i in range(10)]
    with VMOps(config, journal=tmp_path / "journal.db") as ops:
        life = Life(ops)
        life.do("provision", running, stopped)
        life.do("stop", stopped)

        def fails(verb: Callable[[Any], Any], vm: dict[str, Any]) -> None:
            assert verb(vm)[0] is Status.FAILED

        def make() -> None:
            fails(ops.vm_provision, {"vmName": "new-1", **FULL})

        def wait(*vms: dict[str, Any]) -> None:
            begun = [result for _, _, result in ops.run_many("provision", vms)]
            list(ops.wait_many([{**result, "pollTimeout": 1.5} for result in begun]))

        deeds: dict[str, Callable[[], Any]] = {
            **dict.fromkeys((p for p in ALL if made_with(p)), make),
            "compute.disks.get": lambda: fails(ops.renew, {**running, "ttl": 600}),
            "compute.instances.start": lambda: fails(ops.vm_start, stopped),
            "compute.instances.stop": lambda: fails(ops.vm_stop, running),
            "compute.instances.reset": lambda: fails(
                ops.vm_restart, {**running, "restartMode": "reset"}
            ),
            "compute.instances.delete": lambda: fails(ops.vm_deprovision, running),
            "compute.instances.get": lambda: ops.describe(running),
            "compute.instances.list": ops.list_vms,
            "compute.zoneOperations.get": lambda: wait({"vmName": "new-2"}),
            "compute.zoneOperations.list": lambda: wait(*names),
            "compute.networks.get": lambda: doctor(config),
        }
        assert set(deeds) == ALL
        spared = []
        for permission, deed in deeds.items():
            allow(gce, ALL - {permission})
            before = len(gce.calls())
            with suppress(CloudError):
                deed()
            if not refused(gce, before):
                spared.append(permission)
        assert spared == []


def made_with(permission: str) -> bool:
    """Whether the page says that a permission is for making a VM."""
    said = [why for which, why in PAGE.table(HEADING) if f"`{permission}`" in which]
    return any(why.startswith(("to make", "with ")) for why in said)


def test_table_tells_of_each_permission() -> None:
    """The table on the page is about those of the role, and the one that is given on an account."""
    told = [one for row in PAGE.table(HEADING) for one in re.findall(r"`([\w.]+\.\w+)`", row[0])]
    assert set(told) == ALL
    assert sorted(ROLE) == ROLE
