"""What failed HTTP requests prove, for plugins whose SDKs stand on urllib3 and requests."""

from __future__ import annotations

__all__ = ["never_connected"]


def never_connected(error: BaseException | None) -> bool:
    """Whether no connection was made, so that nothing can have been sent.

    Args:
        error: What requests or urllib3 raised; the reason is in it.
    """
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    for cause in getattr(error, "args", ()):
        reason = getattr(cause, "reason", cause)
        if isinstance(reason, NewConnectionError | ConnectTimeoutError):
            return True
    return False
