"""What is refused before a cloud hears of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from vmops import VMOps
from vmops.errors import InvalidParams

__all__ = ["nobody_answers", "refusals_of"]


@contextmanager
def nobody_answers(folder: Path, **config: Any) -> Iterator[VMOps]:
    """What tests call, where nobody answers: in the end not even the journal was opened."""
    journal = folder / "journal.db"
    with VMOps({**config, "endpointUrl": "http://127.0.0.1:9"}, journal=journal) as ops:
        yield ops
    assert not journal.exists()


def refusals_of(ops: VMOps, name: str, value: Any) -> list[str]:
    """What is said of a param of a create, by its own name or about all of them."""
    with pytest.raises(InvalidParams) as caught:
        ops.vm_provision({"vmName": "web-1", name: value})
    return [p.message for p in caught.value.problems if p.param in {name, "params"}]
