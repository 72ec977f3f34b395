"""What `vmops doctor` finds out, one check at a time; backends report theirs in the same form."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Check"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    A backend may have a classmethod `doctor(cls, settings) -> Iterable[Check]`. It asks nothing of
    a cloud that costs money or changes anything, and reports what it meets instead of raising.

    Args:
        name: What was looked at, in a word or two.
        ok: Whether it is as it should be.
        detail: What was found: a version, a path, a reason.
        fix: The line to run, or what to change, where it is not ok.
        needed: Whether the backend cannot work without it; if not, it is only worth knowing.
    """

    name: str
    ok: bool
    detail: str = ""
    fix: str = ""
    needed: bool = True
