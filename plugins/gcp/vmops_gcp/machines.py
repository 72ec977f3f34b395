"""What GCE shows of virtual machines: one read by itself, several by one list.

A VM's numeric id is never another VM's, and GCE takes it wherever it takes a name. So all that is
done to a VM that was seen is done by id; a name alone finds a VM that was not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from vmops import VM, Ref, State, Tags, side_by_side
from vmops.errors import NotSupported
from vmops_gcp.client import Compute, epoch
from vmops_gcp.errors import NotGceError
from vmops_gcp.memory import Memory

__all__ = ["Machines"]

_CLIENT: Final = "InstancesClient"
_REMEMBERED: Final = 20_000
_ID: Final = re.compile(r"[1-9][0-9]{0,19}", re.ASCII)
_LONGEST_FILTER: Final = 1500
"""Characters of a filter by names; with more names, everything in the zone is listed."""
_MOST_FILTERS: Final = 3

_STATES: Final[Mapping[str, State]] = {
    "PENDING": State.STARTING,
    "PROVISIONING": State.STARTING,
    "STAGING": State.STARTING,
    "REPAIRING": State.STARTING,
    "RUNNING": State.RUNNING,
    "PENDING_STOP": State.STOPPING,
    "STOPPING": State.STOPPING,
    "DEPROVISIONING": State.STOPPING,
    "STOPPED": State.STOPPED,
    "TERMINATED": State.STOPPED,
    "SUSPENDING": State.FAILED,
    "SUSPENDED": State.FAILED,
}
"""Source: "VM instance lifecycle", Compute Engine documentation. What is suspended can neither be
started nor stopped, only resumed or deleted: for all verbs but one it is as good as failed."""


class Machines:
    """Describes the VMs of one connection.

    Args:
        compute: The connection.
    """

    def __init__(self, compute: Compute) -> None:
        """Ask nothing yet."""
        self._compute = compute
        self._seen: Memory[VM] = Memory(_REMEMBERED)
        self._fixed: Memory[bool] = Memory(_REMEMBERED)
        self._gone: Memory[bool] = Memory(_REMEMBERED)

    def known(self, id_: str) -> VM | None:
        """A VM as it was seen last, if this connection has seen it."""
        return self._seen.get(id_)

    def keeps_addresses(self, id_: str) -> bool:
        """Whether a start leaves a VM the addresses it had: each brings another public one."""
        vm = self._seen.get(id_)
        return vm is not None and "privateIp" in vm.info and bool(self._fixed.get(id_))

    def ours(self) -> list[VM]:
        """All VMs of the zone that carry vmops labels."""
        return [vm for vm in self._listed("labels.vmops-owner:*") if vm.tags is not None]

    def describe(self, refs: Sequence[Ref]) -> list[VM]:
        """Those of these VMs that exist, and those that certainly do not any more."""
        asked = [ref for ref in refs if not ref.id or _ID.fullmatch(ref.id)]
        names = sorted({ref.name for ref in asked if ref.name})
        if len(names) < 2:  # noqa: PLR2004  (one read is quicker and surer than a list)
            return self._each(asked)
        seen = [vm for filter_ in _filters(names) for vm in self._listed(filter_)]
        ids, shown = {vm.id for vm in seen}, {vm.name for vm in seen}
        # a list may lag: what it lacks and was there before is asked for by itself
        missed = [r for r in asked if (r.id not in ids if r.id else r.name not in shown)]
        return seen + self._each([ref for ref in missed if ref.id])

    def get(self, name: str) -> VM | None:
        """The VM with this name or id, if there is one."""
        model = self._compute.get(_CLIENT, instance=name)
        return None if model is None else self._read(model)

    def _each(self, refs: Sequence[Ref]) -> list[VM]:
        """These VMs, each read by its id, or else its name."""
        found = side_by_side(self._one, refs)
        return [vm for vm in found if vm is not None]

    def _one(self, ref: Ref) -> VM | None:
        vm = None if self._gone.get(ref.id) else self.get(ref.id or ref.name)
        if vm is None and (before := self._seen.get(ref.id)) is not None:
            self._gone.keep(ref.id, True)  # noqa: FBT003  (an id never comes back)
            return VM(before.name, State.ABSENT, id=ref.id, tags=before.tags)
        return vm

    def _listed(self, filter_: str) -> Iterator[VM]:
        fields: dict[str, Any] = {"filter": filter_} if filter_ else {}
        for page in self._compute.pages(_CLIENT, **fields):
            for model in page.items:
                yield self._read(model)

    def _read(self, model: Any) -> VM:  # noqa: ANN401  (an Instance of the SDK)
        if not model.name or not model.id:
            raise NotGceError("the answer is no VM: it has no name or no id")
        vm = _vm(model)
        self._seen.keep(vm.id, vm)
        self._fixed.keep(vm.id, not any(card.access_configs for card in model.network_interfaces))
        return vm


def _filters(names: Sequence[str]) -> list[str]:
    """Filters that show VMs of these names; of many, one that shows all."""
    filters: list[str] = []
    some = ""
    for name in names:
        if some and len(some) + len(name) > _LONGEST_FILTER:
            filters.append(some)
            some = ""
        some = f"{some}|{name}" if some else name
    filters.append(some)
    return [f'name eq "({one})"' for one in filters] if len(filters) <= _MOST_FILTERS else [""]


def _vm(model: Any) -> VM:  # noqa: ANN401
    owner = Tags.from_dict(model.labels)
    if owner is not None and owner.vm != model.name:
        owner = None  # copied from another VM, as labels are
    state = _STATES.get(model.status, State.STARTING)
    error = None
    if state is State.FAILED:
        error = NotSupported(
            f"VM {model.name!r} is {model.status.lower()}, which vmops does not handle",
            provider_code=model.status,
            hint=f"gcloud compute instances resume {model.name}, or vm_deprovision",
            remains=f"VM {model.name!r}",
        )
    return VM(
        model.name,
        state,
        id=str(model.id),
        started=epoch(model.last_start_timestamp),
        tags=owner,
        info=_info(model),
        error=error,
    )


def _info(model: Any) -> dict[str, Any]:  # noqa: ANN401
    cards = list(model.network_interfaces)
    public = [access for card in cards for access in card.access_configs]
    info = {
        "privateIp": next((card.network_i_p for card in cards if card.network_i_p), ""),
        "publicIp": next((access.nat_i_p for access in public if access.nat_i_p), ""),
        "zone": _last(model.zone),
        "vmSize": _last(model.machine_type),
        "selfLink": model.self_link,
        "spot": model.scheduling.provisioning_model == "SPOT",
    }
    return {key: value for key, value in info.items() if value}


def _last(url: str) -> str:
    return url.rpartition("/")[2]
