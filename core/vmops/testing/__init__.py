"""The conformance kit: what every backend must do, ours and a stranger's, shown offline.

from vmops.testing import BackendConformance, CloudUnderTest

class TestMyCloud(BackendConformance):
@pytest.fixture
def cloud(self): return CloudUnderTest(config={"backend": "mycloud"})
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmops.testing.cloud import CloudUnderTest, Known
    from vmops.testing.conformance import BackendConformance

__all__ = ["BackendConformance", "CloudUnderTest", "Known"]

# pytest loads the plugin beside this file in every run: nothing heavy may be imported here
_HOMES = {"BackendConformance": "conformance", "CloudUnderTest": "cloud", "Known": "cloud"}


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562: any public name)
    """Load a public name from its module on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vmops.testing' has no attribute {name!r}")
    return getattr(import_module(f"vmops.testing.{_HOMES[name]}"), name)
