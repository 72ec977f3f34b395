"""The codec of every URL that vmops gives out: grammar, quoting, limits and checksum.

    vmops+BACKEND://VM/WHAT?QUERY#FRAGMENT&sum=CRC

Percent-encoding is as in RFC 3986, always in the one canonical form; `sum` is a CRC-32 against
truncation, not a signature.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar
from urllib.parse import quote, unquote

from vmops.errors import InvalidURL

__all__ = ["RUN", "Named", "Parts", "read_url", "required", "write_url"]

RUN: Final = "run"
"""WHAT of a script's run; every other is an operation's action."""

MAX_URL: Final = 16 * 1024
_URL: Final = re.compile(
    r"vmops\+(?P<backend>[a-z][a-z0-9-]{0,31})://(?P<vm>[^/?#]+)/(?P<what>[a-z]+)"
    r"\?(?P<query>[^?#]+)#(?P<fragment>[^#]+)\Z"
)
_PRINTABLE_ASCII: Final = re.compile(r"[\x21-\x7e]+\Z")
_SAFE: Final = "/:,@"
_PLAIN: Final = re.compile(r"[A-Za-z0-9._~/:,@-]*\Z", re.ASCII)  # what quote() would leave as it is
_NAME: Final = re.compile(r"[A-Za-z0-9._~-]+\Z", re.ASCII)
_KEY: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}\Z")
_OPERATIONS: Final = "pass the value a vm_* method returned, unchanged"
_RUNS: Final = "pass the value Remote.start returned, unchanged"


class Named(Protocol):
    """What a URL names: it is obeyed only where local settings allow all of this."""

    @property
    def backend(self) -> str:
        """The plugin's name."""

    @property
    def vm(self) -> str:
        """The VM's name, or its id where it has none."""

    @property
    def vm_id(self) -> str:
        """The cloud's id of the VM, else empty."""

    @property
    def account(self) -> str:
        """The identity the connection proved."""

    @property
    def scope(self) -> Mapping[str, str]:
        """The shareable settings."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What stands in a URL, decoded."""

    backend: str
    vm: str
    what: str
    query: Mapping[str, str]
    fragment: Mapping[str, str]


class _Written(Protocol):
    def to_url(self) -> str: ...


W = TypeVar("W", bound=_Written)


def write_url(
    backend: str, vm: str, what: str, query: Mapping[str, str], fragment: Mapping[str, str]
) -> str:
    """The canonical URL of these parts."""
    name = vm if _NAME.match(vm) else quote(vm, safe="")
    body = f"vmops+{backend}://{name}/{what}?{_pairs(query)}#"
    if fragment:
        body += _pairs(fragment) + "&"
    return f"{body}sum={_checksum(body)}"


def read_url(url: object, make: Callable[[Parts], W], *, run: bool = False) -> W:
    """What a URL stands for.

    Args:
        url: What somebody passed as one.
        make: Makes it of the URL's parts; raises ValueError for parts it cannot mean.
        run: Whether a script's run is wanted, not an operation.

    Raises:
        InvalidURL: The value is no text, too long, truncated, of the other kind, or was not
            written by vmops.
    """
    hint = _RUNS if run else _OPERATIONS
    text = _checked_text(url, hint)
    match = _URL.match(text)
    if match is None:
        raise _invalid(text, "it has not the form vmops+BACKEND://VM/ACTION?...#...", hint)
    if (match["what"] == RUN) is not run:
        raise _other(text, run=run)
    try:
        made = make(_parts(match))
    except (ValueError, KeyError) as exc:
        raise _invalid(text, str(exc), hint) from exc
    if made.to_url() != text:
        reason = "it was cut short or changed on its way (its checksum differs)"
        raise _invalid(text, reason, hint)
    return made


def required(query: Mapping[str, str], key: str) -> str:
    """The value of a key that must be there.

    Raises:
        ValueError: It is not.
    """
    if key not in query:
        msg = f"{key}= is missing"
        raise ValueError(msg)
    return query[key]


def _parts(match: re.Match[str]) -> Parts:
    query, fragment = _parse_pairs(match["query"]), _parse_pairs(match["fragment"])
    fragment.pop("sum", None)
    vm = unquote(match["vm"], errors="strict")
    return Parts(match["backend"], vm, match["what"], query, fragment)


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


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def _checked_text(url: object, hint: str) -> str:
    if not isinstance(url, str):
        msg = f"asyncResultsUrl: expected text, got {type(url).__name__}"
        raise InvalidURL(msg)
    if len(url) > MAX_URL:
        msg = f"asyncResultsUrl: {len(url)} characters; no operation URL is over {MAX_URL}"
        raise InvalidURL(msg)
    if not _PRINTABLE_ASCII.match(url):
        raise _invalid(url, "it is empty or holds characters that no URL may hold", hint)
    return url


def _other(url: str, *, run: bool) -> InvalidURL:
    if run:
        return _invalid(url, "it is of no script's run", "wait for operations with `vmops wait`")
    return _invalid(url, "it is of a script's run", "wait for it with vmops.remote.Remote.wait")


def _invalid(url: str, reason: str, hint: str) -> InvalidURL:
    # the query and fragment may hold a signed operation path: only the head is ever shown
    shown = url.partition("?")[0][:80]
    return InvalidURL(f"asyncResultsUrl: {shown!r}: {reason}; {hint}")
