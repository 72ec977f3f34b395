"""The addresses of VMs, which ARM keeps with their network interfaces.

Those of a VM that vmops made stay the same for as long as it exists: they are read once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vmops import side_by_side
from vmops_azure.client import Arm

__all__ = ["NETWORK", "Addresses"]

NETWORK: Final = "2024-05-01"
"""The api-version of Microsoft.Network."""

_FEW: Final = 5
"""Interfaces that are read one by one; of more, two lists cost fewer calls."""
_REMEMBERED: Final = 20_000
_PROVIDER: Final = "providers/Microsoft.Network"
_INTERFACE: Final = re.compile(
    r"/subscriptions/[-0-9a-f]+/resourceGroups/[-\w.()]+"
    r"/providers/Microsoft\.Network/networkInterfaces/[-\w.]+",
    re.ASCII | re.IGNORECASE,
)

Info = Mapping[str, str]


class Addresses:
    """Reads network interfaces.

    Args:
        arm: The connection.
    """

    def __init__(self, arm: Arm) -> None:
        """Ask nothing yet."""
        self._arm = arm
        self._known: dict[str, Info] = {}

    def known(self, model: Mapping[str, Any]) -> Info:
        """The addresses of a VM that were read before; empty if none were."""
        return self._known.get(_vm_id(model), {})

    def learn(self, models: Sequence[Mapping[str, Any]]) -> None:
        """Read the addresses of VMs; those of our own are read once."""
        wanted = [m for m in models if _interface(m) and not (_ours(m) and self.known(m))]
        names = [_interface(model) for model in wanted]
        found = self._listed(names) if len(names) > _FEW else self._read(names)
        keys = {_vm_id(model): _interface(model).lower() for model in wanted}
        self._known.update({id_: found[key] for id_, key in keys.items() if key in found})
        while len(self._known) > _REMEMBERED:
            del self._known[next(iter(self._known))]

    def _read(self, names: list[str]) -> dict[str, Info]:
        expand = "ipConfigurations/publicIPAddress"
        paths = [f"{name}?$expand={expand}&api-version={NETWORK}" for name in names]
        found = side_by_side(self._arm.find, paths)
        return {n.lower(): _addresses(one, {}) for n, one in zip(names, found, strict=True) if one}

    def _listed(self, names: list[str]) -> dict[str, Info]:
        wanted = {name.lower() for name in names}
        cards = {one["id"].lower(): one for one in self._list("networkInterfaces")}
        cards = {key: one for key, one in cards.items() if key in wanted}
        public: dict[str, Any] = {}
        if any(_public_id(one) for one in cards.values()):
            public = {one["id"].lower(): one for one in self._list("publicIPAddresses")}
        found = {key: _addresses(one, public) for key, one in cards.items()}
        elsewhere = [name for name in names if name.lower() not in found]
        return {**found, **self._read(elsewhere)}  # those in another resource group

    def _list(self, kind: str) -> list[dict[str, Any]]:
        return list(self._arm.pages(f"{self._arm.group}/{_PROVIDER}/{kind}?api-version={NETWORK}"))


def _interface(model: Mapping[str, Any]) -> str:
    """The resource id of a VM's first interface; empty if it has none yet."""
    cards = model.get("properties", {}).get("networkProfile", {}).get("networkInterfaces") or ()
    ranked = sorted(cards, key=lambda one: not (one.get("properties") or {}).get("primary", False))
    id_ = str(ranked[0].get("id", "")) if ranked else ""
    return id_ if _INTERFACE.fullmatch(id_) else ""


def _vm_id(model: Mapping[str, Any]) -> str:
    return str(model["properties"]["vmId"]).lower()


def _ours(model: Mapping[str, Any]) -> bool:
    return "vmops-owner" in (model.get("tags") or {})


def _first(card: Mapping[str, Any]) -> Mapping[str, Any]:
    configurations = card.get("properties", {}).get("ipConfigurations") or [{}]
    found: Mapping[str, Any] = configurations[0].get("properties") or {}
    return found


def _public_id(card: Mapping[str, Any]) -> str:
    return str((_first(card).get("publicIPAddress") or {}).get("id", "")).lower()


def _addresses(card: Mapping[str, Any], public: Mapping[str, Any]) -> Info:
    first = _first(card)
    shown = public.get(_public_id(card)) or first.get("publicIPAddress") or {}
    found = {
        "privateIp": first.get("privateIPAddress"),
        "publicIp": (shown.get("properties") or {}).get("ipAddress"),
    }
    return {key: str(value) for key, value in found.items() if value}
