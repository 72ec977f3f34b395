"""An instance whose states end by the clock. Disks, networks and addresses are moto's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from moto.ec2.models.instances import Instance, InstanceState, StateReason

from ec2.world import world

CODES = {
    "pending": 0,
    "running": 16,
    "shutting-down": 32,
    "terminated": 48,
    "stopping": 64,
    "stopped": 80,
}

_BY_USER = ("Client.UserInitiatedShutdown", "User initiated shutdown")
_SPOT_STOP = ("Server.SpotInstanceShutdown", "Spot instance shutdown")
_SPOT_END = ("Server.SpotInstanceTermination", "Spot instance termination")


def _second() -> datetime:
    # EC2 tells launch times in whole seconds
    return world.moment().replace(microsecond=0)


class Machine(Instance):
    """moto's instance, with EC2's life."""

    def __init__(self, ec2_backend: Any, *rest: Any, **options: Any) -> None:
        super().__init__(ec2_backend, *rest, **options)
        self.home = world.home(ec2_backend)
        self.home.machines[self.id] = self
        self.sequence = next(self.home.sequence)
        self.launch_time = _second()
        self.visible_from = world.now() + world.settings.invisible
        self.spot: Any = None
        self.relaunch: Callable[[], None] | None = None
        self._step = 0
        self._past: list[tuple[float, str]] = []
        self._become("pending")
        self._explain("pending", "pending", "")
        self._after(world.settings.run, self._launched)

    # -- what others ask ----------------------------------------------------------------------

    @property
    def own_tags(self) -> dict[str, str]:
        """The tags; moto's own way reads those of all resources."""
        tags: dict[str, str] = self.ec2_backend.tags.get(self.id, {})
        return tags

    @property
    def visible(self) -> bool:
        """Whether anyone but the launch itself knows it yet."""
        return world.now() >= self.visible_from

    @property
    def told_state(self) -> str:
        """The state that DescribeInstances tells, which may be an old one."""
        then = world.now() - world.settings.stale
        told = [name for at, name in self._past if at <= then]
        return told[-1] if told else self._past[0][1]

    @property
    def interrupted(self) -> bool:
        """Whether the cloud stopped it for want of spot capacity."""
        return self.spot is not None and self.spot.state == "open"

    # -- verbs, each after its guards ---------------------------------------------------------

    def start(self) -> None:
        """From stopped, on the way to running."""
        if self.state in {"pending", "running"}:
            return
        for nic in self.nics.values():
            nic.start()
        self.launch_time = _second()
        self._explain("pending", "pending", "")
        self._become("pending")
        self._after(world.settings.start, self._up)
        if self.spot:
            self.spot.started()

    def stop(self, *, by_user: bool = True) -> None:
        """From running, on the way to stopped."""
        if self.state in {"stopping", "stopped"}:
            return
        for nic in self.nics.values():
            nic.stop()
        self._because(*(_BY_USER if by_user else _SPOT_STOP))
        self._become("stopping")
        self._after(world.settings.stop, lambda: self._become("stopped"))
        if self.spot:
            self.spot.stopped(by_user=by_user)

    def terminate(self, *, by_user: bool = True) -> None:
        """From any state, on the way to terminated."""
        if self.state in {"shutting-down", "terminated"}:
            return
        self._because(*(_BY_USER if by_user else _SPOT_END))
        at_once = self.state == "stopped" and world.settings.stopped_ends_at_once
        again = self.spot is not None and self.spot.ended(by_user=by_user)
        if again and self.relaunch:
            world.later(world.settings.relaunch, self.relaunch)
        if at_once:
            self._end()
        else:
            self._become("shutting-down")
            self._after(world.settings.terminate, self._end)

    def reboot(self) -> None:
        """Nothing that can be seen: a reboot has no state and no time."""

    def discard(self) -> None:
        """Leaves no trace of a launch that failed half-way."""
        self._end()
        self._vanish()

    # -- what the clock brings ----------------------------------------------------------------

    def _launched(self) -> None:
        reason = world.settings.launch_failure
        if reason is None:
            self._up()
        else:
            self._explain(reason, f"{reason}: Instance failed to launch", reason)
            self._end()

    def _up(self) -> None:
        self._explain("", "", "")
        self._become("running")

    def _end(self) -> None:
        reasons = self.state_reason, self._reason
        kept = [n for n in self.nics.values() if not n.delete_on_termination]
        super().terminate()
        for nic in kept:
            self.detach_eni(nic)
        self.state_reason, self._reason = reasons
        self._become("terminated")
        self._after(world.settings.vanish, self._vanish)

    def _vanish(self) -> None:
        self.home.machines.pop(self.id, None)
        self.ec2_backend.tags.pop(self.id, None)
        reservations = self.ec2_backend.reservations
        for reservation in list(reservations.values()):
            if self in reservation.instances:
                reservation.instances.remove(self)
                if not reservation.instances:
                    del reservations[reservation.id]

    def _become(self, name: str) -> None:
        # a new object each time: answers keep the one that they were given
        self._state = InstanceState(name, CODES[name])
        self._past.append((world.now(), name))

    def _after(self, delay: float, then: Callable[[], None]) -> None:
        # whatever the instance was on the way to, it is no longer
        self._step = step = self._step + 1

        def due() -> None:
            if self._step == step:
                then()

        world.later(delay, due)

    def _because(self, code: str, words: str) -> None:
        moment = world.moment().strftime("%Y-%m-%d %H:%M:%S GMT")
        by_user = code.startswith("Client.")
        self._explain(code, f"{code}: {words}", f"User initiated ({moment})" if by_user else code)

    def _explain(self, code: str, message: str, transition: str) -> None:
        self.state_reason = StateReason(message, code)
        self._reason = transition
