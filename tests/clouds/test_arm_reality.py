"""The stand-in for Azure Resource Manager against recordings of the real one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from arm_reality import replay as replaying
from arm_reality.replay import RECORDINGS, SLOW, Report, known, replay

FILES = sorted(RECORDINGS.glob("*.jsonl"))


@pytest.fixture(scope="module")
def report() -> Iterator[Callable[[Path], Report]]:
    """What became of a recording in the emulator, replayed once."""
    from arm_cloud import ArmCloud

    with ArmCloud(**SLOW) as cloud:

        @cache
        def replayed(path: Path) -> Report:
            cloud.reset()
            return replay(path, cloud)

        yield replayed


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_reality(path: Path, report: Callable[[Path], Report]) -> None:
    """The emulator answers as ARM did, but for what `known.toml` gives a reason for."""
    found = report(path)
    unknown = [
        str(each)
        for each in found.differences
        if not any(entry.explains(each) for entry in known())
    ]

    assert unknown == []
    assert found.replayed
    assert not found.skipped + found.unreadable


def test_known_is_real(report: Callable[[Path], Report]) -> None:
    """A known difference that nobody sees any more has to go from the list."""
    found = [each for path in FILES for each in report(path).differences]

    assert [entry for entry in known() if not any(map(entry.explains, found))] == []
    assert all(entry.reason for entry in known())


def test_command(tmp_path: Path) -> None:
    """The command prints a table and fails where there is an unknown difference."""
    wrong = tmp_path / "wrong.jsonl"
    group = '"/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g?api-version=1"'
    wrong.write_text("{}\n" + f'{{"method":"PATCH","uri":{group},"status":418}}\n')
    command = [sys.executable, replaying.__file__, str(FILES[0]), str(wrong)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (1, "")
    assert "PATCH subscriptions: status 418 is" in done.stdout
