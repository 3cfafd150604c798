"""Something that goes to many schools in waves, and what machines report about it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from provisioner.model.base import Model, Name, ShortText
from provisioner.model.contest import ContestPlace
from provisioner.model.wire import Request

# What a machine shall have on one track: a release, or a contest's version and state.
Value = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9@.:_-]{0,119}$")]
Track = Annotated[str, StringConstraints(pattern=r"^(release|contest)(:[a-z0-9][a-z0-9-]{0,62})?$")]


class RolloutState(StrEnum):
    """Where a rollout stands. Only `running` gives the new value to further machines."""

    RUNNING = "running"
    PAUSED = "paused"  # by a person
    HALTED = "halted"  # by itself: machines failed
    TAKING_BACK = "taking-back"  # who has it gets the former value
    TAKEN_BACK = "taken-back"
    DONE = "done"
    SUPERSEDED = "superseded"  # a newer one on the same track goes on


class MachineState(StrEnum):
    """One machine in one rollout."""

    WAITING = "waiting"
    TOLD = "told"  # it was given the new value; not proved yet
    HEALTHY = "healthy"
    FAILED = "failed"
    BACK = "back"  # it has the former value again


class Wave(Model):
    """A part of the machines, and what they must show before the next part follows.

    Exactly one of `machines`, `classrooms`, `percent` says how large it is, counted from the
    beginning. `proof_hours` are hours switched on with the new value.
    """

    name: Name
    machines: int | None = Field(None, ge=1)
    classrooms: int | None = Field(None, ge=1)
    percent: float | None = Field(None, gt=0, le=100)
    proof_hours: float = Field(ge=0, le=1000)
    halt_failures: int = Field(3, ge=1, description="so many, and more than `halt_share`")

    @model_validator(mode="after")
    def _one_size(self) -> Wave:
        if sum(size is not None for size in (self.machines, self.classrooms, self.percent)) != 1:
            raise ValueError("say one of machines, classrooms, percent")
        return self


# Lab, one classroom, a twentieth, everybody: the figures are those of the field notes.
STANDARD_WAVES = (
    Wave(name="lab", machines=3, proof_hours=4, halt_failures=1),
    Wave(name="classroom", classrooms=1, proof_hours=4, halt_failures=2),
    Wave(name="twentieth", percent=5, proof_hours=1),
    Wave(name="all", percent=100, proof_hours=0.5),
)


class Freeze(Model):
    """A time in which nothing new is given, such as the two days before a contest.

    Both moments carry their zone.
    """

    begins: AwareDatetime
    ends: AwareDatetime

    def holds(self, at: datetime) -> bool:
        return self.begins <= at < self.ends


class RolloutPlan(Model):
    """What goes where, and when it stops. Times are the station's.

    `exposed_share`: machines that have it and have not proved it yet, together with those that
    failed, are never more than this share of all, or one classroom, whichever is larger.
    """

    name: Name
    track: Track
    value: Value
    former: Value = Field(description="what machines have when it is taken back")
    schools: tuple[Name, ...] = Field(min_length=1)
    lab: tuple[Name, ...] = Field((), description="schools that come first, such as a test room")
    waves: tuple[Wave, ...] = Field(STANDARD_WAVES, min_length=1, max_length=12)
    healthy_share: float = Field(0.98, gt=0, le=1)
    halt_share: float = Field(0.02, ge=0, lt=1)
    exposed_share: float = Field(0.02, gt=0, le=1)
    quorum: float = Field(0.6, gt=0, le=1, description="of a wave's machines must have proved it")
    silent_hours: float = Field(
        72, gt=0, le=9000, description="after these a machine counts as unknown"
    )
    freezes: tuple[Freeze, ...] = ()

    @model_validator(mode="after")
    def _ends_with_everybody(self) -> RolloutPlan:
        if self.waves[-1].percent != 100:
            raise ValueError("the last wave must be 100 percent")
        if unknown := set(self.lab) - set(self.schools):
            raise ValueError(f"{sorted(unknown)[0]} is in “lab” but not in “schools”")
        if self.value == self.former:
            raise ValueError("“value” and “former” are the same")
        return self


class StateReport(Model):
    """What a machine has on one track, since how many hours switched on, and whether it is well."""

    track: Track
    value: Value
    ok: bool
    powered_on_s: float = Field(ge=0, description="since it has this value")
    problem: ShortText = ""
    now: Value | None = Field(None, description="when it is otherwise for now, such as switched on")


class WantedRequest(Request):
    """A machine in the field asks what it shall have."""

    reports: tuple[StateReport, ...] = Field((), max_length=8)


class Wanted(Model):
    """What a machine shall have on one track, and of a contest its place in it."""

    track: Track
    value: Value
    place: ContestPlace | None = None


class WantedReply(Model):
    """Sealed by the station for one question of one machine."""

    to_key: ShortText
    counter: int
    wanted: tuple[Wanted, ...]
    ask_again_s: float
