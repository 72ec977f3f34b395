"""What one list, one interrupt or one slow call must not lead to."""

from __future__ import annotations

import threading

import pytest
from pydantic import ValidationError

from vmops_libcloud.background import Background
from vmops_libcloud.lists import Shared
from vmops_libcloud.settings import LibcloudSettings


def test_an_interrupt_keeps_nobody_waiting() -> None:
    """Whoever asks after Ctrl-C gets an answer of his own."""
    answers = iter([KeyboardInterrupt(), "all"])

    def ask() -> str:
        answer = next(answers)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    shared = Shared(ask)
    with pytest.raises(KeyboardInterrupt):
        shared.fresh()
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(shared.fresh()), daemon=True)
    thread.start()
    thread.join(10)
    assert found == ["all"]


def test_a_call_that_goes_on_is_known() -> None:
    """While its thread is at work, and no longer."""
    gate, ended = threading.Event(), threading.Event()

    def call() -> dict[str, str]:
        gate.wait(10)
        ended.set()
        return {}

    background = Background(patience=0.01)
    handle = background.begin(call)
    assert background.is_running(handle)
    gate.set()
    assert ended.wait(10)
    while background.is_running(handle):
        ended.wait(0.01)
    assert background.failure(handle) is None
    assert not background.is_running({})


@pytest.mark.parametrize("region", ["evil.example/x", "a:80", "../b", ".a", "-a"])
def test_a_region_is_no_host(region: str) -> None:
    """Some drivers make it a part of a host's name."""
    with pytest.raises(ValidationError, match="region"):
        LibcloudSettings(provider="ovh", region=region)
    LibcloudSettings(provider="ovh", region="eu-west-1.b_2")
