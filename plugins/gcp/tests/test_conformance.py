"""The conformance kit on GCE: the real SDK over HTTP against the emulator."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from gce_cloud import GceCloud

from vmops.testing import BackendConformance, CloudUnderTest
from vmops_gcp.errors import CODES, NotGceError


def _sample(code: str) -> Exception:
    """What Google's libraries raise for a code; or, where it has none, for what we call so."""
    from google.auth.exceptions import DefaultCredentialsError, TransportError
    from requests.exceptions import ConnectionError as ConnectionLost

    made: dict[str, Callable[[], Exception]] = {
        "connectionLost": lambda: ConnectionLost("cut"),
        "credentialUnavailable": lambda: DefaultCredentialsError("no credentials"),
        "notGce": lambda: NotGceError("no status"),
        "signInFailed": lambda: TransportError("nobody answers"),
    }
    return made.get(code, lambda: _refusal(code))()


def _refusal(code: str) -> Exception:
    """A GoogleAPICallError as the SDK makes it of an answer with this reason."""
    from gce_answers import refusal

    status = 503 if code in {"backendError", "internalError", "unavailable"} else 403
    return refusal(status, code)


ERRORS = {code: partial(_sample, code) for code in CODES}


def under_test(config: dict[str, Any], **params: Any) -> CloudUnderTest:
    """The emulator, with an ordinary VM."""
    return CloudUnderTest(
        config=config,
        params=params,
        errors=ERRORS,
        sdk=("google", "requests"),
        imports=GceCloud.imports,
        secrets={
            "userData": {"userData": "#!/bin/sh\necho {canary}"},
            "metadata": {"metadata": {"startup-script": "echo {canary}"}},
        },
        timeout=30.0,
    )


class TestGcp(BackendConformance):
    """Operations with records, as GCE keeps them, waited for by GCE itself."""

    @pytest.fixture
    def cloud(self, config: dict[str, Any]) -> CloudUnderTest:
        return under_test(config)


@pytest.mark.slow
class TestGcpByState(BackendConformance):
    """Operations that GCE has forgotten at once: all are judged by their VMs' states."""

    @pytest.fixture
    def cloud(self, config: dict[str, Any], gce: Any) -> CloudUnderTest:
        gce.settings(operation_lifetime=0.0)
        return under_test(config)


@pytest.mark.slow
class TestGcpWithLists(BackendConformance):
    """Operations that are looked for in lists, as if there were many of them."""

    @pytest.fixture
    def cloud(self, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> CloudUnderTest:
        monkeypatch.setattr("vmops_gcp.held.MOST", 0)
        monkeypatch.setattr("vmops_gcp.waiting.MOST", 0)
        monkeypatch.setattr("vmops_gcp.waiting._LISTS", (0.05, 0.1))
        return under_test(config)
