"""Waves decided from figures alone: how they grow, stop, wait, and never expose too many."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from provisioner.fleet.rollout import (
    SchoolFigures,
    Verdict,
    after_report,
    cap,
    decide,
    order,
    proof_s,
    room,
    target,
)
from provisioner.model.rollout import STANDARD_WAVES, Freeze, MachineState, RolloutPlan, Wave

NOW = datetime(2027, 3, 1, 9, tzinfo=UTC)
NAMES = tuple(f"school-{n:03d}" for n in range(200))


def make_plan(**changes: object) -> RolloutPlan:
    values = {"name": "r", "track": "contest:c", "value": "c.1.on", "former": "c.0.off",
              "schools": NAMES}  # fmt: skip
    return RolloutPlan.model_validate({**values, **changes})


PLAN = make_plan()
SMALL = make_plan(schools=NAMES[:60])
SOME = NAMES[:60]
FRESH = [SchoolFigures(name, None, 25, waiting=25) for name in NAMES]


def school(name: str, wave: int | None, **counts: int) -> SchoolFigures:
    machines = counts.pop("machines", 25)
    used = sum(counts.get(kind, 0) for kind in ("told", "healthy", "failed"))
    return SchoolFigures(name, wave, machines, waiting=machines - used, **counts)


def with_schools(*changed: SchoolFigures) -> list[SchoolFigures]:
    new = {one.school: one for one in changed}
    return [new.get(one.school, one) for one in FRESH]


def test_waves_grow_as_the_plan_says() -> None:
    assert [target(PLAN, wave, FRESH) for wave in range(4)] == [3, 25, 250, 5000]
    assert cap(PLAN, FRESH) == 100
    assert cap(PLAN, FRESH[:2]) == 25


def test_a_wave_begins_with_schools_that_can_be_heard() -> None:
    first = order(PLAN, FRESH)[0].school
    decision = decide(PLAN, 0, FRESH, NOW)
    assert (decision.verdict, decision.schools) == (Verdict.ADMIT, (first,))
    silent = with_schools(school(first, None, silent=25))
    assert decide(PLAN, 0, silent, NOW).schools == (order(PLAN, FRESH)[1].school,)


def test_the_lab_comes_first() -> None:
    plan = make_plan(lab=("school-150",))
    assert decide(plan, 0, FRESH, NOW).schools == ("school-150",)
    figures = with_schools(school("school-150", 0, healthy=3))
    assert decide(plan, 0, figures, NOW).verdict is Verdict.ADVANCE
    next_one = decide(plan, 1, figures, NOW)
    assert next_one.verdict is Verdict.ADMIT
    assert len(next_one.schools) == 1


@pytest.mark.parametrize(
    ("wave", "counts", "verdict"),
    [
        (0, {"told": 3}, Verdict.HOLD),
        (0, {"healthy": 2, "told": 1}, Verdict.HOLD),
        (0, {"healthy": 3}, Verdict.ADVANCE),
        (0, {"healthy": 2, "failed": 1}, Verdict.HALT),
        (1, {"healthy": 14}, Verdict.HOLD),
        (1, {"healthy": 15}, Verdict.ADVANCE),
        (1, {"healthy": 15, "told": 1}, Verdict.HOLD),
        (1, {"healthy": 15, "told": 1, "told_silent": 1}, Verdict.ADVANCE),
        (1, {"healthy": 15, "failed": 1}, Verdict.HOLD),
        (1, {"healthy": 24, "failed": 1}, Verdict.HALT),
        (1, {"healthy": 15, "failed": 2}, Verdict.HALT),
    ],
)
def test_what_a_wave_must_show(wave: int, counts: dict[str, int], verdict: Verdict) -> None:
    first = order(PLAN, FRESH)[0].school
    decision = decide(PLAN, wave, with_schools(school(first, wave, **counts)), NOW)
    assert decision.verdict is verdict, decision


def test_every_machine_that_was_given_it_holds_a_place_until_it_proved_it() -> None:
    figures = with_schools(school(NAMES[0], 3, told=25, told_silent=25),
                           school(NAMES[1], 3, failed=10, healthy=15))  # fmt: skip
    assert room(PLAN, 3, figures) == 100 - 25 - 10
    assert room(PLAN, 0, FRESH) == 3


def test_a_late_flaw_halts_although_many_are_healthy() -> None:
    healthy = [school(name, 2, healthy=25) for name in NAMES[:160]]
    bad = school(NAMES[199], 3, failed=3, told=20)
    decision = decide(PLAN, 3, with_schools(*healthy, bad), NOW)
    assert decision.verdict is Verdict.HALT
    assert "3 of 3 failed" in decision.reason


def test_a_few_broken_disks_do_not_halt_a_country() -> None:
    healthy = [school(name, 3, healthy=25) for name in NAMES[:120]]
    bad = [school(name, 3, healthy=24, failed=1) for name in NAMES[120:130]]
    assert decide(PLAN, 3, with_schools(*healthy, *bad), NOW).verdict is not Verdict.HALT


def test_frozen_means_neither_further_schools_nor_waves() -> None:
    freeze = Freeze(begins=NOW, ends=NOW + timedelta(days=2))
    plan = make_plan(freezes=(freeze,))
    first = order(PLAN, FRESH)[0].school
    for figures in (FRESH, with_schools(school(first, 0, healthy=3))):
        assert decide(plan, 0, figures, NOW).verdict is Verdict.HOLD
        assert decide(plan, 0, figures, freeze.ends).verdict is not Verdict.HOLD
    assert decide(plan, 0, with_schools(school(first, 0, failed=1)), NOW).verdict is Verdict.HALT


def test_the_last_wave_takes_everybody_heard_or_not() -> None:
    silent = [school(name, None, silent=25) for name in NAMES[100:]]
    assert len(decide(PLAN, 3, with_schools(*silent), NOW).schools) == 200


def test_the_end() -> None:
    done = [school(name, 3, healthy=25) for name in NAMES]
    assert decide(PLAN, 3, done, NOW).verdict is Verdict.FINISH


def test_what_a_report_changes() -> None:
    told, healthy, failed, waiting = (MachineState.TOLD, MachineState.HEALTHY,
                                      MachineState.FAILED, MachineState.WAITING)  # fmt: skip
    assert after_report(told, has_it=False, ok=True, proved=True) is told
    assert after_report(told, has_it=True, ok=True, proved=False) is told
    assert after_report(told, has_it=True, ok=True, proved=True) is healthy
    assert after_report(healthy, has_it=True, ok=False, proved=True) is failed
    assert after_report(failed, has_it=True, ok=True, proved=True) is healthy
    assert after_report(healthy, has_it=False, ok=True, proved=True) is waiting
    assert proof_s(PLAN, 0) == 4 * 3600


def test_the_same_figures_give_the_same_decision_in_any_order() -> None:
    figures = list(FRESH)
    first = decide(PLAN, 2, figures, NOW)
    random.Random(1).shuffle(figures)
    assert decide(PLAN, 2, figures, NOW) == first


def test_plans_that_would_mislead_are_refused() -> None:
    for wrong in ({"waves": STANDARD_WAVES[:2]}, {"lab": ("nowhere",)}, {"former": "c.1.on"}):
        with pytest.raises(ValidationError):
            make_plan(**wrong)
    with pytest.raises(ValidationError):
        Wave(name="x", machines=1, percent=3, proof_hours=1)


@pytest.mark.parametrize("fails", [1.0, 0.5, 0.1, 0.03, 0.0])
@pytest.mark.parametrize("dies", [0.0, 1.0])
def test_a_country_in_figures(fails: float, dies: float) -> None:
    """The core alone over a country, hour by hour; a third of the schools are often off."""
    country = Country(fails, dies)
    for hour in range(60 if dies else 600):
        country.hour(hour)
        assert country.exposed <= 30, hour
        if country.over:
            break
    if fails >= 0.03 or dies:
        assert country.harmed <= 30
        assert country.verdict is Verdict.HALT or dies
    else:
        assert country.verdict is Verdict.FINISH


class Country:
    """Counts by school and state, without a database: what decide() and room() make of them."""

    def __init__(self, fails: float, dies: float) -> None:
        self.chance, self.fails, self.dies = random.Random(7), fails, dies
        self.wave: dict[str, int] = {}
        # of each school: waiting, told (hours since), healthy, failed, dead
        self.told: dict[str, list[int]] = {name: [] for name in SOME}
        self.healthy = dict.fromkeys(SOME, 0)
        self.failed = dict.fromkeys(SOME, 0)
        self.dead = dict.fromkeys(SOME, 0)
        self.step, self.over, self.verdict = 0, False, Verdict.HOLD

    @property
    def exposed(self) -> int:
        told = sum(len(hours) for hours in self.told.values())
        return told + sum(self.failed.values()) + sum(self.dead.values())

    @property
    def harmed(self) -> int:
        return sum(self.failed.values()) + sum(self.dead.values())

    def figures(self) -> list[SchoolFigures]:
        return [
            school(name, self.wave.get(name), told=len(self.told[name]) + self.dead[name],
                   told_silent=self.dead[name], healthy=self.healthy[name],
                   failed=self.failed[name])
            for name in SOME
        ]  # fmt: skip

    def hour(self, hour: int) -> None:
        free = room(SMALL, self.step, self.figures())
        for number, name in enumerate(SOME):
            if self.chance.random() < (0.67 if number % 3 == 0 else 0.1):
                continue  # this school is off
            self._prove(name)
            if name in self.wave:
                have = len(self.told[name]) + self.healthy[name] + self.failed[name]
                given = min(free, 25 - have - self.dead[name])
                free -= given
                for _ in range(given):
                    if self.chance.random() < self.dies:
                        self.dead[name] += 1
                    else:
                        self.told[name].append(0)
        self._decide()

    def _prove(self, name: str) -> None:
        left = []
        for hours in self.told[name]:
            if self.chance.random() < self.fails and hours == 0:
                self.failed[name] += 1
            elif (hours + 1) * 3600 >= proof_s(SMALL, self.wave[name]):
                self.healthy[name] += 1
            else:
                left.append(hours + 1)
        self.told[name] = left

    def _decide(self) -> None:
        while True:
            decision = decide(SMALL, self.step, self.figures(), NOW)
            self.verdict = decision.verdict
            if self.verdict is Verdict.ADMIT:
                self.wave |= dict.fromkeys(decision.schools, self.step)
            elif self.verdict is Verdict.ADVANCE:
                self.step += 1
            else:
                self.over = self.verdict in (Verdict.HALT, Verdict.FINISH)
                return
