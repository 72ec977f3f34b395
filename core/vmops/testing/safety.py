"""Rules of safety: bad input, strangers' VMs, strangers' URLs, secrets."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from vmops.errors import Conflict, InvalidParams, InvalidURL
from vmops.facade import VMOps
from vmops.operation import Operation
from vmops.params import secret_fields
from vmops.protocol import Status
from vmops.testing.lab import Lab
from vmops.vm import State

__all__ = ["SafetyRules"]

_HOSTILE = {
    "path": "../x",
    "comma": "a,b",
    "option": "-x",
    "newline": "ok\n",
    "long": "x" * 300,
    "look-alike": "w\u0435b-1",  # a Cyrillic letter
    "empty": "",
    "slash": "a/b",
    "null": "a\0b",
}
_CANARY = "canary-7f3a9c"


class SafetyRules:
    """What is refused before any call, and what is never told."""

    @pytest.mark.parametrize("verb", ["vm_provision", "vm_start", "vm_deprovision"])
    @pytest.mark.parametrize("name", _HOSTILE.values(), ids=_HOSTILE)
    def test_hostile_names(self, lab: Lab, ops: VMOps, verb: str, name: str) -> None:
        """A name that could be a path, an option or a second line never reaches the cloud."""
        with pytest.raises(InvalidParams, match="vmName"):
            getattr(ops, verb)({**lab.cloud.params, "vmName": name})
        assert not lab.calls

    def test_bad_params(self, lab: Lab, ops: VMOps) -> None:
        """Unknown params and wrong types are refused together, before any call."""
        bad = {"vmNmae": "x", "pollTimeout": "soon", "stopMode": "sideways"}
        with pytest.raises(InvalidParams) as caught:
            ops.vm_provision({**lab.params(), **bad})
        assert {problem.param for problem in caught.value.problems} >= set(bad)
        assert not lab.calls

    def test_local_settings_are_not_params(self, lab: Lab, ops: VMOps) -> None:
        """What may redirect (endpoints, paths, credentials) is never taken from params."""
        from vmops.params import LocalOnly

        fields = lab.backend_type.settings_type.model_fields
        local = [f.alias or name for name, f in fields.items() if LocalOnly in f.metadata]
        for field in local:
            with pytest.raises(InvalidParams, match=field):
                ops.vm_provision({**lab.params(), field: "/elsewhere"})
        assert not lab.calls

    def test_url_of_another_account(self, lab: Lab, ops: VMOps) -> None:
        """A URL that names another account is refused, whatever else it says."""
        _, pending = ops.vm_provision(lab.params())
        operation = Operation.from_url(pending["asyncResultsUrl"])
        forged = replace(operation, account="someone-else").to_url()
        with pytest.raises(InvalidURL, match="account"):
            ops.wait_vm_operation({"asyncResultsUrl": forged})

    def test_url_of_a_hostile_name(self, lab: Lab, ops: VMOps) -> None:
        """A forged URL cannot bring in a name that params could not."""
        _, pending = ops.vm_provision(lab.params())
        operation = Operation.from_url(pending["asyncResultsUrl"])
        for name in ("../x", "a,b", "-x"):
            forged = replace(operation, vm=name, handle={}).to_url()
            with pytest.raises(InvalidURL):
                ops.wait_vm_operation({"asyncResultsUrl": forged})

    def test_foreign_vm_is_left_alone(self, lab: Lab, ops: VMOps, tmp_path: Path) -> None:
        """Another install's VM is neither provisioned over nor deleted, unless asked explicitly."""
        other = lab.open(journal=tmp_path / "other" / "journal.db")
        params = lab.in_state(other, State.RUNNING)
        for answer in (
            ops.vm_provision({**lab.cloud.params, **params}),
            ops.vm_deprovision(params),
        ):
            assert answer[0] is Status.FAILED
            assert isinstance(answer[1].error, Conflict)
        assert lab.alive(ops, params["vmName"]) == [params["vmName"]]
        lab.wait(ops, ops.vm_deprovision({**params, "deleteUnowned": True}))
        assert lab.alive(ops, params["vmName"]) == []

    def test_secrets_are_never_told(
        self,
        lab: Lab,
        ops: VMOps,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """A secret param is in no result, URL, log, error or journal."""
        fields = secret_fields(lab.backend_type.params_type)
        if not fields:
            pytest.skip("the backend's params have no secret field")
        caplog.set_level(logging.DEBUG)
        for field in fields:
            given = lab.cloud.secrets.get(field, {field: "{canary}"})
            text = json.dumps(given).replace("{canary}", _CANARY)
            told = [str(self._try(ops, {**lab.params(), **json.loads(text)}))]
            told += [caplog.text, *capfd.readouterr()]
            told += [file.read_bytes().decode("latin-1") for file in lab.journal.parent.glob("*")]
            assert not [line for line in told if _CANARY in line], field

    @staticmethod
    def _try(ops: VMOps, params: dict[str, object]) -> object:
        try:
            answer = ops.vm_provision(params)
        except InvalidParams as exc:
            return exc
        return answer, repr(answer[1].error)
