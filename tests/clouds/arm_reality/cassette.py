"""Recorded traffic as exchanges, from VCR's YAML, the SDK test proxy's JSON or our own form."""

from __future__ import annotations

import ast
import base64
import contextlib
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ARM = "management.azure.com"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer; header names are in lower case."""

    method: str
    host: str
    path: str
    query: dict[str, str]
    body: Any
    status: int
    headers: dict[str, str]
    answer: Any

    @property
    def uri(self) -> str:
        """Path and query, for people to read."""
        return self.path + "?" * bool(self.query) + "&".join(map("=".join, self.query.items()))


@dataclass(frozen=True, slots=True)
class Cassette:
    """What one file holds, and how many of its entries nobody could read."""

    name: str
    exchanges: tuple[Exchange, ...]
    unreadable: int = 0


def exchange(
    method: str, uri: str, body: Any, *, status: Any, headers: Any, answer: Any
) -> Exchange:
    """One from the pieces, however they were written down."""
    parts = urlsplit(uri)
    given = dict(_headers(headers))
    return Exchange(
        method=method.upper(),
        host=parts.hostname or ARM,
        path=_single(parts.path),
        query=dict(parse_qsl(parts.query, keep_blank_values=True)),
        body=_content(body),
        status=int(status),
        headers=given,
        answer=_content(answer),
    )


def load(path: Path) -> Cassette:
    """All that can be read; a file that is no recording at all has no exchanges."""
    found: list[Exchange] = []
    failed = 0
    try:
        entries = list(_entries(path))
    except Exception:  # noqa: BLE001 - whatever a parser says of a file that is not ours
        return Cassette(path.name, (), 1)
    for read in entries:
        try:
            found.append(read())
        except Exception:  # noqa: BLE001 - likewise: one odd entry must not hide the others
            failed += 1
    return Cassette(path.name, tuple(found), failed)


def _entries(path: Path) -> Iterator[Callable[[], Exchange]]:
    """One reader for each entry, so that each can fail for itself."""
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    if path.suffix == ".jsonl":
        for line in text.splitlines()[1:]:
            yield lambda line=line: _reduced(json.loads(line))
    elif path.suffix == ".json" and "Entries" in (recorded := json.loads(text)):
        for entry in recorded["Entries"]:
            yield lambda entry=entry: _proxied(entry)
    else:
        for entry in _yaml(text)["interactions"]:
            yield lambda entry=entry: _vcr(entry)


def _yaml(text: str) -> Any:
    import yaml

    # JSON is YAML, and some of VCR's cassettes are JSON; the fast parser is libyaml's
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - it is safe


def _reduced(item: dict[str, Any]) -> Exchange:
    return exchange(
        item["method"],
        item["uri"],
        item.get("body"),
        status=item["status"],
        headers=item.get("headers"),
        answer=item.get("answer"),
    )


def _vcr(item: dict[str, Any]) -> Exchange:
    request, response = item["request"], item["response"]
    status = response.get("status_code") or response["status"]
    return exchange(
        request["method"],
        request.get("uri") or request["url"],
        request.get("body"),
        status=status["code"] if isinstance(status, dict) else status,
        headers=response.get("headers"),
        answer=response.get("body", response.get("content")),
    )


def _proxied(item: dict[str, Any]) -> Exchange:
    return exchange(
        item["RequestMethod"],
        item["RequestUri"],
        item.get("RequestBody"),
        status=item["StatusCode"],
        headers=item.get("ResponseHeaders"),
        answer=item.get("ResponseBody"),
    )


def _headers(given: Any) -> Iterator[tuple[str, str]]:
    """VCR has lists of values, the asynchronous SDKs' recorder and the test proxy strings."""
    for name, value in dict(given or {}).items():
        first = value[0] if isinstance(value, list) and value else value
        yield str(name).lower(), first.decode() if isinstance(first, bytes) else str(first or "")


def _content(given: Any) -> Any:
    """JSON where it is JSON, else text; None for nothing."""
    if isinstance(given, dict) and set(given) <= {"string", "base64_string", "encoding"}:
        packed = given.get("base64_string")
        given = base64.b64decode(packed) if packed else given.get("string")
    given = _unquoted(given)
    if isinstance(given, bytes):
        given = (gzip.decompress(given) if given[:2] == b"\x1f\x8b" else given).decode()
    if not isinstance(given, str):
        return given
    with contextlib.suppress(ValueError):
        return json.loads(given)
    return given or None


def _unquoted(given: Any) -> Any:
    """Bytes whose `repr` was recorded, once or twice: the text begins with `b'b`."""
    while True:
        text = given.decode("latin-1") if isinstance(given, bytes) else given
        if not isinstance(text, str) or text[:2] not in {"b'", 'b"'}:
            return given
        try:
            given = ast.literal_eval(text)
        except (SyntaxError, ValueError):
            # quoted by hand: the quotes within were not escaped
            given = text[2:-1]


def _single(path: str) -> str:
    """Without the doubled slashes that some SDKs send and ARM forgives."""
    while "//" in path:
        path = path.replace("//", "/")
    return path.rstrip("/") or "/"
