"""`python -m vmops_local.prefetch`: fetch and build the linux guest now, to use it offline later.

Exit codes: 0 done, 1 it failed, 3 something is missing on this machine.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from vmops.errors import CloudError, MissingDependency, NotSupported
from vmops_local.files import cache_folder
from vmops_local.linux_cache import ensure_build

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The program's exit code, after saying what was built or why not."""
    parser = argparse.ArgumentParser(prog="python -m vmops_local.prefetch", description=__doc__)
    # the same variable as the backend's setting: both must mean one folder
    default = Path(os.environ.get("VMOPS_LOCAL_CACHE_DIR") or cache_folder())
    parser.add_argument("--cache-dir", type=Path, default=default, help="default: %(default)s")
    parser.add_argument(
        "--if-missing", action="store_true", help="ask apt for nothing where there is a build"
    )
    options = parser.parse_args(arguments)
    try:
        build = ensure_build(options.cache_dir.absolute(), refresh=not options.if_missing)
    except CloudError as exc:
        sys.stderr.write(f"prefetch: {exc}\n")
        return 3 if isinstance(exc, MissingDependency | NotSupported) else 1
    sys.stdout.write(f"guest=linux is ready: kernel {build.release} in {build.kernel.parent}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
