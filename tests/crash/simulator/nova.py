"""A cloud without idempotency: no token, no unique names, and nothing to ask for but a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import ClassVar, Final

from simulator.machines import Machine
from simulator.network import SdkError
from simulator.scheduler import current
from simulator.world import SKEW, Cloud, Place, Shape
from vmops import VM, Handle, Ref, State, Tags, Target
from vmops.errors import Unavailable

__all__ = ["Nova"]

_HORIZON: Final = 55.0
"""Seconds: more than a request takes (30), a VM takes to show (10), and clocks differ by (10)."""
_PATIENCE: Final = 60.0
"""Seconds for which another process' turn is waited out."""


class Nova(Cloud):
    """Each create makes a VM: who sends one looks first, and the core gives the last one time.

    All processes are on one machine, so that creates with one token take turns.
    """

    name = "nova"
    horizon = _HORIZON
    lag = 10.0
    creates_once = False
    turns: ClassVar[set[str]]
    """Tokens with which somebody is between looking and the answer to the create."""

    def __init__(self, settings: Place) -> None:
        super().__init__(settings)
        self._listed: Sequence[VM] = ()
        self._doubted: set[str] = set()

    def describe(self, refs: Sequence[Ref] | None) -> Iterable[VM]:
        seen = self._list()
        if refs is None:
            return seen
        ids = {ref.id for ref in refs if ref.id}
        names = {ref.name for ref in refs if not ref.id}
        return [vm for vm in seen if vm.id in ids or vm.name in names]

    def _list(self) -> Sequence[VM]:
        self._listed = self.world.network.ask("for all VMs", lambda: self._described(None))
        return self._listed

    def provision(self, vm: Target[Shape], token: str) -> Handle:
        assert vm.tags is not None
        tags, sent = vm.tags, self.world.sent_by(current().name, token)
        with self._in_turn(token):
            made = self._made_with(token)
            if made:
                return {"vmId": made[0].id}
            try:
                return self._send("provision", tags.vm, self._creates(tags, sent))
            except SdkError:
                self._doubted.add(token)
                raise

    def _made_with(self, token: str) -> list[VM]:
        """The VMs with this token, by a list that is asked for now."""
        return [vm for vm in self._list() if vm.tags is not None and vm.tags.token == token]

    @contextmanager
    def _in_turn(self, token: str) -> Iterator[None]:
        """Within it, no other process is within one of this token; the killed let go."""
        until = self.world.now + _PATIENCE
        while token in self.turns:
            if self.world.now >= until:
                raise Unavailable("another create of the same VM is not done")
            current().sleep(1.0)
        self.turns.add(token)
        try:
            yield
        finally:
            self.turns.discard(token)

    def _creates(self, tags: Tags, sent: float) -> Callable[[], Handle]:
        """The request: one that arrives late, or twice, makes what nobody could have prevented."""
        latest = sent + _HORIZON - self.lag - self.stale - SKEW
        made: list[Machine] = []

        def creates() -> Handle:
            machine = self.world.add(self.world.new_id("server-"), tags, self.lag)
            machine.late = bool(made) or self.world.now > latest
            made.append(machine)
            return self._handle(machine, "provision")

        return creates

    def deprovision(self, vm: Target[Shape], token: str) -> Handle:
        surplus = [] if vm.alone else self._surplus(vm.vm)
        handle = super().deprovision(vm, token)
        for other in surplus:
            with suppress(SdkError):  # what stays, reaping finds
                super().deprovision(replace(vm, vm=other), token)
        return handle

    def _surplus(self, vm: VM) -> list[VM]:
        """What was made with a VM's token besides it, by the last list."""
        if vm.tags is None:
            return []
        if vm.tags.token in self._doubted:
            self._doubted.discard(vm.tags.token)
            self._list()
        made_by = vm.name, vm.tags.owner, vm.tags.token
        return [
            other
            for other in self._listed
            if other.id != vm.id and other.tags is not None
            if (other.name, other.tags.owner, other.tags.token) == made_by
        ]

    def retag(self, vm: VM, tags: Tags) -> None:
        self._find(vm)
        super().retag(vm, tags)

    def _act(self, verb: str, vm: Target[Shape], change: Callable[[Machine], None]) -> Handle:
        self._find(vm.vm)
        return super()._act(verb, vm, change)

    def _find(self, vm: VM) -> None:
        """Be sure that a list shows the VM: it is all that tells what to ask for."""
        if all(seen.id != vm.id for seen in self._listed) and all(
            seen.id != vm.id for seen in self._list()
        ):
            raise SdkError("NotFound")

    def _there(self, vm: VM) -> Machine:
        machine = self.world.machines.by_id(vm.id)
        if machine is None or machine.state(self.world.now) is State.ABSENT:
            raise SdkError("NotFound")
        return machine
