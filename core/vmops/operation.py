"""An operation as one self-contained URL: `asyncResultsUrl`, the journal's record, `vmops wait`.

Grammar (percent-encoding as in RFC 3986, always in the one canonical form):

    vmops+BACKEND://VM/ACTION?account=A&SCOPE&at=T&id=ID[&mode=M][&phase=2]#HANDLE&sum=CRC

A is the identity the connection proved, SCOPE the shareable settings (such as `region`), T the
epoch seconds at which the operation was asked for, HANDLE what the backend's verb returned. `sum`
is a CRC-32 against truncation, not a signature: a URL can only *select* among what local
configuration already allows, so forging one gains nothing.
"""

from __future__ import annotations

import enum
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote

from vmops.errors import InvalidURL

__all__ = ["Action", "Handle", "Operation"]

Handle = Mapping[str, str]
"""A few strings that a backend needs to find its operation again; key `vmId` is the VM's id."""

MAX_URL = 16 * 1024
_URL = re.compile(
    r"vmops\+(?P<backend>[a-z][a-z0-9-]{0,31})://(?P<vm>[^/?#]+)/(?P<action>[a-z]+)"
    r"\?(?P<query>[^?#]+)#(?P<fragment>[^#]+)\Z"
)
_PRINTABLE_ASCII = re.compile(r"[\x21-\x7e]+\Z")
_SAFE = "/:,@"
_PLAIN = re.compile(r"[A-Za-z0-9._~/:,@-]*\Z", re.ASCII)  # what quote() would leave as it is
_NAME = re.compile(r"[A-Za-z0-9._~-]+\Z", re.ASCII)
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}\Z")
_OWN_KEYS = frozenset({"account", "at", "id", "mode", "phase"})


class Action(enum.StrEnum):
    """The five things one can ask of a VM."""

    PROVISION = "provision"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    DEPROVISION = "deprovision"

    __hash__ = str.__hash__


@dataclass(frozen=True, slots=True)
class Operation:
    """What was asked of which VM, where, and how to find it again.

    Args:
        backend: The plugin's name.
        vm: The VM's name.
        action: What was asked.
        id: Random hex; names this operation in journal, logs and tags.
        at: Epoch seconds at which it was asked.
        account: The identity the connection proved (EC2 account, subscription, project).
        scope: The shareable settings, such as `{"region": "eu-west-1"}`.
        handle: What the backend's verb returned; empty means "judge by the VM's state". It may be
            signed, so it is told to nobody.
        mode: For stop, `release` or `keep`.
        phase: 2 once the second phase of a two-phase operation has begun.
    """

    backend: str
    vm: str
    action: Action
    id: str
    at: float
    account: str = ""
    scope: Mapping[str, str] = field(default_factory=dict, hash=False)
    handle: Handle = field(default_factory=dict, hash=False, repr=False)
    mode: str = ""
    phase: int = 1

    @property
    def vm_id(self) -> str:
        """The cloud's id of the VM where the handle carries it, else empty."""
        return self.handle.get("vmId", "")

    def next_phase(self, handle: Handle) -> Operation:
        """This operation with its second phase begun."""
        return replace(self, phase=2, handle=handle)

    def to_url(self) -> str:
        """The operation as its canonical URL."""
        own = {"account": self.account, "at": f"{self.at:.3f}", "id": self.id}
        if self.mode:
            own["mode"] = self.mode
        if self.phase != 1:
            own["phase"] = str(self.phase)
        vm = self.vm if _NAME.match(self.vm) else quote(self.vm, safe="")
        head = f"vmops+{self.backend}://{vm}/{self.action.value}"
        body = f"{head}?{_pairs({**self.scope, **own})}#"
        if self.handle:
            body += _pairs(self.handle) + "&"
        return f"{body}sum={_checksum(body)}"

    @classmethod
    def from_url(cls, url: object) -> Operation:
        """The operation a URL names.

        Raises:
            InvalidURL: The value is no text, too long, truncated, or was not written by vmops.
        """
        text = _checked_text(url)
        match = _URL.match(text)
        if match is None:
            raise _invalid(text, "it has not the form vmops+BACKEND://VM/ACTION?...#...")
        try:
            operation = cls._from_match(match)
        except (ValueError, KeyError) as exc:
            raise _invalid(text, str(exc)) from exc
        if operation.to_url() != text:
            raise _invalid(text, "it was cut short or changed on its way (its checksum differs)")
        return operation

    @classmethod
    def _from_match(cls, match: re.Match[str]) -> Operation:
        query, handle = _parse_pairs(match["query"]), _parse_pairs(match["fragment"])
        handle.pop("sum", None)
        return cls(
            backend=match["backend"],
            vm=unquote(match["vm"], errors="strict"),
            action=Action(match["action"]),
            id=_field(query, "id"),
            at=float(_field(query, "at")),
            account=query.get("account", ""),
            scope={key: value for key, value in query.items() if key not in _OWN_KEYS},
            handle=handle,
            mode=query.get("mode", ""),
            phase=int(query.get("phase", "1")),
        )


def _pairs(values: Mapping[str, str]) -> str:
    return "&".join([f"{key}={_quoted(values[key])}" for key in sorted(values)])


def _quoted(value: str) -> str:
    return value if _PLAIN.match(value) else quote(value, safe=_SAFE)


def _parse_pairs(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for item in text.split("&"):
        key, equals, value = item.partition("=")
        if not equals or key in pairs or not _KEY.match(key):
            msg = f"{key[:40]!r} is not a key with one value"
            raise ValueError(msg)
        pairs[key] = unquote(value, errors="strict")
        if not pairs[key].isprintable():
            msg = f"the value of {key} holds control characters"
            raise ValueError(msg)
    return pairs


def _field(query: Mapping[str, str], key: str) -> str:
    if key not in query:
        msg = f"{key}= is missing"
        raise ValueError(msg)
    return query[key]


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def _checked_text(url: object) -> str:
    if not isinstance(url, str):
        msg = f"asyncResultsUrl: expected text, got {type(url).__name__}"
        raise InvalidURL(msg)
    if len(url) > MAX_URL:
        msg = f"asyncResultsUrl: {len(url)} characters; no operation URL is over {MAX_URL}"
        raise InvalidURL(msg)
    if not _PRINTABLE_ASCII.match(url):
        raise _invalid(url, "it is empty or holds characters that no URL may hold")
    return url


def _invalid(url: str, reason: str) -> InvalidURL:
    # the query and fragment may hold a signed operation path: only the head is ever shown
    shown = url.partition("?")[0][:80]
    return InvalidURL(
        f"asyncResultsUrl: {shown!r}: {reason}; pass the value a vm_* method returned, unchanged"
    )
