"""Rules of reaping: what nobody needs is found and deleted, and nothing else ever is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest

from vmops.backend import Backend
from vmops.errors import NotSupported
from vmops.facade import VMOps
from vmops.operation import Operation
from vmops.protocol import Status
from vmops.reaping import Reason
from vmops.result import Result
from vmops.store import SqlStore
from vmops.testing.lab import Lab
from vmops.testing.settling import eventually, recover_to_the_end
from vmops.vm import VM, State, Tags

__all__ = ["ReapingRules"]

_TTL: Final = 3600
_SLACK: Final = 60


class ReapingRules:
    """What `reap` deletes, and what it leaves."""

    def test_tags_prove_ownership(self, lab: Lab, ops: VMOps) -> None:
        """A VM carries all that proves whose it is, as the journal has it."""
        params = lab.params(ttl=_TTL)
        name = params["vmName"]
        answer = ops.vm_provision(params)
        asked = Operation.from_url(answer[1]["asyncResultsUrl"]).at
        lab.wait(ops, answer)
        (vm,) = (vm for vm in ops.list_vms() if vm.name == name)
        store = SqlStore(lab.journal)
        row = lab.rows()[name]
        proof = Tags(
            store.install_id, name, row["token"], row["expires"], row["sequence"], store.journal_id
        )
        store.close()
        assert vm.tags == proof
        assert all((proof.owner, proof.token, proof.sequence, proof.journal))
        assert abs(proof.expires - asked - _TTL) < _SLACK

    @pytest.mark.parametrize("name_is", ["free", "taken again"])
    def test_late_create_is_reaped(self, lab: Lab, ops: VMOps, name_is: str) -> None:
        """A create that arrives after it was given up is deleted, and no other VM is."""
        late = lab.params()
        name = late["vmName"]
        needed = late if name_is == "taken again" else lab.params()
        deliver = lab.hold_create(ops, late)
        lab.end_leases(horizon=True)
        recover_to_the_end(lab.cloud.config, lab.journal, lab.cloud.timeout)
        assert lab.states() == {name: "ABANDONED"}
        kept = lab.wait(ops, ops.vm_provision(needed))["vmId"]
        arrived = deliver()
        assert arrived or name_is == "taken again", "the cloud refused a create"
        vms = _shown(lab, ops, {name, needed["vmName"]}, count=2 if arrived else 1)
        lab.end_leases()
        listed = ops.reap()
        assert [(i.vm.name, i.vm.id, i.due) for i in listed] == [
            (name, vm.id, True) for vm in vms if vm.id != kept
        ]
        reasons = {Reason.FINISHED, Reason.OLDER} if needed is late else {Reason.FINISHED}
        assert {item.reason for item in listed} <= reasons
        assert len(_shown(lab, ops, {name, needed["vmName"]})) == len(vms), "a dry run deletes none"
        _reap(lab, ops)
        assert [vm.id for vm in _shown(lab, ops, {name, needed["vmName"]})] == [kept]

    def test_expired_vms_are_reaped(self, lab: Lab, ops: VMOps, tmp_path: Path) -> None:
        """Past its ttl, by the cloud's own clock, a VM of ours is deleted; no other one is."""
        brief, endless, foreign = lab.params(ttl=_TTL), lab.params(), lab.params(ttl=_TTL)
        names = [params["vmName"] for params in (brief, endless, foreign)]
        other = lab.open(journal=tmp_path / "other" / "journal.db")
        makers = [(ops, brief), (ops, endless), (other, foreign)]
        for maker, answer in [(maker, maker.vm_provision(params)) for maker, params in makers]:
            lab.wait(maker, answer)
        assert ops.reap() == []
        lab.advance_cloud_time(_TTL + _SLACK)
        due = [(item.vm.name, item.reason, item.due) for item in ops.reap()]
        assert due == [(names[0], Reason.EXPIRED, True)]
        assert lab.alive(ops, *names) == sorted(names), "a dry run deletes none"
        _reap(lab, ops)
        assert lab.alive(ops, *names) == sorted(names[1:])
        (theirs,) = (vm.tags for vm in ops.list_vms() if vm.name == names[2])
        assert theirs is not None
        _reap(lab, ops, install_id=theirs.owner)
        assert lab.alive(ops, *names) == [names[1]]

    def test_renewal_postpones_reaping(self, lab: Lab, ops: VMOps) -> None:
        """Renewed, a VM lives for its new ttl; a cloud that cannot change tags refuses."""
        params = lab.params(ttl=_TTL)
        name = params["vmName"]
        lab.wait(ops, ops.vm_provision(params))
        status, result = ops.renew({"vmName": name, "ttl": 10 * _TTL})
        if lab.backend_type.retag is Backend.retag:
            assert isinstance(result.error, NotSupported)
            pytest.skip("the backend cannot change tags; a renewal is refused")
        assert status is Status.SUCCEEDED, result.error
        told = eventually(
            lambda: [vm.tags.expires for vm in _shown(lab, ops, {name}) if vm.tags],
            lambda expires: expires == [result["expires"]],
            lab.cloud.timeout,
        )
        assert told == [result["expires"]], "the tag says it, for whoever has lost the journal"
        lab.advance_cloud_time(2 * _TTL)
        assert ops.reap(yes=True) == []
        lab.advance_cloud_time(9 * _TTL)
        assert [(item.vm.name, item.reason) for item in ops.reap()] == [(name, Reason.EXPIRED)]

    def test_restored_backup_deletes_nothing(self, lab: Lab) -> None:
        """With a journal from before, whatever lives goes on living, and can be adopted."""
        again, later = lab.params(), lab.params()
        names = sorted([again["vmName"], later["vmName"]])
        past = lab.open()
        lab.wait(past, past.vm_provision(again))
        deletion = past.vm_deprovision(again)
        backup = _copied(lab.journal, lab.folder / "backup.db")
        lab.wait(past, deletion)
        for params in (again, later):
            lab.wait(past, past.vm_provision(params))
        past.close()
        for file in lab.journal.parent.glob("journal.db*"):
            file.unlink()
        _copied(backup, lab.journal).chmod(0o600)
        lab.end_leases(horizon=True)
        recover_to_the_end(lab.cloud.config, lab.journal, lab.cloud.timeout)
        lab.end_leases()
        ops = lab.open()
        assert not [item for item in ops.reap(yes=True, unrecorded=True) if item.due]
        assert lab.alive(ops, *names) == names
        lab.calls.clear()
        assert ops.vm_provision(later)[0] is Status.SUCCEEDED
        assert lab.calls["provision"] == 0
        assert lab.states()[later["vmName"]] == "LIVE"
        assert lab.alive(ops, *names) == names


def _reap(lab: Lab, ops: VMOps, **how: Any) -> None:  # noqa: ANN401
    """Delete what is due, to the end: what one of two looks does not show is left for later."""

    def reap() -> bool:
        for item in ops.reap(yes=True, **how):
            assert item.error is None
            assert item.due
            lab.wait(ops, (Status.PENDING, Result(asyncResultsUrl=item.url)))
        return not [item for item in ops.reap(**how) if item.due]

    assert eventually(reap, bool, lab.cloud.timeout)


def _shown(lab: Lab, ops: VMOps, names: set[str], count: int = 0) -> list[VM]:
    """The VMs of these names; looked for until the cloud shows `count` of them."""
    gone = {State.ABSENT, State.DELETING}

    def look() -> list[VM]:
        return [vm for vm in ops.list_vms() if vm.name in names and vm.state not in gone]

    return eventually(look, lambda vms: len(vms) >= count, lab.cloud.timeout)


def _copied(source: Path, target: Path) -> Path:
    """A database's copy, as SQLite itself backs it up."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
    return target
