"""Scripts on VMs over SSH, resumable by URL (`pip install 'vmops[ssh]'`)."""

from __future__ import annotations

from vmops.remote.remote import Login, Remote
from vmops.remote.run import Finished, Run

__all__ = ["Finished", "Login", "Remote", "Run"]
