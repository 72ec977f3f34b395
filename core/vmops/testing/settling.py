"""What comes after a crash: recovery to its end, and patience; child processes import it, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from vmops.durable_journal import DurableJournal
from vmops.facade import VMOps
from vmops.recovery import Recovery
from vmops.store import SqlStore

__all__ = ["eventually", "recover_to_the_end"]

T = TypeVar("T")

_PAUSE: Final = 0.05  # seconds between two looks


def eventually(look: Callable[[], T], wanted: Callable[[T], bool], timeout: float) -> T:
    """What a look shows when it is as wanted, or after `timeout` seconds whatever it shows."""
    give_up = time.monotonic() + timeout
    while True:
        seen = look()
        if wanted(seen) or time.monotonic() >= give_up:
            return seen
        time.sleep(_PAUSE)


def recover_to_the_end(
    config: Mapping[str, Any], journal: Path | str, timeout: float
) -> list[Recovery]:
    """All that recovery found, in passes until nothing is left for later.

    Args:
        config: For VMOps.
        journal: The journal's file.
        timeout: Seconds after which what is left is left; 0 for one pass.
    """
    found: list[Recovery] = []

    def one_pass() -> bool:
        recovered = ops.recover()
        found.extend(recovered)
        for item in recovered:
            if item.url:
                ops.wait_vm_operation({"asyncResultsUrl": item.url, "pollTimeout": timeout})
        return not any(item.until for item in recovered)

    # without a lease of its own no pass has to wait for the end of the one before
    durable = DurableJournal(SqlStore(journal), lease=0.0)
    with VMOps(config, journal=durable) as ops:
        eventually(one_pass, bool, timeout)
    durable.close()
    return found
