"""Every error vmops raises or reports.

VMOpsError
├── ConfigError                 you must change something: raised, before any cloud call
│   ├── UnknownBackend          no plugin of that name is installed and allowed
│   ├── PluginError             the plugin is broken, or two claim one name
│   ├── InvalidParams           a parameter is missing, unknown, of the wrong type (also ValueError)
│   └── InvalidURL              an asyncResultsUrl that is malformed or not allowed here
├── JournalError                the journal cannot be read or written: FAILED, no call was made
└── CloudError                  the cloud said no: reported as FAILED with `Result.error`
    ├── MissingDependency       this machine lacks a program or an SDK; nothing was asked of it
    ├── AuthError               credentials missing, expired or not allowed
    ├── NotFound                no such VM
    ├── Conflict                the VM's state, owner or another operation forbids this
    ├── QuotaExceeded           the account's limit is reached
    ├── NoCapacity              the cloud has no such machine to give right now
    ├── InvalidRequest          the cloud refuses a value
    ├── NotSupported            this backend cannot do that
    ├── Preempted               the cloud took the VM away
    └── TransientError          worth repeating; after a verb the outcome is unknown
        ├── Throttled           too many requests
        └── Unavailable         no answer, a cut answer, a 5xx

Only `TransientError` is ever retried. Errors are classified by the provider's *code*, never by the
SDK's exception class (`Backend.error_codes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = [
    "AuthError",
    "CloudError",
    "ConfigError",
    "Conflict",
    "InvalidParams",
    "InvalidRequest",
    "InvalidURL",
    "JournalError",
    "MissingDependency",
    "NoCapacity",
    "NotFound",
    "NotSupported",
    "PluginError",
    "Preempted",
    "Problem",
    "QuotaExceeded",
    "Throttled",
    "TransientError",
    "Unavailable",
    "UnknownBackend",
    "VMOpsError",
]


class VMOpsError(Exception):
    """Anything vmops raises on purpose; `code` is stable and safe to compare."""

    code: ClassVar[str] = "VMOpsError"

    def __init_subclass__(cls) -> None:
        """Give every class its own name as its stable code."""
        cls.code = cls.__name__


class ConfigError(VMOpsError):
    """The caller must change something; raised before anything was asked of a cloud."""


class UnknownBackend(ConfigError):  # noqa: N818  (the name users meet; "Error" adds nothing)
    """No installed and allowed plugin provides the backend that was named."""


class PluginError(ConfigError):
    """A plugin cannot be imported, is not a backend, or claims a name another one claims."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one parameter."""

    param: str
    message: str

    def __str__(self) -> str:
        """The problem as one line."""
        return f"{self.param}: {self.message}"


class InvalidParams(ConfigError, ValueError):  # noqa: N818
    """Parameters are wrong; `problems` lists all of them, each with its next step."""

    def __init__(self, *problems: Problem) -> None:
        """Keep the problems and say them all in one message."""
        self.problems = problems
        noun = "problem" if len(problems) == 1 else "problems"
        lines = "".join(f"\n  {problem}" for problem in problems)
        super().__init__(f"{len(problems)} {noun} with the parameters:{lines}")


class InvalidURL(ConfigError, ValueError):  # noqa: N818
    """An `asyncResultsUrl` that no vmops wrote, or that local settings do not allow."""


class JournalError(VMOpsError):
    """The journal cannot be read or written; no VM was created or deleted."""


class CloudError(VMOpsError):
    """The cloud refused or failed. A plain CloudError carries a provider code nobody mapped."""

    vm_ids: frozenset[str] = frozenset()
    """Of a call for many VMs, those that the provider named as the reason."""

    def __init__(  # noqa: PLR0913  (each is one thing a user may need; all but one are optional)
        self,
        message: str,
        *,
        provider_code: str = "",
        request_id: str = "",
        hint: str = "",
        remains: str = "",
        retry_after: float | None = None,
    ) -> None:
        """Describe a refusal.

        Args:
            message: What was asked of what, and what came back.
            provider_code: The provider's own error code, such as `InsufficientInstanceCapacity`.
            request_id: The provider's id of the request, for its support.
            hint: The next step for the caller.
            remains: What may still exist after this failure.
            retry_after: Seconds after which the same may be asked again.
        """
        self.message = message
        self.provider_code = provider_code
        self.request_id = request_id
        self.hint = hint
        self.remains = remains
        self.retry_after = retry_after
        super().__init__(message)

    def __str__(self) -> str:
        """The message with whatever else is known, on one line."""
        extras = (
            ("provider code", self.provider_code),
            ("request id", self.request_id),
            ("may remain", self.remains),
            ("next", self.hint),
        )
        return self.message + "".join(f"; {name}: {value}" for name, value in extras if value)


class MissingDependency(CloudError):  # noqa: N818
    """A program or package this machine lacks; `install` is the one line that brings it."""

    def __init__(self, message: str, *, install: str) -> None:
        """Say what is missing and the one line that brings it."""
        self.install = install
        super().__init__(message, hint=f"install it with: {install}")


class AuthError(CloudError):
    """Credentials are missing, expired or not allowed to do this."""


class NotFound(CloudError):  # noqa: N818
    """There is no such VM."""


class Conflict(CloudError):  # noqa: N818
    """The VM's state, its owner or another operation forbids this."""


class QuotaExceeded(CloudError):  # noqa: N818
    """The account's limit is reached."""


class NoCapacity(CloudError):  # noqa: N818
    """The cloud has no such machine to give in that place right now."""


class InvalidRequest(CloudError):  # noqa: N818
    """The cloud refuses a value that was sent."""


class NotSupported(CloudError):  # noqa: N818
    """This backend, or this VM, cannot do that."""


class Preempted(CloudError):  # noqa: N818
    """The cloud took the VM away."""


class TransientError(CloudError):
    """Worth repeating. After a verb the outcome is unknown: it may have been carried out."""

    unsent: bool = False
    """Whether the request certainly did not leave."""


class Throttled(TransientError):  # noqa: N818
    """Too many requests; the call was not carried out."""


class Unavailable(TransientError):  # noqa: N818
    """No answer, an answer that was cut, or a server error."""
