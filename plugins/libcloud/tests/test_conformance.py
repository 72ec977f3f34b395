"""The conformance kit on OpenStack: libcloud's driver over HTTP against a real Nova."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from nova_cloud import NovaCloud

from vmops.testing import BackendConformance, CloudUnderTest
from vmops_libcloud.errors import CODES, CallError, SpoiltAnswerError
from vmops_libcloud.wire import Exchange


def _sample(code: str) -> Exception:
    """What a call raises for a code."""
    from libcloud.common.types import InvalidCredsError, LibcloudError
    from requests.exceptions import ConnectionError as ConnectionLost
    from requests.exceptions import SSLError

    refused = partial(_refusal, 403)
    made: dict[str, Callable[[], Exception]] = {
        "certificate": lambda: CallError(SSLError("certificate verify failed"), []),
        "connectionLost": lambda: CallError(ConnectionLost("cut"), []),
        "credentials": lambda: CallError(InvalidCredsError(), []),
        "noCapacity": lambda: refused("No valid host was found."),
        "notImplemented": lambda: CallError(NotImplementedError(), []),
        "outcomeUnknown": lambda: _refusal(404, "gone", [Exchange("POST", status=202)]),
        "quota": lambda: refused("Quota exceeded for instances"),
        "refused": lambda: CallError(LibcloudError("no such region"), []),
        "spoiltAnswer": lambda: SpoiltAnswerError("no id"),
    }
    return made.get(code, lambda: _refusal(int(code), "said"))()


def _refusal(status: int, said: str, before: list[Exchange] | None = None) -> CallError:
    """An answer with a status, as libcloud raises it."""
    from libcloud.common.exceptions import exception_from_message

    seen = [*(before or []), Exchange("POST", status=status)]
    return CallError(exception_from_message(status, f"{status} {said}"), seen)


def under_test(config: dict[str, Any]) -> CloudUnderTest:
    """Nova, with its smallest flavor."""
    return CloudUnderTest(
        config=config,
        params={"vmSize": NovaCloud.size, "image": NovaCloud.image},
        errors={code: partial(_sample, code) for code in CODES},
        sdk=("libcloud", "requests"),
        imports=NovaCloud.imports,
        secrets={
            "user_data": {"userData": "#!/bin/sh\necho {canary}"},
            "ex": {"ex_admin_pass": "{canary}"},
        },
        timeout=30.0,
    )


class TestLibcloud(BackendConformance):
    """OpenStack's Nova."""

    @pytest.fixture
    def cloud(self, config: dict[str, Any]) -> CloudUnderTest:
        return under_test(config)
