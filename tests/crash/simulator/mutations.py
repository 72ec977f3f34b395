"""The real protocol with one safety element taken out, each at one place."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import pytest

from simulator.nova import Nova
from simulator.world import Cloud
from vmops import Target, durable_journal, reaping
from vmops.operation import Action
from vmops.reaping import Reaper, Reason
from vmops.recovery import Recoverer
from vmops.sending import Sender
from vmops.submission import Submitter

__all__ = [
    "without_caution",
    "without_fence",
    "without_horizon",
    "without_look",
    "without_pause",
    "without_reaper",
    "without_recovery",
    "without_restraint",
    "without_singling_out",
    "without_surplus",
    "without_tags",
    "without_token",
]


def without_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt of a verb has a token of its own, as SDKs make them."""
    sending = Sender._repeated

    def with_another_token(
        self: Sender, action: Action, call: Any, *rest: Any, **options: Any
    ) -> Any:
        def send() -> Any:
            targets, _, *mode = call.args
            return call.func(targets, secrets.token_hex(16), *mode)

        return sending(self, action, send, *rest, **options)

    monkeypatch.setattr(Sender, "_repeated", with_another_token)


def without_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but its name is written on a VM."""
    target = Submitter._target

    def untagged(self: Submitter, *arguments: Any) -> Target[Any]:
        tagged = target(self, *arguments)
        return replace(tagged, tags=tagged.tags and replace(tagged.tags, owner="", token=""))

    monkeypatch.setattr(Submitter, "_target", untagged)


def without_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not shown is believed not to be there, however young."""
    for cloud in (Cloud, Nova):
        monkeypatch.setattr(cloud, "horizon", 0.0)


def without_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever wakes up late writes what it knows."""
    monkeypatch.setattr(durable_journal, "_fenced", lambda held, known: False)


def without_reaper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks for VMs that the journal has done with."""
    monkeypatch.setattr(Reaper, "reap", lambda self, **_: [])


def without_caution(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the journal does not know of is deleted, though the journal may be an old one."""
    judge = Reaper._reason

    def judged(self: Reaper, *arguments: Any) -> Reason | None:
        reason = judge(self, *arguments)
        return Reason.FINISHED if reason is Reason.UNRECORDED else reason

    monkeypatch.setattr(Reaper, "_reason", judged)


def without_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody finishes what the dead began."""
    monkeypatch.setattr(Recoverer, "recover", lambda self: [])


def without_restraint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reboot that got no answer is asked for again, as every other verb is."""
    sending = Sender._repeated

    def repeating(self: Sender, action: Action, *rest: Any, **options: Any) -> Any:
        repeated = Action.START if action is Action.RESTART else action
        return sending(self, repeated, *rest, **options)

    monkeypatch.setattr(Sender, "_repeated", repeating)


def without_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A create that got no answer is sent again at once, though it may make a second VM."""
    monkeypatch.setattr(Nova, "creates_once", True)


def without_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend without idempotency sends each create that it is asked for."""
    monkeypatch.setattr(Nova, "_made_with", lambda self, token: [])


def without_surplus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion leaves what else the same create has made."""
    monkeypatch.setattr(Nova, "_surplus", lambda self, vm: [])


def without_singling_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reaping a VM that is too much takes along whatever has the same token."""
    monkeypatch.setattr(reaping, "Target", lambda vm, params, **_: Target(vm, params))
