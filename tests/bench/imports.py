"""What importing costs: ratios of whole processes' CPU time, alternating, medians.

Targets: `from vmops import SupportsVMOps, Status` within 1.5 times `import pluggy`; `vmops --help`
under 12 times a bare interpreter start.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys

RUNS = 11
CASES = {
    "bare interpreter": ["-c", "pass"],
    "import pluggy": ["-c", "import pluggy"],
    "from vmops import SupportsVMOps, Status": ["-c", "from vmops import SupportsVMOps, Status"],
    "import vmops.facade": ["-c", "import vmops.facade"],
    "vmops --help": ["-m", "vmops", "--help"],
}


def cpu_seconds(arguments: list[str]) -> float:
    """User and system seconds of one Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # compiled files may be written, as on any user's machine
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(
        [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print medians and ratios."""
    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    for run in range(RUNS + 1):
        for name, arguments in CASES.items():
            spent = cpu_seconds(arguments)
            if run:  # the first round warms the page cache
                seconds[name].append(spent)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    bare, pluggy = medians["bare interpreter"], medians["import pluggy"]
    for name, value in medians.items():
        print(f"{name:42}{value * 1e3:8.1f} ms CPU {value / bare:7.2f} x bare interpreter")
    ratio = medians["from vmops import SupportsVMOps, Status"] / pluggy
    print(f"Protocol import / import pluggy: {ratio:.2f} (target <= 1.5)")
    print(f"vmops --help / bare interpreter: {medians['vmops --help'] / bare:.2f} (target < 12)")


if __name__ == "__main__":
    main()
