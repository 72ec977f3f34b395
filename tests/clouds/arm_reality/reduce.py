"""Makes the form in which recordings are kept here: `python reduce.py RECORDING TARGET.jsonl`.

One line of provenance, then one exchange a line, with what `replay.py` looks at and nothing else:
a few headers, no client's identity, no signature, no stranger's resources, no catalogue in full.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from arm_reality.cassette import Cassette, Exchange, load
from arm_reality.scope import Own, inside, own, strangers_removed

HEADERS = {
    "azure-asyncnotification",
    "azure-asyncoperation",
    "content-type",
    "etag",
    "location",
    "retry-after",
    "x-ms-error-code",
    "x-ms-ratelimit-remaining-resource",
    "x-ms-ratelimit-remaining-subscription-deletes",
    "x-ms-ratelimit-remaining-subscription-reads",
    "x-ms-ratelimit-remaining-subscription-writes",
}
CATALOGUE = 4
_SIGNED = re.compile(r"(?<=[?&])(sig|s|h|c)=[^&\"]{20,}")
_SUBSCRIPTION = re.compile(r"(/subscriptions/)[0-9a-f-]{36}", re.IGNORECASE)
_GROUP = re.compile(r"(/resourceGroups/)([^/\"]+)", re.IGNORECASE)


def reduced(cassette: Cassette) -> list[dict[str, Any]]:
    """The exchanges that are ARM's and within the emulator's reach, each as small as can be."""
    mine = own(cassette.exchanges)
    ours = zip(cassette.exchanges, inside(cassette.exchanges), strict=True)
    return [_line(item, mine) for item, wanted in ours if wanted]


def _line(item: Exchange, mine: Own) -> dict[str, Any]:
    answer = _shortened(strangers_removed(item.answer, mine))
    line = {
        "method": item.method,
        "uri": item.uri,
        "body": item.body,
        "status": item.status,
        "headers": {name: item.headers[name] for name in sorted(HEADERS & set(item.headers))},
        "answer": answer,
    }
    kept = {name: value for name, value in line.items() if value is not None}
    clean: dict[str, Any] = json.loads(_scrubbed(json.dumps(kept), mine.groups))
    return clean


def _shortened(answer: Any) -> Any:
    """A catalogue is a long list at the top, of things that are not resources."""
    if isinstance(answer, list):
        return answer[:CATALOGUE]
    if isinstance(answer, dict) and isinstance(answer.get("value"), list):
        return {**answer, "value": answer["value"][:CATALOGUE]}
    return answer


def _scrubbed(text: str, groups: frozenset[str]) -> str:
    """Without signatures; groups and subscriptions have the name that the recorder gave them."""
    text = _SIGNED.sub(r"\1=scrubbed", text)
    text = _SUBSCRIPTION.sub(rf"\g<1>{UUID(int=0)}", text)
    if len(groups) != 1:
        return text
    only = next(iter(groups))
    return _GROUP.sub(lambda found: found[1] + only if found[2].lower() != only else found[0], text)


def _provenance(source: Path, comment: str) -> dict[str, Any]:
    """Which package, from the folder the sdist was unpacked to: name-1.2.3/tests/recordings/."""
    package, _, version = source.resolve().parents[2].name.rpartition("-")
    about = {"package": package, "version": version, "file": source.name, "license": "MIT"}
    return {**about, "comment": comment} if comment else about


def main() -> None:
    """Reads one recording, writes one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--until", type=int, help="leave out what comes after so many exchanges")
    parser.add_argument("--comment", default="")
    chosen = parser.parse_args()
    cassette = load(chosen.source)
    lines = reduced(Cassette(cassette.name, cassette.exchanges[: chosen.until]))
    texts = [_provenance(chosen.source, chosen.comment), *lines]
    chosen.target.write_text(
        "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in texts)
    )


if __name__ == "__main__":
    main()
