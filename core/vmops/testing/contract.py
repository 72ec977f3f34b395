"""Rules of the contract between core and plugin, checked on the plugin's own classes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vmops.backend import Backend, Limit
from vmops.binding import Binder
from vmops.connection import Connection
from vmops.errors import CloudError
from vmops.facade import VMOps
from vmops.plugins import Registry
from vmops.testing.lab import Lab
from vmops.vm import Ref, State

__all__ = ["ContractRules"]


class ContractRules:
    """What a Backend class promises about itself."""

    def test_every_field_is_described(self, lab: Lab) -> None:
        """Every setting and param has a description, and a camelCase alias."""
        for model in (lab.backend_type.settings_type, lab.backend_type.params_type):
            for name, field in model.model_fields.items():
                assert field.description, f"{model.__name__}.{name} lacks a description"
                assert "_" not in (field.alias or name), f"{model.__name__}.{name} is not camelCase"

    def test_settings_are_hashable(self, lab: Lab) -> None:
        """Settings are the key of a connection: equal ones hash alike."""
        one, two = self._backend(lab).settings, self._backend(lab).settings
        assert one == two
        assert hash(one) == hash(two)

    def test_every_error_code_is_reachable(self, lab: Lab) -> None:
        """Every declared provider code is read off an SDK exception and becomes its class."""
        cls = lab.backend_type
        missing = sorted(set(cls.error_codes) - set(lab.cloud.errors))
        assert not missing, f"CloudUnderTest.errors has no sample for {missing}"
        connection = Connection(self._backend(lab), owner="kit")
        for code, kind in cls.error_codes.items():
            assert issubclass(kind, CloudError)
            error = connection.translated(lab.cloud.errors[code]())
            assert type(error) is kind, f"{code}: {error!r}"
            assert error.provider_code == code

    def test_unknown_exceptions_pass_through(self, lab: Lab) -> None:
        """An exception that is a bug is not dressed up as the cloud's answer."""
        assert self._backend(lab).explain(ZeroDivisionError("a bug")) is None

    def test_limits_are_of_known_calls(self, lab: Lab) -> None:
        """Rate limits are declared for verbs, describe and poll; a backend's own are told apart."""
        known = {"describe", "poll", "provision", "start", "stop", "restart", "deprovision"}
        backend = self._backend(lab)
        assert set(backend.limits) <= known
        assert not known & set(backend.own_limits)
        every = [*backend.limits.values(), *backend.own_limits.values()]
        assert all(isinstance(limit, Limit) for limit in every)

    def test_account_is_stable(self, lab: Lab) -> None:
        """Two connections with equal settings prove the same account, and it is not empty."""
        first, second = self._backend(lab).account(), self._backend(lab).account()
        assert first == second
        assert first

    def test_describe_of_many_in_one_call(self, lab: Lab, ops: VMOps) -> None:
        """Describe answers for several VMs at once, and leaves out what it does not know."""
        names = [lab.params() for _ in range(2)]
        for answer in [ops.vm_provision(params) for params in names]:
            lab.wait(ops, answer)
        refs = [Ref(n["vmName"]) for n in names] + [Ref("kit-nobody")]
        backend = self._backend(lab)
        seen = {vm.name: vm for vm in backend.describe(refs) if vm.state is not State.ABSENT}
        assert sorted(seen) == sorted(n["vmName"] for n in names)
        assert all(vm.state is State.RUNNING and vm.tags is not None for vm in seen.values())
        assert set(seen) <= {vm.name for vm in backend.describe(None)}
        by_id = {vm.name for vm in backend.describe([Ref("", vm.id) for vm in seen.values()])}
        assert by_id == set(seen)

    def test_name_and_entry_point_agree(self, lab: Lab) -> None:
        """The class's name is the name it is installed under."""
        assert lab.backend_type.name == lab.cloud.config["backend"]

    def test_sdk_is_imported_lazily(self, lab: Lab) -> None:
        """Finding and loading the plugin imports no SDK."""
        if not lab.cloud.sdk:
            pytest.skip("the backend has no SDK")
        code = (
            "import sys\nfrom vmops.plugins import Registry\n"
            f"Registry().load({lab.backend_type.name!r})\n"
            f"print([m for m in {lab.cloud.sdk!r} if m in sys.modules])"
        )
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]"

    def test_listing_backends_imports_no_plugin(self, lab: Lab) -> None:
        """Names come from metadata: the plugin's module is not imported for them."""
        module = lab.backend_type.__module__.partition(".")[0]
        code = (
            "import sys\nfrom vmops.plugins import Registry\n"
            f"assert {lab.backend_type.name!r} in Registry().names()\n"
            f"print({module!r} in sys.modules)"
        )
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "False"

    @staticmethod
    def _backend(lab: Lab) -> Backend[object, object]:  # type: ignore[type-var]
        cls = Registry().load(lab.cloud.config["backend"])
        binder = Binder(cls.name, cls.settings_type, cls.params_type, cls.vm_name, lab.cloud.config)
        return cls(binder.bind(lab.params()).settings)
