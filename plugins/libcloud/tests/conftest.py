"""One Nova for all of these tests, and an environment in which OpenStack's tools would find it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# importlib mode keeps test folders off sys.path
sys.path[:0] = [str(Path(__file__).parents[3] / "tests" / "clouds"), str(Path(__file__).parent)]

SLOW = {
    "test_a_finished_operation_can_be_waited_for_again",
    "test_another_process_finishes_the_wait",
    "test_deallocating_deprovision_keeps_the_vm",
    "test_each_verb_from_each_state",
    "test_forgotten_operations_are_judged_by_the_vm",
    "test_hostile_names",
    "test_late_create_is_reaped",
    "test_many_at_once",
    "test_many_waiters_share_their_polls",
    "test_one_look_then_again",
    "test_pending_result_is_enough",
    "test_recovery_beside_the_living",
    "test_recovery_of_a_batch",
    "test_recovery_of_a_deletion",
    "test_renewal_postpones_reaping",
    "test_repeated_teardown_joins",
    "test_restored_backup_deletes_nothing",
    "test_throttled_looks_are_no_failure",
    "test_two_processes_provision_one_name",
    "test_waiting_by_state_alone",
}
"""Of the kit, what is the core's above all: with Nova, the whole kit takes minutes."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The whole kit runs on Nova with `-m "slow or not slow"`."""
    for item in items:
        if "TestLibcloud" in item.nodeid and getattr(item, "originalname", "") in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def nova_server() -> Iterator[Any]:
    """Nova, started once."""
    from nova_cloud import NovaCloud

    NovaCloud.needed()
    with NovaCloud() as cloud:
        yield cloud


@pytest.fixture
def nova(nova_server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Nova without servers, and credentials where OpenStack's own tools have them."""
    nova_server.reset()
    for name, value in nova_server.environment().items():
        monkeypatch.setenv(name, value)
    return nova_server


@pytest.fixture
def config(nova: Any) -> dict[str, Any]:
    """What leads vmops to Nova."""
    return {"backend": "libcloud", "provider": "openstack", "tick": 0.2, "horizon": 1.0}
