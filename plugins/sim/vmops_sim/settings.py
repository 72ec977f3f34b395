"""Which simulated cloud, how it behaves, and what can be made in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from vmops import Act, LocalOnly, Params, Settings, Tuning
from vmops_sim.cloud import CODES
from vmops_sim.script import Duration, FaultScript

__all__ = ["SimParams", "SimSettings"]

_SHARE: Final = "The share (0 to 1) of calls"


class SimSettings(Settings):
    """Which simulated cloud, and how it behaves."""

    world: str = Field(
        "default", pattern=r"^[a-z0-9-]{1,40}$", description="Name of the simulated cloud."
    )
    state_dir: Annotated[Path | None, LocalOnly] = Field(
        None, description="Folder that keeps it for all processes; by default it is in memory."
    )
    account_id: str = Field("sim-account", description="The account the caller is in.")
    clock: Literal["real", "virtual"] = Field(
        "real", description="Virtual time jumps whenever somebody waits; in memory only."
    )
    seed: Annotated[int, Tuning] = Field(0, description="The same seed makes the same cloud.")
    tick: Annotated[float, Tuning] = Field(
        0.1, gt=0, description="Seconds between two polls at least."
    )
    provision_seconds: Annotated[str, Tuning] = Field(
        "2", description="Duration: 30, 20-40 or lognormal:30,0.3."
    )
    start_seconds: Annotated[str, Tuning] = Field("1", description="Duration of a start.")
    stop_seconds: Annotated[str, Tuning] = Field("1", description="Duration of a stop.")
    restart_seconds: Annotated[str, Tuning] = Field(
        "1", description="Duration of a restart in one phase."
    )
    deprovision_seconds: Annotated[str, Tuning] = Field("1", description="Duration of a deletion.")
    api_seconds: Annotated[str, Tuning] = Field("0", description="Duration of every API call.")
    visible_after: Annotated[str, Tuning] = Field(
        "0", description="Duration for which a new VM is missing from descriptions."
    )
    quota: Annotated[int, Tuning] = Field(
        0, ge=0, description="How many VMs the account may have; 0 is any number."
    )
    capacity: Annotated[int, Tuning] = Field(
        0, ge=0, description="How many VMs a zone can hold; 0 is any number."
    )
    calls_per_second: Annotated[float, Tuning] = Field(
        0.0, ge=0, description="API calls of one kind that are let through each second; 0 is all."
    )
    no_capacity: Annotated[float, Tuning] = Field(
        0.0, ge=0, le=1, description="The share of creates that find no room."
    )
    server_errors: Annotated[float, Tuning] = Field(
        0.0, ge=0, le=1, description=f"{_SHARE} that end in a 5xx."
    )
    lost_answers: Annotated[float, Tuning] = Field(
        0.0, ge=0, le=1, description=f"{_SHARE} whose answer is lost, half of them carried out."
    )
    fail_late: Annotated[float, Tuning] = Field(
        0.0, ge=0, le=1, description=f"{_SHARE} accepted, but failing later."
    )
    stuck: Annotated[float, Tuning] = Field(
        0.0, ge=0, le=1, description=f"{_SHARE} accepted, but never ending."
    )
    forgotten: Annotated[float, Tuning] = Field(
        0.0, ge=0, le=1, description="The share of operations the cloud forgets at once."
    )
    preempt_after: Annotated[float, Tuning] = Field(
        0.0, ge=0, description="Seconds after which a running spot VM is taken away; 0 is never."
    )
    handles: Annotated[bool, Tuning] = Field(
        default=True, description="Whether operations can be polled, or only VMs described."
    )
    batch: Annotated[bool, Tuning] = Field(
        default=True, description="Whether one call can act on many VMs."
    )
    unique_names: Annotated[bool, Tuning] = Field(
        default=False, description="Whether a name can be used only once."
    )
    faults: Annotated[str, Tuning] = Field(
        "", description="Faults for certain calls, such as provision:2=QuotaExceeded,poll:*=lost."
    )

    @field_validator(
        "provision_seconds",
        "start_seconds",
        "stop_seconds",
        "restart_seconds",
        "deprovision_seconds",
        "api_seconds",
        "visible_after",
    )
    @classmethod
    def _check_duration(cls, text: str) -> str:
        Duration.parse(text)
        return text

    @field_validator("faults")
    @classmethod
    def _check_faults(cls, text: str) -> str:
        FaultScript.parse(text, CODES)
        return text

    @model_validator(mode="after")
    def _check_clock(self) -> Self:
        if self.clock == "virtual" and self.state_dir is not None:
            raise ValueError("clock: a virtual clock cannot be shared; leave out stateDir")
        return self


class SimParams(Params):
    """What to make."""

    vm_size: str = Field("small", description="Any name.")
    image: str = Field("sim-os", description="Any name.")
    zone: str = Field("a", description="Any name; capacity is counted by zone.")
    spot: bool = Field(default=False, description="Whether the VM may be taken away.")
    restart_mode: Annotated[Literal["reboot", "power-cycle"], Act] = Field(
        "reboot", description="Restart in one phase, or as a stop and a start."
    )
    user_data: SecretStr = Field(SecretStr(""), description="Data for the guest; it has no effect.")
