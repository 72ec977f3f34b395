"""The conformance kit on Azure: the real SDK over HTTP against the emulator of ARM."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from arm_cloud import ArmCloud

from vmops.testing import BackendConformance, CloudUnderTest
from vmops_azure.errors import CODES, NotArmError, SignInError


def _sample(code: str) -> Exception:
    """What azure-core raises for a code; or, where it raises without one, for what we call so."""
    from azure.core import exceptions as core

    made: dict[str, Callable[[], Exception]] = {
        "ConnectionLost": lambda: core.ServiceResponseError("cut"),
        "CredentialUnavailable": lambda: core.ClientAuthenticationError("no credentials"),
        "NotArm": lambda: NotArmError("no status"),
        "ParamValidation": lambda: core.SerializationError("no text"),
        "SignInFailed": lambda: SignInError("nobody answers"),
    }
    return made.get(code, lambda: _refusal(code))()


def _refusal(code: str) -> Exception:
    """An HttpResponseError as the SDK makes it of a response with this code."""
    from arm_answers import response
    from azure.core.exceptions import HttpResponseError
    from azure.mgmt.core.exceptions import ARMErrorFormat

    status, message = 409, "said"
    if code == "TooManyRequests":
        status = 429
    elif code.isdigit():
        return HttpResponseError(response=response(int(code), "<html>busy</html>"))
    elif code == "QuotaExceeded":
        code, message = "OperationNotAllowed", "exceeding approved Total Regional Cores quota"
    said = {"error": {"code": code, "message": message}}
    return HttpResponseError(response=response(status, said), error_format=ARMErrorFormat)


ERRORS = {code: partial(_sample, code) for code in CODES}


def under_test(config: dict[str, Any], **params: Any) -> CloudUnderTest:
    """The emulator, with an ordinary VM."""
    return CloudUnderTest(
        config=config,
        params=params,
        errors=ERRORS,
        sdk=("azure", "msal", "requests"),
        imports=ArmCloud.imports,
        secrets={
            "userData": {"userData": "#!/bin/sh\necho {canary}"},
            "adminPassword": {"adminPassword": "{canary}"},
        },
        timeout=30.0,
    )


class TestAzure(BackendConformance):
    """Operations with records, as ARM keeps them, polled by their URLs."""

    @pytest.fixture
    def cloud(self, config: dict[str, Any]) -> CloudUnderTest:
        return under_test(config)


@pytest.mark.slow
class TestAzureByState(BackendConformance):
    """Operations whose URLs lead elsewhere: all are judged by their VMs' states."""

    @pytest.fixture
    def cloud(self, config: dict[str, Any], arm: Any) -> CloudUnderTest:
        arm.settings(operation_host="https://management.example.com")
        return under_test(config)
