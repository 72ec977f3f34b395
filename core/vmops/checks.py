"""What `vmops doctor` finds out, one check at a time; backends report theirs in the same form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vmops.backend import Fault

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

    @classmethod
    def asked(
        cls, name: str, ask: Callable[[], str], explain: Callable[[Exception], Fault | None]
    ) -> Check:
        """What the cloud's answer tells, or why there is none.

        Args:
            name: What is looked at.
            ask: Asks the cloud; returns what was found.
            explain: What an SDK's exception says, as `Backend.explain`.
        """
        try:
            return cls(name, ok=True, detail=ask())
        except Exception as exc:
            fault = explain(exc)
            if fault is None:
                raise
            return cls(name, ok=False, detail=fault.message, fix=fault.hint)
