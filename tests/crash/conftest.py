"""Makes the packages beside it importable by name, here and in the processes that tests start."""

from __future__ import annotations

import sys
from pathlib import Path

# importlib mode keeps test folders off sys.path; child processes need the names as well
sys.path.insert(0, str(Path(__file__).parent))
