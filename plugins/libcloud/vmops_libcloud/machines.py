"""What the list of VMs shows: one list for all that is asked, and for all who ask at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from vmops import VM, Ref, State, http_date
from vmops.errors import NotFound
from vmops_libcloud import marks
from vmops_libcloud.dialects import Dialect
from vmops_libcloud.drivers import Drivers
from vmops_libcloud.errors import SpoiltAnswerError
from vmops_libcloud.lists import Shared

__all__ = ["Machines"]

_REMEMBERED: Final = 20_000


class Machines:
    """Describes the VMs of one connection.

    Args:
        drivers: Who asks.
        dialect: What the answer means.
        now: Tells epoch seconds.
        horizon: Seconds for which a new VM may be missing in the list.
    """

    def __init__(
        self, drivers: Drivers, dialect: Dialect, now: Callable[[], float], horizon: float
    ) -> None:
        """Ask nothing yet."""
        self._drivers = drivers
        self._dialect = dialect
        self._now = now
        self._horizon = horizon
        self._listed: dict[str, tuple[VM, Any]] = {}
        self._first: dict[str, tuple[float, VM]] = {}
        self._doomed: set[str] = set()
        self._doubted: set[str] = set()
        self._missed: Counter[str] = Counter()
        self._lists: Shared[list[VM]] = Shared(self._list)
        self._date = ""

    def describe(self, refs: Sequence[Ref] | None) -> Iterator[VM]:
        """Those of these VMs that exist, and those that certainly do not any more; None: ours."""
        seen = self._lists.fresh()
        if refs is None:
            yield from (vm for vm in seen if vm.tags is not None)
            return
        ids = {ref.id for ref in refs if ref.id}
        names = {ref.name for ref in refs if not ref.id}
        yield from (vm for vm in seen if vm.id in ids or vm.name in names)
        for id_ in ids.difference(vm.id for vm in seen):
            if (before := self._gone(id_)) is not None:
                yield VM(before.name, State.ABSENT, id=id_, tags=before.tags)

    def made_with(self, token: str) -> list[VM]:
        """The VMs that were made with a token, by a list that is asked for now."""
        return [vm for vm in self._lists.fresh() if vm.tags and vm.tags.token == token]

    def surplus(self, vm: VM) -> list[Any]:
        """The nodes besides a VM that were made with its token, by the last list.

        A create that was slow on its way arrives after it was repeated, and makes a second one.
        """
        if vm.tags is None:
            return []
        if vm.tags.token in self._doubted:
            self._doubted.discard(vm.tags.token)
            self._lists.fresh()
        name = self.node(vm).name  # somebody may have made a VM of his own with copies of our marks
        made_by = vm.tags.owner, vm.tags.token
        return [
            node
            for other, node in self._listed.values()
            if other.id != vm.id and other.tags is not None and node.name == name
            if (other.tags.owner, other.tags.token) == made_by
        ]

    def node(self, vm: VM) -> Any:  # noqa: ANN401  (a Node)
        """What libcloud has for a VM.

        Raises:
            NotFound: There is none.
        """
        if vm.id not in self._listed:
            self._lists.fresh()
        try:
            return self._listed[vm.id][1]
        except KeyError:
            raise NotFound(f"{self._dialect.can.provider}: VM {vm.name!r} is gone") from None

    def doom(self, id_: str) -> None:
        """Its deletion was asked for: when it is missing, it is gone."""
        self._doomed.add(id_)

    def doubt(self, token: str) -> None:
        """A create with this token has failed, and may be on its way all the same."""
        self._doubted.add(token)

    def date(self) -> float | None:
        """The provider's clock in epoch seconds, by a list that is asked for now."""
        self._lists.fresh()
        return http_date(self._date)

    def _list(self) -> list[VM]:
        can = self._dialect.can
        method, options = can.methods["list"], can.options.get("list", {})
        nodes, exchanges = self._drivers.observed(lambda d: getattr(d, method)(**options))
        found = []
        for node in nodes:
            if not node.id:
                raise SpoiltAnswerError("the list has a VM without an id")
            found.append(self._read(node))
        if exchanges:
            self._date = exchanges[-1].headers.get("date", "")
        self._listed = {vm.id: (vm, node) for vm, node in zip(found, nodes, strict=True)}
        self._remember(found)
        return found

    def _read(self, node: Any) -> VM:  # noqa: ANN401
        name, tags = marks.read(self._dialect.can, node)
        look = self._dialect.look(node)
        return VM(
            name,
            look.state,
            id=str(node.id),
            holds_compute=look.holds_compute,
            tags=tags,
            info=_info(node),
            error=look.error,
        )

    def _remember(self, vms: Sequence[VM]) -> None:
        now = self._now()
        self._missed.update(self._first.keys() - {vm.id for vm in vms})
        for vm in vms:
            del self._missed[vm.id]
            at, _ = self._first.get(vm.id, (now, vm))
            self._first[vm.id] = at, vm
            if vm.state is State.DELETING:
                self._doomed.add(vm.id)
        while len(self._first) > max(_REMEMBERED, len(vms)):
            oldest = next(iter(self._first))
            self._doomed.discard(oldest)
            del self._missed[oldest]
            del self._first[oldest]

    def _gone(self, id_: str) -> VM | None:
        """A VM that was in a list, and that is missing for another reason than that it is new.

        One miss proves nothing: pages shift while they are read.
        """
        at, vm = self._first.get(id_, (0.0, None))
        settled = self._now() - at >= self._horizon and self._missed[id_] > 1
        return vm if vm is not None and (id_ in self._doomed or settled) else None


def _info(node: Any) -> dict[str, Any]:  # noqa: ANN401
    private, public = _first(node.private_ips), _first(node.public_ips)
    info = {"privateIp": private, "publicIp": public, "nodeName": node.name}
    return {key: value for key, value in info.items() if value}


def _first(addresses: Sequence[Any]) -> str:
    """The first address, of those of version 4 if there are any."""
    texts = [str(one) for one in addresses or () if one]
    return next((one for one in texts if ":" not in one), next(iter(texts), ""))
