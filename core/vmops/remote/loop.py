"""An event loop in a thread of its own, for callers that are not asynchronous."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from typing import Any, Final, TypeVar

__all__ = ["Loop"]

T = TypeVar("T")

_PATIENCE: Final = 2.0
"""Seconds that the end of the program waits for the loop's."""


class Loop:
    """Runs coroutines one thread waits for, all in one daemon thread, begun at once."""

    def __init__(self) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="vmops-remote", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns; it is cancelled if the caller is interrupted.

        Raises:
            RuntimeError: The loop was stopped.
        """
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise
        try:
            return future.result()
        except CancelledError:
            raise RuntimeError("the event loop was stopped") from None
        except BaseException:
            future.cancel()
            raise

    def stop(self, last: Coroutine[Any, Any, None]) -> None:
        """Run one last coroutine, cancel what runs still, and end the thread."""
        if self._thread is threading.current_thread():  # a garbage collection within it
            last.close()
            self._loop.stop()
            return
        future = asyncio.run_coroutine_threadsafe(last, self._loop)
        with contextlib.suppress(TimeoutError, CancelledError):
            future.result(_PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(_cancel_all())
            self._loop.close()


async def _cancel_all() -> None:
    """Cancel all other tasks, those included that were asked for just now."""
    await asyncio.sleep(0)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
