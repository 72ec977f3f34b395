"""The documentation tells the truth: its code runs, and its reference is what the code says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vmops import errors, plugins
from vmops.plugins import Registry
from vmops.schema import fields

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BLOCK = re.compile(
    r"^```python(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL
)
FILE = re.compile(
    r"^```\w+ title=\"(?P<title>[^\"]+)\"\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL
)
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted(DOCS.rglob("*.md")))
    if any(not match["title"] for match in BLOCK.finditer(page.read_text()))
]


def run(command: list[str], folder: Path, **variables: str) -> str:
    """What a program printed, with state of its own; it must end well."""
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), **variables}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_a_page_runs(page: Path, tmp_path: Path) -> None:
    """All Python of a page, run from top to bottom in a process of its own, ends well."""
    code = "\n".join(m["code"] for m in BLOCK.finditer(page.read_text()) if not m["title"])
    if 'backend": "sim"' not in code and shutil.which("qemu-system-x86_64") is None:
        assert not os.environ.get("VMOPS_REQUIRE_QEMU"), "QEMU is missing"
        pytest.skip("install QEMU: apt-get install --no-install-recommends qemu-system-x86")
    if "ssh-keygen" in code and shutil.which("ssh-keygen") is None:
        pytest.skip("the page logs in with the ssh client")
    run([sys.executable, "-W", "error", "-c", code], tmp_path)


@pytest.mark.long
def test_the_backend_of_the_tutorial_passes_the_kit(tmp_path: Path) -> None:
    """The files of "write a backend in an hour", as they stand, are a conforming backend."""
    page = (DOCS / "tutorial" / "write-a-backend.md").read_text()
    files = {match["title"]: match["code"] for match in FILE.finditer(page)}
    assert set(files) == {"pyproject.toml", "tinycloud.py", "vmops_tiny.py", "test_tiny.py"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    # what an installer would make of its pyproject.toml
    entry = re.search(r"\[project.entry-points.vmops\]\n(.*)", files["pyproject.toml"])
    assert entry is not None
    info = tmp_path / "vmops_tiny-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vmops-tiny\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[vmops]\n" + entry[1].replace('"', "") + "\n")
    said = run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_tiny.py"],
        tmp_path,
        PYTHONPATH=str(tmp_path),
    )
    assert re.search(r"^\d\d+ passed", said, re.MULTILINE), said


def test_generated_pages_are_up_to_date(tmp_path: Path) -> None:
    """docs/reference is what docs/generate.py writes."""
    run([sys.executable, str(DOCS / "generate.py"), "--check"], tmp_path)


def test_every_error_hook_and_field_is_in_the_reference() -> None:
    """Errors and hooks have a heading of their own; every setting and param has its row."""
    headings = (DOCS / "reference" / "errors.md").read_text()
    assert [name for name in errors.__all__ if f"\n## {name}\n" not in headings] == []
    hooks = (DOCS / "reference" / "hooks.md").read_text()
    names = [name for name in vars(plugins.HookSpecs) if name.startswith("vmops_")]
    assert [name for name in names if f"\n## {name}\n" not in hooks] == []
    for backend in ("aws", "azure", "gcp", "libcloud", "local", "sim"):
        page = (DOCS / "reference" / f"backend-{backend}.md").read_text()
        known = {field.name for field in fields(Registry().load(backend))}
        assert {name for name in known if f"| `{name}` |" not in page} == set()


def test_links_within_the_docs_lead_somewhere() -> None:
    """Relative links of README and docs name files that exist."""
    link = re.compile(r"\]\((?!https?:)([^)#\s]+)")
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in link.findall(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []
