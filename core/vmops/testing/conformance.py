"""`BackendConformance`: all rules in one class to subclass."""

from __future__ import annotations

from typing import ClassVar

from vmops.testing.contract import ContractRules
from vmops.testing.crash import CrashRules
from vmops.testing.lab import LabFixtures
from vmops.testing.lifecycle import LifecycleRules
from vmops.testing.reaping import ReapingRules
from vmops.testing.recovery import RecoveryRules
from vmops.testing.safety import SafetyRules
from vmops.testing.waiting import WaitingRules

__all__ = ["BackendConformance"]


class BackendConformance(
    LifecycleRules,
    WaitingRules,
    CrashRules,
    RecoveryRules,
    ReapingRules,
    SafetyRules,
    ContractRules,
    LabFixtures,
):
    """Subclass this, override the fixture `cloud`, run pytest: green means it is a backend.

    A test that cannot pass goes into `known_failures` with its reason; a test that is redefined
    goes into `overridden` with its reason. Anything else is refused when the class is made.
    """

    vmops_kit_tests: ClassVar[frozenset[str]]

    def __init_subclass__(cls) -> None:
        """Refuse silent overrides and stale names."""
        super().__init_subclass__()
        redefined = cls.vmops_kit_tests.intersection(vars(cls))
        for name in sorted(redefined - set(cls.overridden)):
            raise TypeError(
                f"{cls.__name__} redefines the kit's {name} silently;"
                f" say why: overridden = {{{name!r}: 'the reason'}}"
            )
        for name in sorted({*cls.known_failures, *cls.overridden} - cls.vmops_kit_tests):
            raise TypeError(f"{cls.__name__} names {name}, which is no test of the kit")


BackendConformance.vmops_kit_tests = frozenset(
    name for name in dir(BackendConformance) if name.startswith("test_")
)
