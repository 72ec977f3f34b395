"""Fixtures: fresh interpreters, as users start them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

OLDER = ("0.4.2", "0.5.0")

Python = Callable[..., str]


@pytest.fixture(scope="session")
def python() -> Python:
    """Runs code in a new interpreter of this environment, which must end well; what it printed.

    Everything on stderr is an error, unless it is asked for with `stderr=subprocess.STDOUT`.
    """

    def run(
        code: str, *flags: str, stdin: str = "", stderr: int = subprocess.PIPE, **env: str
    ) -> str:
        done = subprocess.run(
            [sys.executable, *flags, "-c", code],
            env={**os.environ, **env},
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr or "") == (0, ""), done.stdout + (done.stderr or "")
        return done.stdout

    return run


@pytest.fixture(params=["", *OLDER], ids=["installed", *OLDER])
def release(request: pytest.FixtureRequest) -> str:
    """Where a release of mlos_bench is, for PYTHONPATH; empty for the installed one."""
    if not request.param:
        return ""
    folder = Path(sys.prefix, "older", f"mlos-bench-{request.param}")
    if not folder.is_dir():
        assert not os.environ.get("VMOPS_REQUIRE_OLD_MLOS"), f"{folder} is missing"
        pytest.skip(f"./dev test gets mlos_bench {request.param}")
    return str(folder)
