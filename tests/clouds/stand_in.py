"""The tests' side of a stand-in cloud: a server process, and the tests' own calls to it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, ClassVar, Self
from urllib.error import HTTPError
from urllib.request import Request, urlopen

__all__ = ["StandIn", "StandInWithTokens"]


class StandIn:
    """A cloud in a process of its own, which ends with this one.

    Keyword arguments are the settings that hold at the start and after each `reset()`: see class
    Settings in the `world.py` beside its server.
    """

    server: ClassVar[Path]
    python: ClassVar[str] = sys.executable

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self.endpoint = ""

    def __enter__(self) -> Self:
        """Returns when it answers."""
        self._stderr = TemporaryFile()
        chosen = [f"--set={name}={json.dumps(value)}" for name, value in self._settings.items()]
        self._process = subprocess.Popen(
            [self.python, str(self.server), "--port", "0", "--with-stdin", *chosen],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        assert self._process.stdout is not None
        self.endpoint = self._process.stdout.readline().strip()
        if not self.endpoint:
            self.__exit__()
            raise RuntimeError(f"{self.server} did not start:\n{self._said}")
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the server."""
        for client in self.clients():
            client.close()
        self._process.kill()
        # closes the pipes, too
        self._process.communicate()
        self._said = self.stderr()
        self._stderr.close()

    def clients(self) -> list[Any]:
        """What is to be closed with the server."""
        return []

    def stderr(self) -> str:
        """What went wrong inside: a gap in the stand-in leaves its stack here."""
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace")

    def settings(self, **changes: Any) -> dict[str, Any]:
        """All settings, after these changes; they hold for what begins from now on."""
        found: dict[str, Any] = self._ask("settings", changes)
        return found

    def advance(self, seconds: float) -> None:
        """Moves the cloud's clock, Date headers and all that waits for it."""
        self._ask("advance", {"seconds": seconds})

    def reset(self) -> None:
        """Forgets all that exists, faults, calls and changed settings: new, at the same URL."""
        self._ask("reset", {})

    def _ask(self, what: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.endpoint}/vmops/{what}", data)  # noqa: S310  (our own server)
        try:
            with urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.load(answer)
        except HTTPError as exc:
            with exc:
                raise ValueError(exc.read().decode()) from None


class StandInWithTokens(StandIn):
    """A stand-in that wants a bearer token with each request, and speaks JSON."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._token = ""

    def token(self) -> str:
        """An access token."""
        raise NotImplementedError

    def call(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of the answer to one request."""
        self._token = self._token or self.token()
        data = None if body is None else json.dumps(body).encode()
        own = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        asked = Request(f"{self.endpoint}{path}", data, {**own, **headers}, method=method)  # noqa: S310
        try:
            answer = urlopen(asked, timeout=150)  # noqa: S310
        except HTTPError as exc:
            answer = exc
        with answer:
            content = answer.read()
            found = {key.lower(): value for key, value in answer.headers.items()}
            return answer.status, found, json.loads(content) if content else None

    def fault(self, **fault: Any) -> None:
        """Some of the next requests or operations go wrong: see class Fault beside its server.

        cloud.fault(method="POST", path="/start", drop=True, after=True)
        cloud.fault(operation="start", code="SomeError")
        """
        self._ask("faults", fault)

    def expire_tokens(self) -> None:
        """From now on all tokens that were given are refused."""
        self._ask("expire", {})
        self._token = ""

    def reset(self) -> None:
        """The same, and its tokens are forgotten, too."""
        super().reset()
        self._token = ""

    def calls(self) -> list[dict[str, Any]]:
        """What was asked since the start or the last reset, in that order.

        Only what was answered; a status of 0 is a connection that a fault has cut.
        """
        found: list[dict[str, Any]] = self._ask("calls")
        return [call for call in found if call["status"] is not None]

    def resources(self) -> list[str]:
        """The ids or paths of all that exists."""
        found: list[str] = self._ask("resources")
        return found
