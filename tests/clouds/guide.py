"""A how-to guide as tests read it: its programs are run, its tables compared with what happens."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vmops import Backend, Status, VMOps
from vmops.testing import nursery

_TIMEOUT = 60.0
_WARNINGS = r"""
import warnings
warnings.simplefilter("error")
# as in pyproject.toml: libcloud's own, since Python 3.12
warnings.filterwarnings("ignore", r"datetime\.datetime\.utcnow\(\)", module=r"libcloud\.")
"""
DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r'^```(\w+)(?: title="(.*?)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)


class Guide:
    """One page.

    Args:
        page: Its file in docs.
        text: Its text, where it is not the file's.
    """

    def __init__(self, page: str, text: str = "") -> None:
        self._page = page
        self.text = text or (DOCS / page).read_text()
        self.files = {title: text for _, title, text in BLOCK.findall(self.text) if title}
        self.programs = [title for title in self.files if title.endswith(".py")]

    def section(self, heading: str) -> Guide:
        """What is under a heading."""
        return Guide(self._page, self.text.split(f"\n## {heading}\n")[1].split("\n## ")[0])

    def table(self, heading: str) -> list[list[str]]:
        """The rows of the first table under a heading, without its head."""
        lines = self.section(heading).text.splitlines()
        first = next(i for i, line in enumerate(lines) if line.startswith("|"))
        rows: list[list[str]] = []
        for line in lines[first + 2 :]:
            if not line.startswith("|"):
                break
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        return rows

    def console(self) -> list[str]:
        """The commands in blocks without a title that show no output."""
        shown = self.blocks("console")
        return [line for text in shown for line in text.splitlines() if line.startswith("vmops ")]

    def blocks(self, language: str) -> list[str]:
        """The blocks in a language that have no title."""
        found = BLOCK.findall(self.text)
        return [text for kind, title, text in found if (kind, title) == (language, "")]

    def run(self, name: str, cloud: Any, environment: dict[str, str], folder: Path) -> None:
        """Run one of the programs; it must end well, with state of its own, and warn of nothing."""
        code = f"{_WARNINGS}{self.files[name]}"
        variables = {**environment, "XDG_STATE_HOME": str(folder)}
        done = nursery.run(code, cloud.imports, _TIMEOUT, **variables)
        assert done.returncode == 0, done.stderr


def kept_limits(backend: type[Backend[Any, Any]]) -> list[list[str]]:
    """A table of the budgets of requests that a backend keeps to."""
    return [
        [f"`{name}`", f"{limit.requests.burst:g}", f"{limit.requests.per_second:g}"]
        for name, limit in {**backend.limits, **backend.own_limits}.items()
        if limit.requests is not None
    ]


def processors(rows: list[list[str]]) -> dict[str, set[str]]:
    """The aliases in a table of images, with the processors that they are for."""
    return {
        alias: set(re.findall(r"a\w+64", row[1]))
        for row in rows
        for alias in re.findall(r"`(.*?)`", row[0])
    }


class Listener:
    """Does one thing after the other, and remembers what each of them called.

    Args:
        ops: Who does it.
        made: Returns the actions of all calls so far.
    """

    def __init__(self, ops: VMOps, made: Callable[[], list[str]]) -> None:
        self.heard: dict[str, list[set[str]]] = {}
        self._ops, self._made = ops, made
        self._before = 0

    def note(self, row: str, do: Callable[[], Any]) -> None:
        """What the deed called, and what its wait did."""
        self._new()
        answer = do()
        self.heard[row] = [self._new(), set()]
        if isinstance(answer, tuple) and answer[0] is not Status.SUCCEEDED:
            status, result = answer
            assert status is Status.PENDING, result.error
            assert self._ops.wait_vm_operation(result)[0] is Status.SUCCEEDED
            self.heard[row][1] = self._new()

    def agrees(self, rows: list[list[str]], action: str, look: str) -> None:
        """Whether a table tells what was heard.

        Args:
            rows: The table's: a verb, its calls, those of its wait.
            action: A regular expression of an action, between backquotes.
            look: The action that a verb which follows a wait does without.
        """
        told = {
            row: [set(re.findall(f"`({action})`", cell)) for cell in cells] for row, *cells in rows
        }
        for row, (calls, _) in self.heard.items():
            calls.update(told[row][0] & {look})
        assert self.heard == told, (self.heard, told)

    def _new(self) -> set[str]:
        made = self._made()
        self._before, new = len(made), made[self._before :]
        return set(new)
