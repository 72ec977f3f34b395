"""A real SSH server on loopback whose commands are real processes in a home of their own.

Unlike OpenSSH it is mean: a connection that ends takes its commands' processes with it. Before it
stands a wire that can be cut after so many bytes, or carry nothing at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import asyncssh


def host_key(kind: str = "ssh-ed25519") -> asyncssh.SSHKey:
    """A fresh one."""
    return asyncssh.generate_private_key(kind)


class Sshd:
    """The server, in a thread of its own.

    What a test sets: `admits` (whether the user's right key is taken now), `sessions` (the most
    per connection), `cuts` (for each connection to come: bytes towards the server, bytes towards
    the client, after which it is cut; None is never), `mute` (so many connections to come are never
    greeted), `swallow` (so many commands to come are carried out, and then nothing is said, neither
    about them nor to anybody any more). `carried` counts bytes in both directions.
    """

    def __init__(self, home: Path, public_key: asyncssh.SSHKey) -> None:
        self.home = home
        self.admits: Callable[[], bool] = lambda: True
        self.sessions = 1000
        self.cuts: list[tuple[int | None, int | None]] = []
        self.mute = self.swallow = 0
        self.carried = [0, 0]
        self.more_keys: list[asyncssh.SSHKey] = []
        self.connections = 0
        self.commands: list[str] = []
        self.wires: set[_Wire] = set()
        self.key = host_key()
        self.user_key = public_key
        self.environment = {"HOME": str(home), "PATH": os.environ["PATH"]}
        self.shell = "/bin/sh"
        self.banner = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._inner: Any = None
        self.do(self.restart())
        self._outer: Any = self.do(asyncio.start_server(self._wire, "127.0.0.1", 0))
        self.port: int = self._outer.sockets[0].getsockname()[1]

    def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine returns that the server's loop runs."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def restart(self) -> None:
        """Begin to answer, with the present key."""
        if self._inner is not None:
            self._inner.close()
        self._inner = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: _Server(self),
            server_host_keys=[self.key, *self.more_keys],
            encoding=None,
            line_editor=False,
        )

    def cut(self) -> None:
        """Cut all connections there are."""
        self.do(self._cut())

    async def _cut(self) -> None:
        for wire in list(self.wires):
            wire.cut()

    def close(self) -> None:
        """End everything."""
        self.do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._outer.close()
        self._inner.close()
        await self._cut()
        await self._inner.wait_closed()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait([*others, asyncio.ensure_future(asyncio.sleep(0))], timeout=5)

    async def _wire(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        up, down = self.cuts.pop(0) if self.cuts else (None, None)
        wire = _Wire(writer)
        self.wires.add(wire)
        try:
            if self.mute > 0:
                self.mute -= 1
                await reader.read()
                return
            there, back = await asyncio.open_connection("127.0.0.1", self._inner.get_port())
            wire.ends.append(back)
            await asyncio.gather(
                wire.carry(reader, back, up, self._count(0)),
                wire.carry(there, writer, down, self._count(1)),
            )
        finally:
            wire.cut()
            self.wires.discard(wire)

    def _count(self, direction: int) -> Callable[[int], None]:
        def count(size: int) -> None:
            self.carried[direction] += size

        return count

    async def process(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        command = process.command or ""
        self.commands.append(command)
        if self.banner:
            command = f"{self.banner}\n{command}"
        child = await asyncio.create_subprocess_exec(
            self.shell,
            "-c",
            command,
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert child.stdin
        assert child.stdout
        assert child.stderr
        feed = asyncio.ensure_future(_feed(process, child.stdin))
        gone = asyncio.ensure_future(process.wait_closed())
        if self.swallow:
            self.swallow -= 1
            await child.stdout.read()
            self.mute = 1000
            await self._cut()
        told = asyncio.gather(
            _tell(child.stdout, process.stdout), _tell(child.stderr, process.stderr)
        )
        await asyncio.wait([gone, told], return_when=asyncio.FIRST_COMPLETED)
        if not told.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        status = await child.wait()
        for task in (feed, gone, told):
            task.cancel()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await told
        process.exit(status if status >= 0 else 128 - status)


class _Server(asyncssh.SSHServer):
    def __init__(self, sshd: Sshd) -> None:
        self._sshd = sshd
        self._sessions = 0

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == "me" and key == self._sshd.user_key and self._sshd.admits()

    def session_requested(self) -> Any:
        self._sessions += 1
        room = self._sessions <= self._sshd.sessions
        return room and asyncssh.SSHServerProcess(self._sshd.process, None, 3, False)


class _Wire:
    def __init__(self, end: asyncio.StreamWriter) -> None:
        self.ends = [end]

    def cut(self) -> None:
        for end in self.ends:
            end.transport.abort()

    async def carry(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        most: int | None,
        count: Callable[[int], None],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(1 << 16):
                count(len(data))
                if most is not None:
                    data, most = data[:most], most - len(data)
                sink.write(data)
                await sink.drain()
                if most is not None and most <= 0:
                    self.cut()
        with contextlib.suppress(OSError):
            sink.write_eof()


async def _feed(process: Any, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await process.stdin.read(1 << 16):
            sink.write(data)
            await sink.drain()
    sink.close()


async def _tell(source: asyncio.StreamReader, sink: Any) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
