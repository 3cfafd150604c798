"""Waves: what is decided from figures alone. Pure: no database, no clock, no chance.

The promise of the whole engine is one inequality, kept at every single moment by `room()`: the
machines that were given the new value and have not proved it, with those that failed, are never
more than one classroom or `exposed_share` of all, whichever is larger. A machine that was given it
and fell silent stays in that sum, for unknown counts as no: a school on holiday and a release that
kills machines look the same from here. Only a person who knows better may take it out of the sum.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from provisioner.model.rollout import MachineState, RolloutPlan, Wave

FROZEN = "frozen"


@dataclass(frozen=True)
class SchoolFigures:
    """One school in one rollout; `wave` is None until it is admitted.

    `told` are those given it and not proved, `told_silent` those of them that nobody has heard
    for `silent_hours`; `silent` are the silent ones among `waiting`.
    """

    school: str
    wave: int | None
    machines: int
    waiting: int = 0
    told: int = 0
    told_silent: int = 0
    healthy: int = 0
    failed: int = 0
    silent: int = 0

    @property
    def unknown(self) -> bool:
        """Nobody there has been heard: such a school holds nobody up."""
        return self.machines > 0 and self.silent + self.told_silent >= self.machines - self.proved

    @property
    def proved(self) -> int:
        return self.healthy + self.failed


class Verdict(StrEnum):
    """What comes of the figures."""

    HOLD = "hold"
    ADMIT = "admit"  # further schools of this wave
    ADVANCE = "advance"
    HALT = "halt"
    FINISH = "finish"


@dataclass(frozen=True)
class Figures:
    """Everything that a decision rests on; it goes into the event.

    `told` and `unknown` do not overlap; `goal` machines can be
    heard in this wave, `wanted` of them must be healthy before the next; `wave_…`
    count the schools that this wave brought, all others everybody so far.
    """

    wave: str
    machines: int
    told: int
    healthy: int
    failed: int
    unknown: int
    wanted: int
    goal: int
    wave_healthy: int
    wave_failed: int
    room: int


@dataclass(frozen=True)
class Decision:
    """The verdict, why, and the figures. `schools` are those to admit."""

    verdict: Verdict
    reason: str
    figures: Figures
    schools: tuple[str, ...] = field(default=())


def decide(
    plan: RolloutPlan, wave: int, schools: Sequence[SchoolFigures], at: datetime
) -> Decision:
    """What to do now. The same figures always give the same decision."""
    figures = _figures(plan, wave, schools)
    if reason := _why_halt(plan, plan.waves[wave], figures, cap(plan, schools)):
        return Decision(Verdict.HALT, reason, figures)
    if any(freeze.holds(at) for freeze in plan.freezes):
        return Decision(Verdict.HOLD, FROZEN, figures)
    if further := _to_admit(plan, wave, schools):
        return Decision(Verdict.ADMIT, "room for further schools", figures, further)
    last = wave == len(plan.waves) - 1
    if last and figures.healthy == figures.machines:
        return Decision(Verdict.FINISH, "every machine has it", figures)
    if not last and (reason := _why_advance(plan, figures)):
        return Decision(Verdict.ADVANCE, reason, figures)
    return Decision(Verdict.HOLD, "waiting for machines", figures)


def cap(plan: RolloutPlan, schools: Sequence[SchoolFigures]) -> int:
    """The most machines that may be exposed: one classroom or a share of all."""
    total = sum(school.machines for school in schools)
    largest = max((school.machines for school in schools), default=0)
    return max(largest, math.floor(plan.exposed_share * total))


def room(plan: RolloutPlan, wave: int, schools: Sequence[SchoolFigures]) -> int:
    """How many further machines may be given the new value now."""
    fresh = sum(school.told - school.told_silent for school in schools)
    failed = sum(school.failed for school in schools)
    free = cap(plan, schools) - sum(school.told for school in schools) - failed
    given = fresh + failed + sum(school.healthy for school in schools)
    return max(0, min(free, target(plan, wave, schools) - given))


def order(plan: RolloutPlan, schools: Sequence[SchoolFigures]) -> list[SchoolFigures]:
    """In which order schools come: the lab's as named, then by the hash of rollout and school.

    A hash, so that nobody is always first, and so that a restart changes nothing.
    """

    def place(school: SchoolFigures) -> tuple[int, str]:
        if school.school in plan.lab:
            return plan.lab.index(school.school), ""
        return len(plan.lab), hashlib.sha256(f"{plan.name}/{school.school}".encode()).hexdigest()

    return sorted(schools, key=place)


def proof_s(plan: RolloutPlan, wave: int) -> float:
    """Seconds switched on after which a machine of this wave has proved the value."""
    return plan.waves[wave].proof_hours * 3600


def after_report(state: MachineState, *, has_it: bool, ok: bool, proved: bool) -> MachineState:
    """A machine's state after it has spoken of the new value.

    Who failed and is well again must prove it anew. Who says that it has it without having been
    given it (a stick brought it) counts like one that was given it.
    """
    if not has_it:
        return state if state in (MachineState.TOLD, MachineState.BACK) else MachineState.WAITING
    if not ok:
        return MachineState.FAILED
    return MachineState.HEALTHY if proved else MachineState.TOLD


def target(plan: RolloutPlan, wave: int, schools: Sequence[SchoolFigures]) -> int:
    """How many machines have it at the end of a wave, counted from the rollout's beginning."""
    step = plan.waves[wave]
    if step.machines is not None:
        return step.machines
    total = sum(school.machines for school in schools)
    if step.classrooms is not None:
        lab = sum(school.machines for school in schools if school.school in plan.lab)
        rest = sorted((s.machines for s in schools if s.school not in plan.lab), reverse=True)
        return lab + sum(rest[: step.classrooms])
    return math.ceil(total * (step.percent or 100) / 100)


def _to_admit(
    plan: RolloutPlan, wave: int, schools: Sequence[SchoolFigures]
) -> tuple[str, ...]:  # fmt: skip
    """The next schools, until those that can be heard make up the wave.

    In the last wave everybody is admitted, heard or not: they take it when they come.
    """
    step = plan.waves[wave]
    ordered = order(plan, schools)
    waiting = [school for school in ordered if school.wave is None]
    if step.percent == 100:
        return tuple(school.school for school in waiting)
    here = [s for s in ordered if s.wave is not None and not s.unknown]
    if step.classrooms is not None:
        have = sum(school.school not in plan.lab for school in here)
        lacking = step.classrooms - have
        near = [s for s in waiting if not s.unknown and s.school not in plan.lab]
        return tuple(school.school for school in near[: max(0, lacking)])
    have, found = sum(school.machines for school in here), []
    for school in waiting:
        if have < target(plan, wave, schools) and not school.unknown:
            found.append(school.school)
            have += school.machines
    return tuple(found)


def _figures(plan: RolloutPlan, wave: int, schools: Sequence[SchoolFigures]) -> Figures:
    mine = [school for school in schools if school.wave == wave]
    admitted = [school for school in schools if school.wave is not None]
    heard = sum(s.machines - s.silent - s.told_silent for s in admitted)
    goal = min(heard, target(plan, wave, schools))
    return Figures(
        wave=plan.waves[wave].name,
        machines=sum(s.machines for s in schools),
        told=sum(s.told - s.told_silent for s in schools),
        healthy=sum(s.healthy for s in schools),
        failed=sum(s.failed for s in schools),
        unknown=sum(s.silent + s.told_silent for s in schools),
        wanted=max(1, math.ceil(plan.quorum * goal)),
        goal=goal,
        wave_healthy=sum(s.healthy for s in mine),
        wave_failed=sum(s.failed for s in mine),
        room=room(plan, wave, schools),
    )


def _why_halt(plan: RolloutPlan, wave: Wave, figures: Figures, most: int) -> str:
    known = figures.wave_healthy + figures.wave_failed
    if figures.wave_failed >= wave.halt_failures and (
        figures.wave_failed > plan.halt_share * known
    ):
        return f"{figures.wave_failed} of {known} failed in wave {wave.name}"
    all_known = figures.healthy + figures.failed
    if figures.failed >= 3 and figures.failed > plan.halt_share * all_known:
        return f"{figures.failed} of {all_known} failed"
    last = wave is plan.waves[-1]
    if (
        not last
        and all_known >= figures.goal > 0
        and not figures.told
        and (figures.healthy < plan.healthy_share * all_known)
    ):
        return f"only {figures.healthy} of {all_known} are healthy after wave {wave.name}"
    if figures.failed >= most:
        return f"{figures.failed} machines failed: no room for more"
    return ""


def _why_advance(plan: RolloutPlan, figures: Figures) -> str:
    """By the healthy share of those that were given it and can be heard, and a quorum."""
    asked = figures.healthy + figures.failed + figures.told
    if figures.healthy < figures.wanted or figures.healthy < plan.healthy_share * asked:
        return ""
    return f"{figures.healthy} of {asked} healthy after wave {figures.wave}"
