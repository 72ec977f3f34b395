"""Fixtures: a cloud of files, the program as a real process, and the program in this process."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

PLUGIN = Path(__file__).with_name("plugin")
PATIENCE = 60.0


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the plugin's distribution is 'installed'."""
    folder = tmp_path_factory.mktemp("dist")
    install(folder, "vmops-filecloud", "filecloud", "vmops_filecloud")
    return folder


def install(folder: Path, distribution: str, backend: str, module: str) -> None:
    """Write the metadata that makes a module a plugin."""
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[vmops]\n{backend} = {module}\n")


class Program:
    """The program, in an environment of its own."""

    def __init__(self, tmp: Path, dist: Path) -> None:
        self.tmp = tmp
        self.root = tmp / "cloud"
        self.root.mkdir()
        self.journal = tmp / "state" / "journal.db"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("VMOPS", "XDG"))}
        self.environment = {
            **kept,
            "PYTHONPATH": os.pathsep.join([str(PLUGIN), str(dist)]),
            "VMOPS_FILECLOUD_ROOT": str(self.root),
            "VMOPS_JOURNAL": str(self.journal),
            "XDG_STATE_HOME": str(tmp / "home state"),
            "TERM": "dumb",
        }

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        """The program as a real process that runs."""
        return subprocess.Popen(
            [sys.executable, "-m", "vmops", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.environment, **more.get("env", {})},
            start_new_session=True,
        )

    def run(self, *arguments: str, code: int = 0, **more: Any) -> subprocess.CompletedProcess[str]:
        """The program as a real process that has ended, with the exit code `code`."""
        done = subprocess.run(
            [sys.executable, "-m", "vmops", *arguments],
            check=False,
            capture_output=True,
            text=True,
            input=more.get("input", ""),
            env={**self.environment, **more.get("env", {})},
            timeout=PATIENCE,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def lines(self, *arguments: str, code: int = 0, **more: Any) -> list[dict[str, Any]]:
        """What a process said with --json, line by line."""
        done = self.run(*arguments, "--json", code=code, **more)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def hurry(self) -> None:
        """Let all that is under way end now, and all to come end at once."""
        (self.root / "hurry").touch()

    def dawdle(self) -> None:
        """Let things take their time again."""
        (self.root / "hurry").unlink()

    def calls(self, verb: str) -> int:
        """How often the cloud was asked to do that."""
        file = self.root / "calls"
        said = file.read_text().splitlines() if file.exists() else []
        return sum(line.startswith(f"{verb} ") for line in said)

    def vms(self) -> list[str]:
        """The VMs there are."""
        return sorted(file.stem for file in self.root.glob("*.json"))


@pytest.fixture
def program(tmp_path: Path, dist: Path) -> Program:
    """The program on a fresh cloud with a fresh journal."""
    return Program(tmp_path, dist)


class Here:
    """The program in this process."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def __call__(self, *arguments: str, code: int = 0, **more: Any) -> Result:
        from vmops.cli.app import app

        done = CliRunner().invoke(app, list(arguments), **more)
        assert done.exit_code == code, (done.output, done.exception)
        return done

    def json(self, *arguments: str, code: int = 0) -> Any:
        """The one document it writes with --json."""
        return json.loads(self(*arguments, "--json", code=code).stdout)


@pytest.fixture
def here(program: Program, dist: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    """The program in this process, on the same cloud as `program`."""
    for name in [name for name in os.environ if name.startswith(("VMOPS", "XDG"))]:
        monkeypatch.delenv(name)
    for name, value in program.environment.items():
        if name.startswith(("VMOPS", "XDG", "TERM")):
            monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(PLUGIN))
    monkeypatch.syspath_prepend(str(dist))
    logger = logging.getLogger("vmops")
    before = (logger.handlers[:], logger.propagate, logger.level)
    yield Here(program)
    logger.handlers[:], logger.propagate = before[0], before[1]
    logger.setLevel(before[2])
