"""A VM's scheduling: spot or not, and what Google makes of what is not said."""

from __future__ import annotations

from typing import Any

from gce import errors

_KEPT = ("instanceTerminationAction", "maxRunDuration", "nodeAffinities", "minNodeCpus")


def scheduling(asked: dict[str, Any], field: str) -> dict[str, Any]:
    """What a VM shows."""
    spot = asked.get("provisioningModel") == "SPOT"
    preemptible = spot or bool(asked.get("preemptible"))
    found: dict[str, Any] = {
        "onHostMaintenance": asked.get("onHostMaintenance")
        or ("TERMINATE" if preemptible else "MIGRATE"),
        "automaticRestart": asked.get("automaticRestart", not preemptible),
        "preemptible": preemptible,
        "provisioningModel": asked.get("provisioningModel") or "STANDARD",
    }
    if preemptible and found["automaticRestart"]:
        why = "Scheduling must have automaticRestart be false when preemptible is true."
        raise errors.invalid(f"{field}.automaticRestart", "true", why)
    if preemptible and found["onHostMaintenance"] != "TERMINATE":
        why = "Scheduling must have onHostMaintenance be TERMINATE when preemptible is true."
        raise errors.invalid(f"{field}.onHostMaintenance", found["onHostMaintenance"], why)
    if asked.get("instanceTerminationAction") and not spot and not asked.get("maxRunDuration"):
        why = "It needs the provisioning model SPOT or a maximal run duration."
        raise errors.invalid(
            f"{field}.instanceTerminationAction", asked["instanceTerminationAction"], why
        )
    if spot:
        found["instanceTerminationAction"] = "STOP"
    found |= {one: asked[one] for one in _KEPT if asked.get(one)}
    return found
