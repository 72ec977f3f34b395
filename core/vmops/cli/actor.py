"""Another process of the demo: a `vmops` command that speaks JSON lines, and may be killed."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import Any, Self

from vmops.errors import VMOpsError

__all__ = ["Actor", "ActorFailed"]


class ActorFailed(VMOpsError):  # noqa: N818
    """Another process of the demo did not do its part."""


class Actor:
    """A child process `python -m vmops ARGUMENTS`, in a session of its own.

    Args:
        arguments: What comes after `vmops`; must include `--json`.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        """Start it."""
        self._arguments = list(arguments)
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the actor)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        # a session of its own: Ctrl-C is for the demo, which then ends its children itself
        self._process = subprocess.Popen(  # noqa: S603  (this very program)
            [sys.executable, "-m", "vmops", *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        """Use as a context manager: it does not outlive the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it, if it runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        self._stderr.close()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def hear(self, timeout: float) -> dict[str, Any]:
        """The next thing it says.

        Raises:
            ActorFailed: It ended instead, or said nothing within `timeout` seconds.
        """
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise ActorFailed(f"{self._name} said nothing for {timeout:g} s") from None
        if not line:
            raise ActorFailed(f"{self._name} ended: {self._last_words()}")
        said: dict[str, Any] = json.loads(line)
        if "vm" not in said:
            error = said.get("error") or {}
            raise ActorFailed(f"{self._name}: {error.get('message', said)}")
        return said

    def kill(self) -> list[dict[str, Any]]:
        """SIGKILL it, and return what it had said that nobody had heard.

        Raises:
            ActorFailed: It had ended by itself before.
        """
        os.kill(self.pid, signal.SIGKILL)
        code = self._process.wait()
        if code != -signal.SIGKILL:
            raise ActorFailed(f"{self._name} ended by itself, with exit code {code}")
        self._reader.join()
        said: list[dict[str, Any]] = []
        while not self._lines.empty():
            line = self._lines.get()
            if line.endswith(b"\n"):
                said.append(json.loads(line))
        return said

    @property
    def _name(self) -> str:
        return f"`vmops {self._arguments[0]}` (process {self.pid})"

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)
        self._lines.put(b"")

    def _last_words(self) -> str:
        self._process.wait()
        self._stderr.seek(0)
        text = self._stderr.read().decode(errors="replace").strip()
        return text[-500:] or f"exit code {self._process.returncode}"
