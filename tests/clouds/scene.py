"""What tests of a plugin do over and over: VMs made and waited for; calls, rows, states."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from vmops import Status, VMOps
from vmops.plugins import Registry

__all__ = ["Scene"]

_REGISTRY = Registry()  # what is installed is read once
_TIMEOUT = 20.0


class Scene:
    """A stand-in for a cloud, and vmops over it.

    Args:
        cloud: The stand-in as new; `calls()` tells each call's `action`.
        config: What leads vmops to it.
        folder: Where the journal is.
        defaults: Params of a VM that cost the fewest calls.
    """

    def __init__(
        self, cloud: Any, config: dict[str, Any], folder: Path, defaults: Mapping[str, Any]
    ) -> None:
        self.cloud = cloud
        self.config = config
        self.journal = folder / "journal" / "journal.db"
        self.defaults = dict(defaults)
        self._opened: list[VMOps] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes whatever was opened."""
        while self._opened:
            self._opened.pop().close()

    def open(self, journal: Path | None = None, **config: Any) -> VMOps:
        """What tests call, over the stand-in; with the scene's journal if no other is given."""
        together = {**self.config, **config}
        ops = VMOps(together, journal=journal or self.journal, registry=_REGISTRY)
        self._opened.append(ops)
        return ops

    # -- verbs ------------------------------------------------------------------------------------

    def params(self, name: str = "web-1", **more: Any) -> dict[str, Any]:
        """Params of a VM."""
        return {"vmName": name, **self.defaults, **more}

    def wait(self, ops: VMOps, answer: tuple[Any, Any], **more: Any) -> Any:
        """The result of a verb that must succeed, waited for if need be."""
        status, result = self.end(ops, answer, **more)
        assert status is Status.SUCCEEDED, f"{status}: {result.error!r}"
        return result

    @staticmethod
    def end(ops: VMOps, answer: tuple[Any, Any], **more: Any) -> tuple[Any, Any]:
        """The end of a verb, waited for if need be."""
        status, result = answer
        if status is Status.PENDING:
            return ops.wait_vm_operation({**result, "pollTimeout": _TIMEOUT, **more})
        return status, result

    def up(self, ops: VMOps, name: str = "web-1", **more: Any) -> str:
        """The id of a new VM that runs."""
        vm_id: str = self.wait(ops, ops.vm_provision(self.params(name, **more)))["vmId"]
        return vm_id

    def asked(
        self, ops: VMOps, verb: str, names: Sequence[str], **more: Any
    ) -> dict[str, tuple[Any, Any]]:
        """The answers to a verb on VMs of these names."""
        extra = self.defaults if verb == "provision" else {}
        params = [{"vmName": name, **extra, **more} for name in names]
        answers = ops.run_many(verb, params)
        return {names[index]: (status, result) for index, status, result in answers}

    def ended(self, ops: VMOps, answers: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
        """The results of a verb on many VMs, by name, all of which must succeed."""
        names = list(answers)
        for name, (status, result) in answers.items():
            assert status is Status.PENDING, f"{name}: {status}: {result.error!r}"
        pending = [{**answers[name][1], "pollTimeout": _TIMEOUT} for name in names]
        found: dict[str, Any] = {}
        for index, status, result in ops.wait_many(pending):
            assert status is Status.SUCCEEDED, f"{names[index]}: {status}: {result.error!r}"
            found[names[index]] = result
        return found

    def all(self, ops: VMOps, verb: str, names: Sequence[str], **more: Any) -> dict[str, Any]:
        """The results of a verb on many VMs that was waited for."""
        return self.ended(ops, self.asked(ops, verb, names, **more))

    # -- what the cloud was asked -----------------------------------------------------------------

    def actions(self) -> list[str]:
        """The names of all calls so far, in order."""
        return [call["action"] for call in self.cloud.calls()]

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """A list that holds, in the end, the calls made within."""
        before = len(self.cloud.calls())
        made: list[str] = []
        yield made
        made += self.actions()[before:]

    # -- what the journal holds -------------------------------------------------------------------

    def rows(self) -> dict[str, dict[str, Any]]:
        """What the journal holds, by the VM's name."""
        with closing(sqlite3.connect(self.journal)) as connection:
            connection.row_factory = sqlite3.Row
            return {row["vm"]: dict(row) for row in connection.execute("select * from vms")}

    def states(self) -> dict[str, str]:
        """The states of the journal's rows, by the VM's name."""
        return {name: row["state"] for name, row in self.rows().items()}
