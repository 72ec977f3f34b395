"""Full, broken and read-only disks at every write of the journal: no call without an intent."""

from __future__ import annotations

from pathlib import Path

import pytest
from processes.points import Point, stage

FAULTS = {
    "pwrite64": ("ENOSPC", "EIO", "EROFS"),
    "fdatasync": ("EIO",),
    "ftruncate": ("ENOSPC", "EROFS"),
    "openat": ("EROFS", "ENOSPC"),
    "flock": ("EIO",),
    "rename": ("ENOSPC", "EROFS"),
    "unlink": ("EROFS",),
    "fsync": ("EIO",),
}
SOME = {"EIO": 6, "EROFS": 10}
"""Where a call can meet several errors, the first is tried at each of them, the others at one in so
many: what they do to a journal is the same."""
_MOST = 60  # faults in a verb


def faults(folder: Path, verb: str, *, for_good: bool, all_of_them: bool) -> list[str]:
    """What went wrong: a cloud called without an intent, or anything but clean after recovery."""
    setting = stage(folder, verb)
    calls = [point.call for point in setting.points()]
    wrong: list[str] = []
    injected = 0
    for call, errors in FAULTS.items():
        for error in errors:
            step = 1 if all_of_them or error == errors[0] else SOME.get(error, 1)
            for number in range(1, min(calls.count(call), _MOST) + 1, step):
                said, found = setting.fail_at(Point(verb, call, number), error, for_good=for_good)
                if said[2]:
                    injected += 1
                    fit = said[0] in {"PENDING", "SUCCEEDED"} or said[1] == "JournalError"
                    if not (fit and found.clean):
                        wrong.append(f"{verb}: {error} at {call} {number}: said {said}, {found}")
    assert injected > 20, "hardly any fault was met"
    return wrong


VERBS = ("open a new journal", "provision", "deprovision")


@pytest.mark.parametrize(
    ("verb", "for_good"),
    [pytest.param(verb, False, id=f"{verb}-once") for verb in VERBS]
    + [pytest.param("provision", True, id="provision-from then on")],
)
def test_disk_faults(tmp_path: Path, verb: str, for_good: bool) -> None:
    """The caller gets a handle or a JournalError; nothing is leaked, lost, stuck or corrupt."""
    assert faults(tmp_path, verb, for_good=for_good, all_of_them=False) == []


@pytest.mark.slow
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "from then on"])
@pytest.mark.parametrize("verb", VERBS)
def test_all_disk_faults(tmp_path: Path, verb: str, for_good: bool) -> None:
    """The same with every error at every call."""
    assert faults(tmp_path, verb, for_good=for_good, all_of_them=True) == []
