"""Secrets reach GCE and nobody else: no log, no result, no URL, no journal, no traceback."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from vmops import Status, VMOps

CANARY = "c4n4ry"


def test_what_is_told_of_a_create(
    gcp: Any, ops: VMOps, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """User data, metadata and token, at every level of our own loggers and of Google's."""
    caplog.set_level(logging.DEBUG)
    google = logging.getLogger("google")  # which hands nothing on to others
    google.addHandler(caplog.handler)
    monkeypatch.setattr(google, "level", logging.DEBUG)
    secrets = {
        "userData": f"#!/bin/sh\n{CANARY}",
        "metadata": {"startup-script": f"echo {CANARY}"},
    }
    status, pending = ops.vm_provision(gcp.params(**secrets))
    done = gcp.wait(ops, (status, pending))
    google.removeHandler(caplog.handler)
    logged = "\n".join(str(record.__dict__) for record in caplog.records)
    told = "\n".join([logged, str(pending), str(done), pending["asyncResultsUrl"]])
    told += gcp.journal.read_bytes().decode("latin-1")
    assert CANARY not in told
    assert gcp.cloud.token() not in told
    (made,) = gcp.calls("instances.insert")
    sent = {item["key"]: item["value"] for item in made["body"]["metadata"]["items"]}
    assert sent == {"user-data": secrets["userData"], "startup-script": f"echo {CANARY}"}


def test_the_token_goes_to_the_endpoint_alone(gcp: Any, proxy: Any) -> None:
    """A redirect is not followed, wherever it leads."""
    from fault_proxy import Answer

    elsewhere = Answer(307, b"", (("Location", "https://evil.example.com/x"),))
    proxy.add("status", method="GET", path="/instances/web-1", answer=elsewhere)
    ops = gcp.open()
    status, result = ops.vm_provision(gcp.params())
    assert status is Status.PENDING, result.error
    assert len(proxy.log(method="GET", path="/instances/web-1")) == 2


def test_a_netrc_does_not_replace_the_token(
    gcp: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither does a password in it reach GCE, nor are requests refused for it."""
    (tmp_path / "netrc").write_text("default login bob password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    gcp.up(gcp.open())
    assert {call["status"] for call in gcp.cloud.calls()} & {401} == set()
