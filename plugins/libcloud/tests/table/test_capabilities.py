"""What the table claims of a driver is true of its class, for each provider of libcloud."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable
from typing import Any

import pytest
from libcloud.compute.base import NodeDriver

from vmops_libcloud.capabilities import (
    VERBS,
    Capabilities,
    UnknownProvider,
    capabilities,
    driver,
    providers,
)

THE_LEAST = """\
def list_nodes(self): return []
def create_node(self, name, size, image): return name
def destroy_node(self, node): return True
"""


@pytest.fixture(params=providers())
def row(request: pytest.FixtureRequest) -> Capabilities:
    """A provider's row."""
    return capabilities(request.param)


@pytest.fixture
def cls(row: Capabilities) -> type[Any]:
    """The row's driver."""
    return driver(row.provider)[0]


def test_methods_are_the_drivers_own(row: Capabilities, cls: type[Any]) -> None:
    """A method that is named exists, and is no stub of the base API."""
    assert cls.__name__ == row.driver
    for verb, name in row.methods.items():
        method = getattr(cls, name)
        assert name in VERBS[verb]
        assert method is not getattr(NodeDriver, name, None)
        assert set(method.__code__.co_names) != {"NotImplementedError"}


def test_methods_take_what_vmops_gives(row: Capabilities, cls: type[Any]) -> None:
    """Each can be called with a node, with what its verb needs besides, and with its options."""
    given = {"list": (), "retag": (None, {})}
    for verb, name in row.methods.items():
        options = row.options.get(verb, {})
        if verb == "provision":
            assert set(options) <= row.arguments
        else:
            inspect.signature(getattr(cls, name)).bind(None, *given.get(verb, (None,)), **options)


def test_every_verb_is_there_or_has_a_reason(row: Capabilities) -> None:
    """No verb is both or neither, and no reason is empty."""
    assert {*row.methods, *row.missing} == set(VERBS)
    assert not {*row.methods} & {*row.missing}
    assert all(row.missing.values())
    assert row.blocking <= set(row.methods)


def test_what_is_made_can_be_found_and_deleted(row: Capabilities) -> None:
    """A provider that VMs cannot be listed on or deleted from makes none."""
    if "provision" in row.methods:
        assert {"list", "deprovision"} <= set(row.methods)
        assert "name" in row.arguments


def test_arguments_are_create_nodes(row: Capabilities) -> None:
    """What marks a VM, and what else is given by name, are arguments that create_node takes."""
    if "provision" in row.methods:
        for name in (row.mark, row.token, row.ssh_key, row.user_data, row.password):
            assert name.partition(".")[0] in {*row.arguments, ""}
        assert row.required <= row.arguments
    assert bool(row.mark) == bool(row.shown) == (row.ownership != "name")


def test_safety_is_told(row: Capabilities) -> None:
    """The sentence is whole, and tells of a wait and of what may remain."""
    assert row.crash_safety.endswith(".")
    assert row.parts in row.crash_safety or "provision" not in row.methods
    assert ("waits" in row.crash_safety) == ("provision" in row.blocking)


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("ec2", "for which the service makes no second VM"),
        ("linode", "the service refuses a second VM of the same name"),
        ("openstack", "before a create is repeated, that is waited and looked for"),
        ("brightbox", "A VM's name is all that marks it"),
        ("dummy", "Nothing is made."),
    ],
)
def test_how_safe_a_create_is(provider: str, said: str) -> None:
    """Each provider says what keeps a repeated create from making a second VM."""
    assert said in capabilities(provider).crash_safety


def test_providers_are_all_of_libclouds() -> None:
    """Each that libcloud has a driver for has a row."""
    from libcloud.compute.providers import DRIVERS

    assert set(providers()) == set(DRIVERS)
    assert len(providers()) > 40


@pytest.mark.parametrize(
    ("provider", "newest"),
    [
        ("cloudsigma", ("CloudSigma_2_0_NodeDriver", "2.0")),
        ("digitalocean", ("DigitalOcean_v2_NodeDriver", "v2")),
        ("linode", ("LinodeNodeDriverV4", "4.0")),
        ("opennebula", ("OpenNebula_3_8_NodeDriver", "3.8")),
        ("openstack", ("OpenStack_2_NodeDriver", "2.2")),
        ("rackspace", ("RackspaceNodeDriver", "")),
        ("ec2", ("EC2NodeDriver", "")),
        ("vcloud", ("VCloud_5_5_NodeDriver", "5.5")),
        ("vultr", ("VultrNodeDriverV2", "2")),
    ],
)
def test_newest_version(provider: str, newest: tuple[str, str]) -> None:
    """The driver is that of the newest API, even where libcloud's default is an older one."""
    row = capabilities(provider)
    assert (row.driver, row.version) == newest


def test_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row needs no credentials: no driver is initialised, and no socket opened."""

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(NodeDriver, "__init__", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    assert all(capabilities(name).methods or capabilities(name).missing for name in providers())


def test_unknown_provider() -> None:
    """The nearest names are told."""
    with pytest.raises(UnknownProvider, match=r"no provider 'openstak'; did you mean openstack\?"):
        capabilities("openstak")


def test_provider_that_libcloud_gave_up() -> None:
    """The reason that libcloud has is told."""
    with pytest.raises(UnknownProvider, match="HP Helion Public Cloud was shut down"):
        capabilities("hpcloud")


def test_provider_that_is_like_no_other() -> None:
    """There is no question mark after nothing."""
    with pytest.raises(UnknownProvider, match=r"no provider 'zzzzzz'$"):
        capabilities("zzzzzz")


def test_driver_with_the_least(written: Callable[[str], str]) -> None:
    """It makes VMs, which its names mark, and says of the rest that it has no method."""
    row = capabilities(written(THE_LEAST))
    assert row.methods == {
        "list": "list_nodes",
        "provision": "create_node",
        "deprovision": "destroy_node",
    }
    assert row.missing["start"] == "libcloud's Written has no method to start a VM"
    assert row.ownership == "name"
    assert row.arguments == {"name", "size", "image"}
    assert not row.blocking


@pytest.mark.parametrize(
    ("body", "verb", "method"),
    [
        ("def ex_start(self, node): return 1", "start", "ex_start"),
        ("def ex_power_on_node(self, node): return 1", "start", "ex_power_on_node"),
        ("def ex_start(self, node, how=1): return 1", "start", "ex_start"),
        ("def ex_start(self, node, how): return 1", "start", ""),
        ("def ex_start(self): return 1", "start", ""),
        ("def start_node(self, node): return 1", "start", "start_node"),
        ("def start_node(self, node): raise NotImplementedError('later')", "start", ""),
        ("def stop_node(self, node):\n    'Not yet.'\n    raise NotImplementedError", "stop", ""),
        ("def ex_shutdown_node(self, node): return 1", "stop", "ex_shutdown_node"),
        (
            "def ex_stop_node(self, node): return 1\nex_power_off = ex_stop_node",
            "stop",
            "ex_stop_node",
        ),
        ("def ex_set_metadata(self, node, pairs): return 1", "retag", ""),
    ],
)
def test_methods_by_other_names(
    written: Callable[[str], str], body: str, verb: str, method: str
) -> None:
    """They count where they take a node and do something, the base API's first."""
    assert capabilities(written(THE_LEAST + body)).methods.get(verb, "") == method


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("def list_nodes(self, where): return []", "list_nodes needs where"),
        ("def list_nodes(self): raise NotImplementedError", "no method to list VMs"),
        ("def destroy_node(self, node): raise NotImplementedError", "could not be deleted again"),
        ("def create_node(self, size, image): return 1", "takes no name"),
        ("def create_node(self, name, size, image): return 1", "takes no name"),
        ("def create_node(self, name, size): raise NotImplementedError", "no method to make a VM"),
    ],
)
def test_nothing_is_made_that_is_lost(
    written: Callable[[str], str], body: str, reason: str
) -> None:
    """A driver that cannot find or delete what it makes is not asked to make anything."""
    row = capabilities(written(THE_LEAST + body))
    assert "provision" not in row.methods
    assert reason in row.missing["provision"]
    assert row.crash_safety == "Nothing is made."


@pytest.mark.parametrize(
    ("body", "waits"),
    [
        ("return self.connection.request(node)", False),
        ("time.sleep(1)", True),
        ("return self._later(node)", True),
        ("return self._sooner(node)", False),
        ("return Poll(node)", False),
    ],
)
def test_verbs_that_wait(written: Callable[[str], str], body: str, *, waits: bool) -> None:
    """A method waits if it sleeps, or another that it calls."""
    others = """\
    def _later(self, node):
        while not self._sooner(node):
            time.sleep(1)
    def _sooner(self, node):
        return node.state or self.stop_node(node)
    """
    text = f"{THE_LEAST}def stop_node(self, node):\n    {body}\n" + inspect.cleandoc(others) + "\n"
    assert (capabilities(written(text)).blocking == {"stop"}) is waits


def test_waits_of_the_connection(written: Callable[[str], str]) -> None:
    """The polling that libcloud has counts, where a connection has it."""
    text = f"{THE_LEAST}def stop_node(self, node): return self.connection.async_request(node)\n"
    assert capabilities(written(text)).blocking == {"stop"}


def test_verbs_that_wait_in_libcloud() -> None:
    """What is known of its drivers, read by hand."""
    every = {"provision", "start", "stop", "restart", "deprovision"}
    known = {
        "openstack": set(),
        "digitalocean": set(),
        "linode": set(),
        "vultr": set(),
        "cloudstack": every,
        "vsphere": every,
        "aliyun_ecs": every,
        "upcloud": {"deprovision"},
        "azure_arm": {"deprovision"},
        "kamatera": {"provision"},
        "cloudsigma": {"provision", "restart"},
    }
    assert {name: set(capabilities(name).blocking) for name in known} == known


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ("def create_node(self, name, size, **kwargs): return name, kwargs['ex_a']", {"ex_a"}),
        ("def create_node(self, name, size, **kw): return name, kw.get('ex_a', 1)", {"ex_a"}),
        ("def create_node(self, name, size, **kw): return name if 'ex_a' in kw else 1", {"ex_a"}),
        ("def create_node(self, name, size, **kw): return name, other['ex_a']", set()),
        ("def create_node(self, name, size, **kw): return name, self._more(**kw)", {"ex_b"}),
        ("def _more(self, size, ex_b): return 1", {"image"}),
    ],
)
def test_arguments_behind_asterisks(
    written: Callable[[str], str], body: str, arguments: set[str]
) -> None:
    """What a method looks for in its **kwargs, or hands on, is among its arguments."""
    more = "\ndef _more(self, size, ex_b): return 1\n"
    row = capabilities(written(THE_LEAST + body + more))
    assert row.arguments == {"name", "size", *arguments}


def test_arguments_handed_to_what_is_overridden() -> None:
    """create_node(**kwargs) that calls super() takes what that takes."""
    assert capabilities("ec2").arguments == capabilities("outscale_sas").arguments
