"""What one list, one interrupt or one slow call must not lead to."""

from __future__ import annotations

import threading

import pytest

from vmops_libcloud.background import Background
from vmops_libcloud.lists import Shared


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
    failures: list[Exception] = []

    def call() -> dict[str, str]:
        gate.wait(10)
        ended.set()
        return {}

    background = Background(failures.append, patience=0.01)
    handle = background.begin(call)
    assert background.is_running(handle)
    gate.set()
    assert ended.wait(10)
    while background.is_running(handle):
        ended.wait(0.01)
    assert background.failure(handle) is None
    assert not background.is_running({})
    assert failures == []
