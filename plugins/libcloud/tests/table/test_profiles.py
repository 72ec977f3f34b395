"""What a profile says of a driver is what its code does."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from vmops_libcloud.capabilities import driver, providers
from vmops_libcloud.profiles import PROFILES

NODE = MagicMock(id="vm-1")
MARKED = sorted(name for name, profile in PROFILES.items() if profile.mark)


def bare(provider: str) -> Any:
    """A driver that was never initialised, and whose connection takes any request."""
    cls, _ = driver(provider)
    one = object.__new__(cls)
    one.connection = MagicMock()
    return one


def test_profiles_are_of_providers() -> None:
    """No profile is of a provider that libcloud does not have."""
    assert set(PROFILES) <= set(providers())


@pytest.mark.parametrize("provider", MARKED)
def test_marks_are_shown_again(provider: str) -> None:
    """The key where the marks are found again stands in the driver's code, as a text."""
    cls, _ = driver(provider)
    code = "".join(
        inspect.getsource(base) for base in cls.__mro__[:-1] if "drivers" in base.__module__
    )
    whole = "extra=data" in code or "extra[k] = v" in code  # all that the service tells
    assert (
        whole or f'"{PROFILES[provider].shown}"' in code or f"{PROFILES[provider].shown}=" in code
    )


@pytest.mark.parametrize(("provider", "verb"), [("kamatera", "stop"), ("gce", "stop")])
def test_options_keep_a_verb_from_waiting(provider: str, verb: str) -> None:
    """With its options the method makes one request, and polls for nothing."""
    one = bare(provider)
    one.stop_node(NODE, **PROFILES[provider].options[verb])
    assert [call[0] for call in one.connection.method_calls] == ["request"]


def test_cloudstack_starts_what_it_makes() -> None:
    """Without the option the driver asks for a VM that stays stopped."""
    one = bare("cloudstack")
    asked = MagicMock()
    options = PROFILES["cloudstack"].options["provision"]
    params = one._create_args_to_params(None, "vm", asked, asked, asked, **options)
    assert params["startvm"] is True
    assert one._create_args_to_params(None, "vm", asked, asked, asked)["startvm"] is False


@pytest.mark.parametrize(
    ("provider", "asked"),
    [
        ("cloudsigma", {"recurse": "all_drives"}),
    ],
)
def test_deletions_take_all(provider: str, asked: dict[str, str]) -> None:
    """With its options the method asks for all that is the VM's own to be deleted."""
    one = bare(provider)
    one.destroy_node(NODE, **PROFILES[provider].options["deprovision"])
    assert one.connection.request.call_args.kwargs["params"] == asked


def test_gridscale_deletes_volumes_and_addresses() -> None:
    """With its options the driver deletes what was made along with the server."""
    one = bare("gridscale")
    one.ex_list_volumes_for_node = one.ex_list_ips_for_node = lambda node: ["thing"]
    one._sync_request, one.destroy_volume, one.ex_destroy_ip = (MagicMock() for _ in range(3))
    one.destroy_node(NODE, **PROFILES["gridscale"].options["deprovision"])
    one.destroy_volume.assert_called_once_with(volume="thing")
    one.ex_destroy_ip.assert_called_once_with(ip="thing")


def test_vultr_looks_at_machines_of_metal_only_if_asked() -> None:
    """With its option a look is one request."""
    one = bare("vultr")
    one.connection.request.return_value.object = {"meta": {"links": {"next": ""}}}
    one.list_nodes(**PROFILES["vultr"].options["list"])
    assert one.connection.request.call_count == 1


def test_libvirt_only_switches_off() -> None:
    """destroy_node calls what libvirt calls destroy, and undefines nothing."""
    one, domain = bare("libvirt"), MagicMock()
    one._get_domain_for_node = lambda node: domain
    one.destroy_node(NODE)
    assert [call[0] for call in domain.method_calls] == ["destroy"]


def test_nimbus_has_no_tags() -> None:
    """Its method that creates tags asks for nothing."""
    one = bare("nimbus")
    one.ex_create_tags(MagicMock(), {"Name": "vm"})
    assert one.connection.mock_calls == []


@pytest.mark.filterwarnings("ignore:Testing an element's truth value")
def test_opennebula_loses_names() -> None:
    """What its create_node sends has no name in it."""
    one = bare("opennebula")
    one._to_node = lambda compute: compute
    one.create_node("web-1", SimpleNamespace(name="small"), SimpleNamespace(id="image"))
    sent = one.connection.request.call_args.kwargs["data"]
    assert b"small" in sent
    assert b"web-1" not in sent


def test_dummy_forgets_names() -> None:
    """Its VMs have names of its own."""
    from libcloud.compute.providers import get_driver

    one = get_driver("dummy")(0)
    assert one.create_node("vm", None, None).name != "vm"


def test_outscale_names_a_vm_by_a_second_request() -> None:
    """A VM that was just made has no name yet."""
    one = bare("outscale")
    asked = []
    one._call_api = lambda action, data: asked.append(action) or MagicMock(status_code=500)
    one._to_node = lambda vm: NODE
    one.create_node(NODE, name="vm")
    assert asked == ["CreateVms", "CreateTags"]


def test_outscale_returns_refusals() -> None:
    """What the service refuses is an answer like any other, and no exception."""
    one = bare("outscale")
    one._call_api = lambda action, data: MagicMock(status_code=400, json=lambda: "refused")
    assert one.stop_node(NODE) == "refused"


@pytest.mark.parametrize("password", [None, "secret"])
def test_linode_insists_on_a_password(password: str | None) -> None:
    """With an image it makes nothing without one."""
    from libcloud.common.linode import LinodeExceptionV4
    from libcloud.compute.base import NodeImage, NodeLocation, NodeSize

    one = bare("linode")
    one._to_node = MagicMock()
    place, size = NodeLocation("l", "", "", one), NodeSize("s", "", 0, 0, 0, 0, one)
    given = {PROFILES["linode"].password: password}
    if password:
        one.create_node(place, "vm", size, NodeImage("i", "", one), **given)
    else:
        with pytest.raises(LinodeExceptionV4, match="root password"):
            one.create_node(place, "vm", size, NodeImage("i", "", one), **given)
    assert one.connection.request.called == bool(password)


def test_rimuhosting_shows_all_as_running() -> None:
    """No answer of the service leads to another state."""
    from libcloud.compute.types import NodeState

    assert bare("rimuhosting")._to_node(MagicMock()).state == NodeState.RUNNING


def test_upcloud_looks_at_each() -> None:
    """One look is one request, and one for each VM."""
    one = bare("upcloud")
    one._node_ids, one._to_nodes = lambda: ["a", "b", "c"], len
    assert one.list_nodes() == one.connection.request.call_count == 3
