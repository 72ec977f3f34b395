"""Drivers written for a test, as if libcloud had them."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vmops_libcloud import capabilities

_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    """What one test makes of a provider is not what the next one finds."""
    capabilities.capabilities.cache_clear()
    yield
    capabilities.capabilities.cache_clear()


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Takes the body of a driver's class, and returns the name of its provider."""
    from libcloud.compute.providers import DRIVERS

    monkeypatch.syspath_prepend(tmp_path)

    def write(body: str) -> str:
        module = f"written_driver_{next(_NUMBERS)}"
        text = "import time\nfrom libcloud.compute.base import NodeDriver\n\n\n"
        text += "class Written(NodeDriver):\n" + textwrap.indent(textwrap.dedent(body), "    ")
        (tmp_path / f"{module}.py").write_text(text)
        monkeypatch.setitem(DRIVERS, module, (module, "Written"))
        return module

    return write
