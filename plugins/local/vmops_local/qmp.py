"""Talking to QEMU: one short connection per exchange, bounded in time, by the qemu.qmp library."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from vmops.errors import Unavailable

__all__ = ["SOCKET", "ask", "open_folder"]

SOCKET: Final = "qmp.sock"
Command = tuple[str, dict[str, Any]]


@contextlib.contextmanager
def open_folder(folder: Path) -> Any:  # noqa: ANN401  (a generator that contextlib wraps)
    """A short path to the folder, however long its own: socket paths end at 108 bytes."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        short = f"/proc/self/fd/{descriptor}"
        yield short if os.path.isdir(short) else str(folder)  # noqa: PTH112  (not on macOS)
    finally:
        os.close(descriptor)


def ask(folder: Path, commands: Sequence[Command] = (), timeout: float = 10.0) -> list[Any]:
    """What QEMU answers to some commands; with none, returns as soon as QEMU greets.

    Args:
        folder: The VM's folder, which holds the socket.
        commands: Names and arguments.
        timeout: Seconds for the whole exchange.

    Raises:
        Unavailable: QEMU does not answer, or not in time, or refuses a command.
    """
    with open_folder(folder) as short:
        coroutine = asyncio.wait_for(_exchange(f"{short}/{SOCKET}", commands), timeout)
        try:
            answers: list[Any] = _run(coroutine)
        except (TimeoutError, OSError, EOFError, _qmp_error()) as exc:
            message = f"QEMU of {folder.name!r} gave no answer ({type(exc).__name__}: {exc})"
            raise Unavailable(message, provider_code="QmpNoAnswer") from exc
        return answers


async def _exchange(path: str, commands: Sequence[Command]) -> list[Any]:
    from qemu.qmp import QMPClient

    client = QMPClient("vmops")
    await client.connect(path)
    try:
        return [await client.execute(name, arguments) for name, arguments in commands]
    finally:
        with contextlib.suppress(EOFError, OSError, _qmp_error()):
            await client.disconnect()  # after `quit`, it finds the other end gone


def _qmp_error() -> type[Exception]:
    from qemu.qmp import QMPError

    return QMPError


def _run(coroutine: Any) -> Any:  # noqa: ANN401  (asyncio's own signature is as wide)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # called from inside somebody's event loop, where asyncio.run is not allowed
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
