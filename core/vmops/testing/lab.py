"""Tools of the kit: VMOps over the cloud under test, faults at the backend's edge, processes."""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

from vmops.backend import Backend
from vmops.errors import CloudError, Throttled, Unavailable
from vmops.facade import VMOps
from vmops.plugins import Registry
from vmops.protocol import Status
from vmops.result import Result
from vmops.testing import nursery
from vmops.testing.cloud import CloudUnderTest, Known
from vmops.vm import VM, State

__all__ = ["Lab", "LabFixtures"]

_CALLS = ("account", "describe", "poll", "provision", "start", "stop", "restart", "deprovision")


class Lab:
    """One test's view of the cloud: VMOps with a journal of its own, names, faults, processes.

    Args:
        cloud: The cloud under test.
        folder: Where journals are kept.
        patch: Undoes faults after the test.
    """

    def __init__(self, cloud: CloudUnderTest, folder: Path, patch: pytest.MonkeyPatch) -> None:
        """Ask the cloud for nothing yet."""
        self.cloud = cloud
        self.journal = folder / "kit-journal" / "journal.db"
        self.folder = folder
        self.calls: Counter[str] = Counter()
        self._patch = patch
        self._opened: list[VMOps] = []
        self._names: list[str] = []
        self._inside = threading.local()
        self.backend_type: type[Backend[Any, Any]] = Registry().load(cloud.config["backend"])
        self._count_calls()

    def open(self, journal: Path | None = None, **config: Any) -> VMOps:  # noqa: ANN401
        """VMOps over the cloud; closed after the test."""
        ops = VMOps({**self.cloud.config, **config}, journal=journal or self.journal)
        self._opened.append(ops)
        return ops

    def params(self, name: str | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401
        """Params of the cheapest VM under a name of its own."""
        if name is None:
            name = f"kit-{uuid.uuid4().hex[:10]}"
        self._names.append(name)
        return {**self.cloud.params, "vmName": name, **more}

    def wait(self, ops: VMOps, answer: tuple[Any, Result]) -> Result:
        """The result of a verb that must succeed, waited for if need be."""
        status, result = answer
        if status is Status.PENDING:
            status, result = ops.wait_vm_operation({**result, "pollTimeout": self.cloud.timeout})
        assert status is Status.SUCCEEDED, f"{status}: {result.error!r}"
        return result

    def in_state(self, ops: VMOps, state: State, name: str | None = None) -> dict[str, Any]:
        """Params of a VM brought to ABSENT, RUNNING or STOPPED."""
        params = self.params(name)
        if state is not State.ABSENT:
            self.wait(ops, ops.vm_provision(params))
        if state is State.STOPPED:
            self.wait(ops, ops.vm_stop(params))
        return {"vmName": params["vmName"]}

    def alive(self, ops: VMOps, *names: str) -> list[str]:
        """The names of VMs that exist, among these; a name stands there once per VM."""
        gone = {State.ABSENT, State.DELETING}
        return sorted(v.name for v in ops.list_vms() if v.name in names and v.state not in gone)

    def check_restarted(self, before: VM, after: VM, result: Result) -> None:
        """A VM runs again, and what a restart's result says of it is true."""
        assert (after.state, after.id) == (State.RUNNING, before.id)
        records = self.backend_type.poll is not Backend.poll  # which may say that it happened
        if not self.backend_type.confirms_restart and after.started == before.started:
            assert result["restartConfirmed"] is False or records
        elif before.started is not None:
            assert after.started != before.started
            assert result.get("restartConfirmed", True)

    def fail_first(self, call: str, times: int, error: Callable[[], Exception]) -> None:
        """Let the next calls of one kind fail at the backend's edge, before they do anything."""
        self._around(call, times, before=error)

    def lose_first(self, call: str, times: int = 1) -> None:
        """Let the answers to the next calls of one kind be lost: the cloud carries them out."""
        self._around(call, times, after=lambda: Unavailable("kit: the answer was lost"))

    def throttle_first(self, call: str, times: int) -> None:
        """Let the next calls of one kind be throttled."""
        self.fail_first(call, times, lambda: Throttled("kit: slow down", retry_after=0.01))

    def hold_create(self, ops: VMOps, params: Mapping[str, Any]) -> Callable[[], bool]:
        """Provision by a request that is lost on its way; what is returned delivers it late.

        That tells whether the cloud took it.
        """
        held: list[Callable[[], bool]] = []

        def holding(original: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(backend: Backend[Any, Any], *args: Any) -> NoReturn:  # noqa: ANN401
                held.append(lambda: _taken(backend, partial(original, backend, *args)))
                raise Unavailable("kit: the request is on its way")

            return wrapped

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("vmops.sending._SEND_BUDGET", 0.0)  # its user asks no second time
            for name, original in self._verbs("provision"):
                patch.setattr(self.backend_type, name, holding(original))
            status, result = ops.vm_provision(params)
        assert status is Status.FAILED, "the request was held back"
        assert isinstance(result.error, Unavailable)
        return held[0]

    def advance_cloud_time(self, seconds: float) -> None:
        """Let the cloud's own clock go ahead by `seconds`."""
        original = self.backend_type.cloud_time
        self._patch.setattr(
            self.backend_type, "cloud_time", lambda backend: original(backend) + seconds
        )

    def forget_operations(self) -> None:
        """Let the cloud know no operation any more: only VMs can be looked at."""
        self._patch.setattr(self.backend_type, "poll", lambda *_, **__: {})

    def script(self, body: str, **values: Any) -> list[str]:  # noqa: ANN401
        """A command that runs `body` in a new process, with `ops`, `values` and friends at hand."""
        return [sys.executable, "-c", self._code(body, values)]

    def _code(self, body: str, values: Mapping[str, Any]) -> str:
        if not self.cloud.shared:
            pytest.skip("the cloud under test is in this process only")
        known = {"config": dict(self.cloud.config), "journal": str(self.journal), **values}
        head = (
            "import json, os, signal, sys\n"
            "from vmops import VMOps, Status, Operation\n"
            f"values = json.loads({json.dumps(json.dumps(known, default=str))})\n"
            "ops = VMOps(values['config'], journal=values['journal'])\n"
            "def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        return head + body

    def run(self, body: str, **values: Any) -> str:  # noqa: ANN401
        """What a new process that ran `body` printed; it must end well."""
        timeout = self.cloud.timeout + 60
        done = nursery.run(self._code(body, values), self.cloud.imports, timeout)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run_until_killed(self, body: str, **values: Any) -> None:  # noqa: ANN401
        """Run `body` in a new process, which must end by SIGKILL."""
        done = nursery.run(self._code(body, values), self.cloud.imports, 120)
        assert done.returncode == -signal.SIGKILL, done.stderr

    def rows(self) -> dict[str, dict[str, Any]]:
        """What the journal holds, by the VM's name."""
        with closing(sqlite3.connect(self.journal)) as connection:
            connection.row_factory = sqlite3.Row
            return {row["vm"]: dict(row) for row in connection.execute("select * from vms")}

    def states(self) -> dict[str, str]:
        """The states of the journal's rows, by the VM's name."""
        return {name: row["state"] for name, row in self.rows().items()}

    def end_leases(self, *, horizon: bool = False) -> None:
        """Let so much time have passed that nobody is at work on any row of the journal any more.

        With `horizon`, all requests were sent so long ago that none can arrive any more, either.
        """
        changes = "lease_until = 0, sent = 0" if horizon else "lease_until = 0"
        with closing(sqlite3.connect(self.journal)) as connection, connection:
            connection.execute(f"update vms set {changes}")  # noqa: S608  (one of the two above)

    def clean_up(self) -> None:
        """Delete every VM of this test, whoever made it, and close what was opened."""
        self._patch.undo()
        with VMOps(self.cloud.config, journal=self.folder / "clean" / "journal.db") as ops:
            names = sorted(set(self._names))
            left = [vm.name for vm in ops.list_vms() if vm.name in names]
            for name in sorted(set(left)):
                answer = ops.vm_deprovision({"vmName": name, "deleteUnowned": True})
                self.wait(ops, answer)
        for opened in self._opened:
            opened.close()

    def _count_calls(self) -> None:
        for call in _CALLS:
            for name, original in self._verbs(call):
                self._patch.setattr(self.backend_type, name, self._counted(call, original))

    def _verbs(self, call: str) -> list[tuple[str, Callable[..., Any]]]:
        """The methods that make such a call: for one VM, and for many where there is one."""
        found = ((name, getattr(self.backend_type, name, None)) for name in (call, f"{call}_many"))
        return [(name, method) for name, method in found if method is not None]

    def _counted(self, call: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            if getattr(self._inside, "call", None):  # a verb that is made of another is one call
                return original(*args, **kwargs)
            self.calls[call] += 1
            self._inside.call = call
            try:
                return original(*args, **kwargs)
            finally:
                self._inside.call = None

        return counted

    def _around(
        self,
        call: str,
        times: int,
        before: Callable[[], Exception] | None = None,
        after: Callable[[], Exception] | None = None,
    ) -> None:
        left = [times]

        def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
                left[0] -= 1
                if left[0] >= 0 and before is not None:
                    raise before()
                answer = original(*args, **kwargs)
                if call == "describe":
                    answer = list(answer)
                if left[0] >= 0 and after is not None:
                    raise after()
                return answer

            return wrapped

        for name, original in self._verbs(call):
            self._patch.setattr(self.backend_type, name, wrap(original))


def _taken(backend: Backend[Any, Any], call: Callable[[], object]) -> bool:
    """Whether the cloud took a call; what it raises otherwise must be the cloud's own answer."""
    try:
        call()
    except CloudError:
        return False
    except Exception as exc:
        if backend.explain(exc) is None:
            raise
        return False
    return True


class LabFixtures:
    """The fixtures of the kit; an author overrides `cloud`, and nothing else."""

    known_failures: Mapping[str, Known] = {}
    """Kit test -> why it is known to fail here; strict: the run fails when it passes."""
    overridden: Mapping[str, str] = {}
    """Kit test that the subclass redefines -> why; an override without a reason is refused."""

    @pytest.fixture
    def cloud(self) -> CloudUnderTest:
        """The cloud under test: override this."""
        raise NotImplementedError("override the fixture `cloud` of BackendConformance")

    @pytest.fixture
    def lab(
        self, cloud: CloudUnderTest, tmp_path: Path, request: pytest.FixtureRequest
    ) -> Iterator[Lab]:
        """The kit's tools over the cloud; every VM of the test is deleted after it."""
        if cloud.live and not request.config.getoption("--vmops-live"):
            pytest.skip("reaches a real cloud: run with --vmops-live")
        patch = pytest.MonkeyPatch()
        lab = Lab(cloud, tmp_path, patch)
        try:
            yield lab
        finally:
            lab.clean_up()

    @pytest.fixture
    def ops(self, lab: Lab) -> VMOps:
        """VMOps over the cloud, with a journal of its own."""
        return lab.open()
