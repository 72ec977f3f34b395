"""What is never told: user data, keys and credentials."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from vmops import Status

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl canary-key"
DATA = "#!/bin/sh\necho canary-data"
SECRET = "canary-secret-access-key"
TOKEN = "canary-session-token"
SPOTS = [b"canary", base64.b64encode(DATA.encode())[:-4], base64.b64encode(b"canary-data")[:-4]]


@pytest.fixture
def credentials(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that would be found wherever they are told, in the place of the stand-in's."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)


@pytest.fixture
def quiet_sdk() -> Iterator[None]:
    """The SDK's loggers as they are unless somebody wants to debug it."""
    loggers = [logging.getLogger(name) for name in ("boto3", "botocore", "urllib3")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.INFO)
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def _life(aws: Any, ops: Any) -> str:
    """All that the results of a VM's life say, and of one that is refused, as text."""
    params = aws.params(userData=DATA, sshPublicKey=KEY)
    answers = [ops.vm_provision(params)]
    answers.append(aws.end(ops, answers[0]))
    answers.append((Status.SUCCEEDED, repr(ops.describe({"vmName": "web-1"}))))
    answers.append(aws.end(ops, ops.vm_deprovision({**params})))
    aws.cloud.fault("RunInstances", code="InvalidParameterValue", status=400)
    answers.append(ops.vm_provision(params))
    errors = [repr(getattr(result, "error", None)) for _, result in answers]
    return f"{answers} {errors}"


@pytest.mark.usefixtures("credentials", "quiet_sdk")
def test_secrets_are_nowhere(
    aws: Any,
    ops: Any,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """User data, key and credentials are in no result, error, log, output or journal."""
    caplog.set_level(logging.DEBUG)
    told = _life(aws, ops) + caplog.text + "".join(capfd.readouterr())
    files = b"".join(file.read_bytes() for file in aws.journal.parent.glob("*"))
    assert len(files) > 1000
    for spot in SPOTS:
        assert spot not in told.encode()
        assert spot not in files


@pytest.mark.usefixtures("credentials")
def test_what_debugging_the_sdk_tells(aws: Any, ops: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever sets botocore to DEBUG sees user data and session token; the secret key never."""
    caplog.set_level(logging.DEBUG)
    _life(aws, ops)
    encoded = base64.b64encode(_sent(aws)).decode()
    botocore = "".join(r.getMessage() for r in caplog.records if r.name.startswith("botocore"))
    others = "".join(r.getMessage() for r in caplog.records if not r.name.startswith("botocore"))
    assert encoded in botocore
    assert TOKEN in botocore
    assert encoded not in others
    assert "canary" not in others
    assert SECRET not in botocore


def _sent(aws: Any) -> bytes:
    return base64.b64decode(aws.requests("RunInstances")[0]["UserData"])
