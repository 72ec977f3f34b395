"""The conformance kit can fail: each rule that is broken turns the right tests red."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from vmops.testing import BackendConformance, Known

BREAKING = """
import dataclasses
from vmops import State, VM
from vmops_sim import backend
from vmops_sim.backend import SimBackend
Cloud = backend.SimCloud

def retagged(**changes):
    original = backend._order
    names = {{f"vmops-{{key}}": value for key, value in changes.items()}}
    def order(vm):
        made = original(vm)
        return dataclasses.replace(made, tags={{**made.tags, **names}})
    backend._order = order

{broken}
"""
SUITE = """
import functools
import pytest
from vmops.testing import BackendConformance, CloudUnderTest, Known
from vmops_sim.backend import SimBackend
from vmops_sim.errors import SimError

FAST = {{f"{{v}}Seconds": "0.1" for v in ("provision", "start", "stop", "restart", "deprovision")}}

class TestBroken(BackendConformance):
    {attributes}
    @pytest.fixture
    def cloud(self, tmp_path):
        return CloudUnderTest(
            config={{"backend": "sim", "stateDir": str(tmp_path / "c"), "tick": 0.05, **FAST}},
            errors={{c: functools.partial(SimError, c) for c in SimBackend.error_codes}},
            timeout=2.0,
        )
"""

BREAKS = {
    # the rule that is broken: (how, which tests must notice)
    "tokens are ignored": (
        (
            "import itertools\nfresh, original = itertools.count(), Cloud.create\n"
            "Cloud.create = lambda self, orders, token: original(self, orders, f'{next(fresh)}')"
        ),
        {"test_same_token_makes_one_vm", "test_lost_answer"},
    ),
    "tags are not written": (
        (
            "original_order = backend._order\n"
            "backend._order = lambda vm: dataclasses.replace(original_order(vm), tags={})"
        ),
        {"test_repeated_provision_is_one_vm", "test_describe_of_many_in_one_call"},
    ),
    "the token is not in the tags": (
        "retagged(token='')",
        {"test_tags_prove_ownership", "test_recovery_of_a_create", "test_late_create_is_reaped"},
    ),
    "the time to live is not in the tags": (
        "retagged(expires='0')",
        {"test_tags_prove_ownership", "test_expired_vms_are_reaped"},
    ),
    "all installs are one owner": (
        "retagged(owner='0' * 32)",
        {"test_tags_prove_ownership", "test_expired_vms_are_reaped"},
    ),
    "the sequence number is not in the tags": (
        "retagged(sequence='0')",
        {"test_tags_prove_ownership", "test_restored_backup_deletes_nothing"},
    ),
    "a create is shown to its own process only": (
        (
            "mine, create, describe = set(), Cloud.create, Cloud.describe\n"
            "def creating(self, orders, token):\n"
            "    made = create(self, orders, token)\n"
            "    mine.update(id_ for id_, _ in made)\n"
            "    return made\n"
            "Cloud.create = creating\n"
            "Cloud.describe = lambda *a, **k: [m for m in describe(*a, **k) if m.id in mine]"
        ),
        {
            "test_recovery_of_a_create",
            "test_recovery_of_a_batch",
            "test_recovery_beside_the_living",
        },
    ),
    "a deletion is of all VMs of the name": (
        (
            "def by_name(self, vms, token):\n"
            "    names = {vm.name for vm in vms}\n"
            "    found = self.cloud.describe(None, (), tag='vmops-owner')\n"
            "    self.cloud.act('deprovision', [m.id for m in found if m.name in names])\n"
            "    return [{} for _ in vms]\n"
            "SimBackend.deprovision_many = by_name"
        ),
        {"test_late_create_is_reaped"},
    ),
    "a change of tags does nothing": (
        "SimBackend.retag = lambda self, vm, tags: None",
        {"test_renewal_postpones_reaping"},
    ),
    "the cloud's clock stands still": (
        "SimBackend.cloud_time = lambda self: 0.0",
        {"test_expired_vms_are_reaped"},
    ),
    "a restart without an answer is repeated": (
        (
            "from vmops.sending import Action, Sender\n"
            "sending = Sender._repeated\n"
            "Sender._repeated = lambda self, action, *a, **k: sending(\n"
            "    self, Action.STOP if action is Action.RESTART else action, *a, **k)"
        ),
        {"test_restart_is_asked_for_once"},
    ),
    "a stop does nothing": (
        ("SimBackend.stop_many = lambda self, vms, token, mode: [{} for _ in vms]"),
        {"test_whole_life", "test_stop_releases_compute"},
    ),
    "a deletion does nothing": (
        ("SimBackend.deprovision_many = lambda self, vms, token: [{} for _ in vms]"),
        {"test_whole_life", "test_killed_while_deprovisioning", "test_recovery_of_a_deletion"},
    ),
    "a poll says success too early": (
        (
            "from vmops import Succeeded\n"
            "SimBackend.poll = lambda self, ops, timeout: {o.id: Succeeded() for o in ops}"
        ),
        {"test_each_verb_from_each_state"},
    ),
    "an error code is mapped to nothing": (
        ("SimBackend.explain = lambda self, error: None"),
        {"test_every_error_code_is_reachable"},
    ),
    "every exception is explained": (
        (
            "from vmops import Fault\n"
            "SimBackend.explain = lambda self, error: Fault(getattr(error, 'code', 'Bug'), 'x')"
        ),
        {"test_unknown_exceptions_pass_through"},
    ),
    "the account changes": (
        (
            "import itertools\ncounter = itertools.count()\n"
            "SimBackend.account = lambda self: f'account-{next(counter)}'"
        ),
        {"test_account_is_stable"},
    ),
    "names are not checked": (
        ("SimBackend.vm_name = r'(?s).*'"),
        {"test_hostile_names", "test_url_of_a_hostile_name"},
    ),
    "a secret is logged": (
        (
            "import logging\n"
            "original_order = backend._order\n"
            "def leaky(vm):\n"
            "    logging.getLogger('sim').info(vm.params.user_data.get_secret_value())\n"
            "    return original_order(vm)\n"
            "backend._order = leaky"
        ),
        {"test_secrets_are_never_told"},
    ),
    "a restart keeps the old boot": (
        ("SimBackend.restart_many = lambda self, vms, token: [{} for _ in vms]"),
        {"test_restart_boots_again"},
    ),
}


def run(
    folder: Path, broken: str, tests: str, attributes: str = "pass"
) -> tuple[int, set[str], str]:
    """Run the kit on a broken cloud: exit code, the names of tests that failed, the output."""
    suite = folder / "test_broken.py"
    suite.write_text(SUITE.format(attributes=attributes))
    # the processes that the kit starts have the same broken cloud
    (folder / "sitecustomize.py").write_text(BREAKING.format(broken=broken) if broken else "")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", tests]
    done = subprocess.run(
        [*command, suite.name],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    failed = set(re.findall(r"^(?:FAILED|ERROR) \S+::(test_\w+)", done.stdout, re.MULTILINE))
    return done.returncode, failed, done.stdout + done.stderr


@pytest.mark.parametrize("rule", BREAKS)
def test_a_broken_rule_is_noticed(tmp_path: Path, rule: str) -> None:
    """Each way of being wrong fails the tests that are about it."""
    broken, noticed = BREAKS[rule]
    code, failed, said = run(tmp_path, broken, " or ".join(sorted(noticed)))
    assert code == 1, said
    assert failed == noticed, said


def test_known_failures_are_strict(tmp_path: Path) -> None:
    """A known failure is reported with its reason; once it passes, the run fails."""
    test = "test_stop_releases_compute"
    attributes = f"known_failures = {{{test!r}: Known('no stop here', 'never')}}"
    broken, _ = BREAKS["a stop does nothing"]
    code, failed, said = run(tmp_path, broken, test, attributes)
    assert (code, failed) == (0, set()), said
    assert re.search(rf"{test}: known: never: no stop here", said), said
    code, failed, said = run(tmp_path, "", test, attributes)
    assert (code, failed) == (1, {test}), said


def test_silent_overrides_are_refused() -> None:
    """A kit test cannot be redefined, nor a wrong name be listed, without the kit saying so."""
    with pytest.raises(TypeError, match="redefines the kit's test_whole_life silently"):
        type("TestX", (BackendConformance,), {"test_whole_life": lambda self: None})
    with pytest.raises(TypeError, match="test_typo"):
        type("TestY", (BackendConformance,), {"known_failures": {"test_typo": Known("x")}})
    declared = {"test_whole_life": lambda self: None, "overridden": {"test_whole_life": "because"}}
    type("TestZ", (BackendConformance,), declared)


def test_the_network_block_lets_loopback_through_only(tmp_path: Path) -> None:
    """With --vmops-block-network loopback works; other addresses and names are refused by name."""
    (tmp_path / "test_net.py").write_text(
        "import socket, pytest\n"
        "def test_loopback():\n"
        "    with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "        socket.create_connection(server.getsockname()).close()\n"
        "@pytest.mark.parametrize('host', ['192.0.2.1', 'example.invalid', '2001:db8::1'])\n"
        "def test_elsewhere(host):\n"
        "    with pytest.raises(OSError, match='test_elsewhere.*may only reach loopback'):\n"
        "        socket.create_connection((host, 9), timeout=1)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--vmops-block-network", "test_net.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "4 passed" in done.stdout, done.stdout


def test_the_table_names_tests_and_backends(tmp_path: Path) -> None:
    """At the end of a run there is a table of tests and backends."""
    _, _, said = run(tmp_path, "", "test_account_is_stable or test_sdk_is_imported_lazily")
    assert re.search(r"^ +Broken$", said, re.MULTILINE)
    assert re.search(r"^test_account_is_stable +ok$", said, re.MULTILINE)
    assert re.search(r"^test_sdk_is_imported_lazily +skip$", said, re.MULTILINE)
    assert "Broken test_sdk_is_imported_lazily: skip: the backend has no SDK" in said
