"""What the simulated cloud's API raises, as an SDK would."""

from __future__ import annotations

__all__ = ["SimError"]


class SimError(Exception):
    """A refusal by the simulated cloud, or an answer that never arrived.

    Args:
        code: The cloud's error code, such as `Throttling`; `ConnectionLost` is a lost answer.
        message: Its words.
        retry_after: Seconds it asks to wait, where it says.
    """

    def __init__(self, code: str, message: str = "", retry_after: float | None = None) -> None:
        """Keep what an SDK's exception would hold."""
        super().__init__(message or code)
        self.code = code
        self.message = message or code
        self.retry_after = retry_after
