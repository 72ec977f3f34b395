"""The reference page is what the installed libcloud makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmops_libcloud.page import providers_page

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "libcloud-providers.md"


def rows(page: str, provider: str) -> list[str]:
    """The lines of a page that begin with a provider."""
    return [
        line
        for line in page.splitlines()
        if line.startswith((f"| `{provider}`", f"- `{provider}`"))
    ]


def test_page_is_up_to_date() -> None:
    """The page in docs/reference is the one that is generated."""
    assert PAGE.read_text().partition("\n\n")[2] == providers_page()


def test_changed_driver_changes_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A libcloud whose driver lost a method makes another page, which the check refuses."""
    from libcloud.compute.base import NodeDriver
    from libcloud.compute.drivers.vultr import VultrNodeDriverV2

    before = providers_page()
    monkeypatch.setattr(VultrNodeDriverV2, "start_node", NodeDriver.start_node)
    from vmops_libcloud.capabilities import capabilities

    capabilities.cache_clear()
    changed = set(providers_page().splitlines()) ^ set(before.splitlines())
    assert changed == {rows(before, "vultr")[0], rows(providers_page(), "vultr")[0]}


def test_new_provider_gets_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that libcloud had not before is on the page, unless it is generated anew."""
    from libcloud.compute.providers import DRIVERS

    monkeypatch.setitem(DRIVERS, "newest", DRIVERS["brightbox"])  # type: ignore[arg-type, index]
    assert len(rows(providers_page(), "newest")) == 3


def test_reasons_are_told_where_there_are_any() -> None:
    """What a driver could do and does not has its reason on the page."""
    page = providers_page()
    assert "only switches the VM off" in rows(page, "libvirt")[-1]
    assert "list_nodes needs ipaddr" in rows(page, "vcl")[-1]
    assert len(rows(page, "openstack")) == 3


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("azure_arm", "|  |  | `key`, `secret`, `driver_tenant_id`, `driver_subscription_id` |"),
        ("upcloud", "| `username` | `password` | `key`, `secret` |"),
        ("vsphere", "Needs `pip install pyvmomi`. When it is made it asks for a session."),
        ("rimuhosting", "|  | no | `key` | It takes no `region`. |"),
        ("libvirt", "`endpointUrl` would have no effect, and is refused: driver_uri has."),
        ("openstack", "With `driver_ex_force_auth_token` `key` and `secret` may be missing."),
    ],
)
def test_what_drivers_are_made_with(provider: str, said: str) -> None:
    """What key and secret are to a driver, what must be given, and what it does by itself."""
    assert said in rows(providers_page(), provider)[1]
