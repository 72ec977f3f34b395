"""Replays recordings of the real ARM against the emulator, and says where the two differ.

    python tests/clouds/arm_reality/replay.py RECORDING... [--endpoint URL]

takes any VCR cassette of azure-sdk or azure-cli. It exits with 1 if there is a difference that
`known.toml` does not explain.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from arm_reality.cassette import Exchange, load
from arm_reality.compare import differences
from arm_reality.presumed import Presumed
from arm_reality.scope import (
    inside,
    is_operation,
    kind,
    operation_key,
    operations,
    own,
    strangers_removed,
)
from arm_reality.wire import Wire

KNOWN = Path(__file__).with_name("known.toml")
RECORDINGS = Path(__file__).with_name("recordings")
# Each operation takes so many seconds of the cloud's time. It ends when the recorded one had ended.
SECONDS = 20.0
SLOW = dict.fromkeys(
    ("create", "start", "power_off", "deallocate", "restart", "delete", "network", "disk"), SECONDS
)


class Cloud(Protocol):
    """What is replayed against: see `arm_cloud.ArmCloud`."""

    endpoint: str

    def advance(self, seconds: float) -> None:
        """Moves its clock."""

    def environment(self) -> dict[str, str]:
        """Where it gives tokens."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Between one exchange and its replay."""

    recording: str
    number: int
    request: str
    what: str

    def __str__(self) -> str:
        """A line for people."""
        return f"{self.recording} #{self.number} {self.request}: {self.what}"


@dataclass(frozen=True, slots=True)
class Known:
    """Differences with a reason, by patterns of the shell's kind."""

    recording: str
    request: str
    what: str
    reason: str

    def explains(self, difference: Difference) -> bool:
        """Whether all three patterns match."""
        return (
            fnmatchcase(difference.recording, self.recording)
            and fnmatchcase(difference.request, self.request)
            and fnmatchcase(difference.what, self.what)
        )


@dataclass(slots=True)
class Report:
    """What became of one recording."""

    recording: str
    replayed: int = 0
    skipped: int = 0
    unreadable: int = 0
    presumed: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


class _Replay:
    """One recording, from its first exchange to its last."""

    def __init__(self, path: Path, cloud: Cloud, wire: Wire) -> None:
        cassette = load(path)
        self._cloud, self._wire = cloud, wire
        self._exchanges = cassette.exchanges
        self._wanted = inside(self._exchanges)
        self._own = own(self._ours())
        self._presumed = Presumed(self._ours(), self._settled)
        # the recording's operation URLs to the cloud's, and the operations that go on there
        self._urls: dict[str, str] = {}
        self._running: list[set[str]] = []
        self.report = Report(path.name.partition(".jsonl")[0], unreadable=cassette.unreadable)

    def run(self) -> Report:
        """Sends all that is for the emulator, and leaves the resource groups empty behind it."""
        self._presumed.groups(self._ours())
        for number, item in enumerate(self._exchanges):
            if not self._wanted[number]:
                self.report.skipped += 1
                continue
            self._wait(number, item)
            self._presumed.before(item)
            for what in self._replayed(item):
                found = Difference(self.report.recording, number, named(item), what)
                self.report.differences.append(found)
        self.report.presumed = self._presumed.made
        return self.report

    def _ours(self) -> tuple[Exchange, ...]:
        return tuple(item for item, ours in zip(self._exchanges, self._wanted, strict=True) if ours)

    def _replayed(self, item: Exchange) -> Iterable[str]:
        target = item.uri
        if is_operation(item.path):
            target = self._urls.get(operation_key(item.uri), "")
            if not target:
                self.report.skipped += 1
                return []  # that its URL was not given has been said
        self.report.replayed += 1
        status, headers, answer = self._wire.send(item.method, target, item.body)
        self._follow(item, headers)
        ours = strangers_removed(answer, self._own)
        asked = strangers_removed(item.answer, self._own)
        recorded = Exchange(
            item.method, item.host, item.path, item.query, item.body,
            item.status, item.headers, asked,
        )  # fmt: skip
        return differences(recorded, status, headers, ours)

    def _follow(self, item: Exchange, headers: dict[str, str]) -> None:
        """The cloud's URLs stand for the recorded ones from now on, header for header."""
        started = operations(item)
        for key, recorded in started.items():
            for name in ("azure-asyncoperation", "location"):
                if item.headers.get(name) == recorded and headers.get(name):
                    self._urls[key] = headers[name]
        if started and not is_operation(item.path):
            self._running.append(set(started))

    def _wait(self, number: int, item: Exchange) -> None:
        """Lets the cloud's operations end where the recorded ones had ended."""
        if is_operation(item.path):
            if _ended(item):
                self._end({operation_key(item.uri)})
            return
        later = {operation_key(other.uri) for other in self._exchanges[number:]}
        if any(not keys & later for keys in self._running):
            self._end(set())

    def _end(self, keys: set[str]) -> None:
        """All end together: they take the same time, and recordings have one at a time."""
        if not keys or any(keys & running for running in self._running):
            self._cloud.advance(SECONDS + 1)
            self._running.clear()

    def _settled(self, method: str, target: str, body: Any) -> int:
        """For what is presumed: sent, and waited for."""
        status, headers, _ = self._wire.send(method, target, body)
        if "azure-asyncoperation" in headers or "location" in headers:
            self._cloud.advance(SECONDS + 1)
        return status


def _ended(poll: Exchange) -> bool:
    if poll.status == 202:
        return False
    status = poll.answer.get("status") if isinstance(poll.answer, dict) else None
    return status not in {"InProgress", "Running", "Accepted", "Updating", "Deleting"}


def named(item: Exchange) -> str:
    """Method and type, `POST microsoft.compute/virtualmachines/start`; names left out."""
    expand = item.query.get("$expand", "")
    what = "operations" if is_operation(item.path) else "/".join(kind(item.path)) or "subscriptions"
    monitor = "?monitor" if item.query.get("monitor") else ""
    return f"{item.method} {what}{monitor}" + f"?{expand}" * bool(expand)


def known(path: Path = KNOWN) -> list[Known]:
    """The list of what is known to differ, and why."""
    entries = tomllib.loads(path.read_text()).get("known", [])
    return [
        Known(entry.get("recording", "*"), entry["request"], entry["what"], entry["reason"])
        for entry in entries
    ]


def replay(path: Path, cloud: Cloud) -> Report:
    """One recording against a cloud whose operations take `SLOW`; nothing that it holds raises."""
    with contextlib.closing(Wire(cloud.endpoint, cloud.environment())) as wire:
        return _Replay(path, cloud, wire).run()


def _table(reports: Iterable[Report], explained: list[Known]) -> Iterator[str]:
    yield f"{'recording':48} replayed skipped presumed known unknown"
    for report in reports:
        new = [each for each in report.differences if not _explains(explained, each)]
        yield (
            f"{report.recording[:48]:48} {report.replayed:8} {report.skipped:7} "
            f"{len(report.presumed):8} {len(report.differences) - len(new):5} {len(new):7}"
        )
        for line, times in Counter(f"{each.request}: {each.what}" for each in new).items():
            yield f"    {line}" + f" ({times} times)" * (times > 1)


def _explains(explained: Iterable[Known], difference: Difference) -> bool:
    return any(entry.explains(difference) for entry in explained)


def main() -> int:
    """The command: 1 if there is anything unknown."""
    from arm_cloud import ArmCloud

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "recordings", nargs="*", type=Path, default=sorted(RECORDINGS.glob("*.jsonl"))
    )
    parser.add_argument("--endpoint", help="an emulator that runs already; else one is started")
    chosen = parser.parse_args()
    explained, reports = known(), []
    with ArmCloud(**SLOW) as cloud:
        if chosen.endpoint:
            cloud.endpoint = chosen.endpoint
        for path in chosen.recordings:
            cloud.reset()
            reports.append(replay(path, cloud))
    print("\n".join(_table(reports, explained)))  # noqa: T201 - a command prints what it found
    everything = [each for report in reports for each in report.differences]
    return int(any(not _explains(explained, each) for each in everything))


if __name__ == "__main__":
    sys.exit(main())
