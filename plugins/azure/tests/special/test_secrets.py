"""Secrets reach ARM and nobody else: no log, no result, no URL, no journal, no traceback."""

from __future__ import annotations

import base64
import logging
from pathlib import Path
from typing import Any

import pytest

from vmops import Operation, Status, VMOps

CANARY = "c4n4ry"


def test_what_is_told_of_a_create(azure: Any, ops: VMOps, caplog: pytest.LogCaptureFixture) -> None:
    """User data, password and token, at every level of our own loggers and of azure's."""
    caplog.set_level(logging.DEBUG)
    secrets = {"userData": f"#!/bin/sh\n{CANARY}", "adminPassword": f"Pa55-{CANARY}"}
    status, pending = ops.vm_provision(azure.params(**secrets))
    done = azure.wait(ops, (status, pending))
    encoded = base64.b64encode(secrets["userData"].encode()).decode()
    told = "\n".join([caplog.text, str(pending), str(done), pending["asyncResultsUrl"]])
    told += azure.journal.read_bytes().decode("latin-1")
    for secret in (CANARY, encoded):
        assert secret not in told
    (made,) = [c for c in azure.cloud.calls() if c["action"] == "PUT virtualMachines"]
    assert made["body"]["properties"]["osProfile"]["adminPassword"] == secrets["adminPassword"]
    assert made["body"]["properties"]["osProfile"]["customData"] == encoded


def test_the_signature_of_an_operation_is_in_its_url_alone(
    azure: Any, ops: VMOps, caplog: pytest.LogCaptureFixture
) -> None:
    """Our own loggers and reprs do not tell it; urllib3 at DEBUG does, as it logs each path."""
    caplog.set_level(logging.DEBUG)
    _, pending = ops.vm_provision(azure.params())
    azure.wait(ops, (Status.PENDING, pending))
    operation = Operation.from_url(pending["asyncResultsUrl"])
    signature = operation.handle["operation"].partition("&s=")[2][:20]
    assert len(signature) == 20
    ours = [r for r in caplog.records if not r.name.startswith("urllib3")]
    assert signature not in "\n".join(r.getMessage() for r in ours)
    assert signature not in repr(operation)


def test_the_token_goes_to_the_endpoint_alone(azure: Any, proxy: Any) -> None:
    """A redirect is not followed, wherever it leads."""
    from fault_proxy import Answer

    elsewhere = Answer(307, b"", (("Location", "https://evil.example.com/x"), ("x-ms-x", "1")))
    proxy.add("status", method="GET", path="/virtualMachines/web-1", answer=elsewhere)
    ops = azure.open()
    status, result = ops.vm_provision(azure.params())
    assert status is Status.PENDING, result.error
    assert len(proxy.log(method="GET", path=r"/virtualMachines/web-1\?")) == 2


def test_a_netrc_does_not_replace_the_token(
    azure: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither does a password in it reach ARM, nor are requests refused for it."""
    (tmp_path / "netrc").write_text("default login bob password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    azure.up(azure.open())
    assert {call["status"] for call in azure.cloud.calls()} & {401} == set()
