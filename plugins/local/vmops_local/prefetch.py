"""`python -m vmops_local.prefetch`: fetch and build the linux guest now, to use it offline later.

Exit codes: 0 done, 1 it failed, 3 something is missing on this machine.
"""

from __future__ import annotations

import argparse
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
    parser.add_argument("--cache-dir", type=Path, default=None, help="default: the user's cache")
    parser.add_argument(
        "--if-missing", action="store_true", help="ask apt for nothing where there is a build"
    )
    options = parser.parse_args(arguments)
    cache = options.cache_dir.absolute() if options.cache_dir else cache_folder()
    try:
        build = ensure_build(cache, refresh=not options.if_missing)
    except CloudError as exc:
        sys.stderr.write(f"prefetch: {exc}\n")
        return 3 if isinstance(exc, MissingDependency | NotSupported) else 1
    sys.stdout.write(f"guest=linux is ready: kernel {build.release} in {build.kernel.parent}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
