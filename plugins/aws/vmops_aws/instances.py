"""What EC2 shows of instances: described by filters only, and each as a VM.

DescribeInstances fails as a whole for one unknown id, so ids are a filter, too. A name is looked
for by tag: an instance's own, or the wildcard of the batches that may hold it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from vmops import VM, State, Tags
from vmops.errors import CloudError
from vmops_aws import names
from vmops_aws.client import Clients, Filters, chunks
from vmops_aws.errors import caused
from vmops_aws.launch import SPOT_MODE

__all__ = ["Instances", "ownership", "tags_of"]

STATES: Final[Mapping[str, State]] = {
    "pending": State.STARTING,
    "running": State.RUNNING,
    "shutting-down": State.DELETING,
    "terminated": State.ABSENT,
    "stopping": State.STOPPING,
    "stopped": State.STOPPED,
}
_EXISTING: Final = [state for state in STATES if state != "terminated"]
_ASKED_FOR: Final = frozenset({"Client.UserInitiatedShutdown", "Client.UserInitiatedHibernate"})
_MANY: Final = 190
"""VMs that one call can name; a wildcard or a token asks for any number at once."""


class Instances:
    """Describes the instances of one connection.

    Args:
        clients: EC2.
    """

    def __init__(self, clients: Clients) -> None:
        """Ask nothing yet."""
        self._clients = clients
        self._batches: dict[str, str] = {}  # id -> token of the call that made it and others
        self._made: dict[str, str] = {}
        self.nameless: dict[str, str] = {}
        """Id -> name of VMs that were made here and are seen now, but are named by their batch."""

    def ours(self) -> Iterator[VM]:
        """All VMs that carry vmops tags and exist."""
        return self._described({"tag-key": ["vmops-owner"], "instance-state-name": _EXISTING})

    def by_id(self, ids: Sequence[str]) -> Iterator[VM]:
        """The instances with these ids, those that ended not long ago included."""
        for some in chunks(ids):
            yield from self._noted({"instance-id": some})

    def by_name(self, wanted: Sequence[str]) -> Iterator[VM]:
        """The VMs with these names, and others of the batches that may hold them."""
        for some in chunks(_patterns(wanted)):
            yield from self._described({"tag:vmops-vm": some})

    def by_token(self, tokens: Sequence[str]) -> Iterator[VM]:
        """The VMs that were made with these idempotency tokens."""
        for some in chunks(tokens):
            yield from self._described({"client-token": some})

    def by_id_unless_in(self, ids: Sequence[str], states: Collection[State]) -> Iterator[VM]:
        """Those of the instances that are in none of these states, and maybe others.

        Of more than one filter takes, those that were made together are asked for together.
        """
        wanted = [text for text, state in STATES.items() if state not in states]
        tokens = {self._batches[id_] for id_ in ids if id_ in self._batches}
        one_by_one = [id_ for id_ in ids if id_ not in self._batches]
        # a batch shows those again that have changed before: some calls by id cost less than that
        if len(ids) <= 3 * _MANY or len(tokens) > _MANY:
            tokens, one_by_one = set(), list(ids)
        filters = [{"client-token": some} for some in chunks(sorted(tokens))]
        filters += [{"instance-id": some} for some in chunks(one_by_one)]
        for each in filters:
            yield from self._noted({**each, "instance-state-name": wanted})

    def made_together(self, made: Mapping[str, str], token: str) -> None:
        """Remember that these instances (id -> name) share a token, and their names."""
        if len(made) > 1:
            self._batches.update(dict.fromkeys(made, token))
            self._made.update(made)

    def raw(self, filters: Filters) -> Iterator[dict[str, Any]]:
        """Instances as EC2 describes them."""
        for reservation in self._clients.pages("describe_instances", "Reservations", filters):
            yield from reservation.get("Instances", ())

    def _noted(self, filters: Filters) -> Iterator[VM]:
        """The VMs; what is known of their batches is kept up to date."""
        for instance in self.raw(filters):
            vm = _vm(instance)
            if vm.state in {State.ABSENT, State.DELETING}:
                self.forget(vm.id)
            elif vm.tags is not None and tags_of(instance)["vmops-vm"] != vm.name:
                self._batches[vm.id] = vm.tags.token
                if name := self._made.pop(vm.id, ""):
                    self.nameless[vm.id] = name
            yield vm

    def forget(self, id_: str) -> None:
        """A VM is going: it is named no more."""
        for known in (self._batches, self._made, self.nameless):
            known.pop(id_, None)

    def _described(self, filters: Filters) -> Iterator[VM]:
        return map(_vm, self.raw(filters))


def tags_of(item: Mapping[str, Any]) -> dict[str, str]:
    """An item's tags as a dict."""
    return {tag["Key"]: tag["Value"] for tag in item.get("Tags", ())}


def ownership(tags: Mapping[str, str], index: int) -> Tags | None:
    """Whose an instance is, which of its batch it is included; None where vmops did not make it."""
    try:
        name = names.decoded(tags["vmops-vm"])
        own = {
            "vmops-vm": name[index] if len(name) > 1 else name[0],
            "vmops-sequence": str(int(tags["vmops-sequence"]) + index),
        }
    except (KeyError, ValueError, IndexError):
        return None
    return Tags.from_dict({**tags, **own})


def _patterns(wanted: Sequence[str]) -> list[str]:
    """The filter values that find these names: exactly, in batches, or with all of their stem."""
    by_stem: dict[str, list[str]] = {}
    for name in wanted:
        by_stem.setdefault(names.stem(name), []).append(name)
    patterns: list[str] = []
    for stem, alike in by_stem.items():
        if len(alike) > _MANY and stem:
            patterns.append(f"{stem}*")
        else:
            patterns += [names.pattern(alike[0]), *alike]
    return list(dict.fromkeys(patterns))


def _vm(instance: Mapping[str, Any]) -> VM:
    tags = tags_of(instance)
    owner = ownership(tags, instance.get("AmiLaunchIndex", 0))
    id_ = instance["InstanceId"]
    name = owner.vm if owner is not None else id_
    state = STATES[instance["State"]["Name"]]
    launched = instance.get("LaunchTime")
    return VM(
        name,
        state,
        id=id_,
        started=launched.timestamp() if launched is not None else None,
        tags=owner,
        info=_info(instance, tags),
        error=_error(name, state, instance),
    )


def _info(instance: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, Any]:
    info = {
        "privateIp": instance.get("PrivateIpAddress"),
        "publicIp": instance.get("PublicIpAddress"),
        "publicDns": instance.get("PublicDnsName"),
        "zone": instance.get("Placement", {}).get("AvailabilityZone"),
        "vmSize": instance.get("InstanceType"),
        "image": instance.get("ImageId"),
        "spotRequest": instance.get("SpotInstanceRequestId"),
        "spotMode": tags.get(SPOT_MODE),
    }
    return {key: value for key, value in info.items() if value not in (None, "")}


def _error(name: str, state: State, instance: Mapping[str, Any]) -> CloudError | None:
    """Why a VM ended, or stopped by itself."""
    reason = instance.get("StateReason", {})
    error = caused(name, reason)
    if error is None or state in {State.STARTING, State.RUNNING}:
        return None
    if state in {State.ABSENT, State.DELETING}:
        if tags_of(instance).get(SPOT_MODE) == "persistent":
            error.remains = f"spot request {instance.get('SpotInstanceRequestId', '')}"
            error.hint = "vm_deprovision cancels it; until then it launches another VM"
        return error
    if reason.get("Code") in _ASKED_FOR:
        return None
    error.remains, error.hint = f"VM {name!r}", "vm_start tries again, vm_deprovision deletes it"
    return error
