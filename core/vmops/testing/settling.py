"""What a process does that comes after a crash; child processes of the kit import it, too."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmops.durable_journal import DurableJournal
from vmops.facade import VMOps
from vmops.recovery import Recovery
from vmops.store import SqlStore

__all__ = ["recover_to_the_end"]

_PAUSE = 0.05  # seconds between two passes, while the cloud has not shown yet what it did


def recover_to_the_end(
    config: Mapping[str, Any], journal: Path | str, timeout: float
) -> list[Recovery]:
    """All that recovery found, in passes until nothing is left for later.

    Args:
        config: For VMOps.
        journal: The journal's file.
        timeout: Seconds after which what is left is left; 0 for one pass.
    """
    store = SqlStore(journal)
    found: list[Recovery] = []
    give_up = time.monotonic() + timeout
    # without a lease of its own no pass has to wait for the end of the one before
    with VMOps(config, journal=DurableJournal(store, lease=0.0)) as ops:
        while True:
            one = ops.recover()
            found += one
            for item in one:
                if item.url:
                    ops.wait_vm_operation({"asyncResultsUrl": item.url, "pollTimeout": timeout})
            if time.monotonic() > give_up or not any(item.until for item in one):
                break
            time.sleep(_PAUSE)
    store.close()
    return found
